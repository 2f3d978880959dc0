"""Poisson fits of a smooth shape, with or without a signal, to many spectra at once.

The logarithm of the smooth shape is linear in its parameters, so that without a signal the
likelihood has one maximum. Fisher scoring with damping finds it: one step is a few products of
matrices for all spectra together, which is what makes thousands of pseudo-experiments cheap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from anomaly_hep.search.shape import Shape

Counts = Float64[np.ndarray, "spectrum bin"]
Bins = Float64[np.ndarray, " bin"]
_STEPS = 60
# a fit ends where the next step would gain less than this in the log-likelihood
_GAIN = 1e-7
_FIRST_DAMPING, _LARGEST_DAMPING = 1e-6, 1e8


@dataclass(frozen=True, eq=False)
class Fits:
    """Fits of several spectra by one shape and at most one signal template.

    `signal` is the number of signal events in each, 0 without a template; `log_likelihood` lacks
    the terms of the counts alone. What has not `converged` is counted by whoever asks for a fit.
    """

    parameters: Float64[np.ndarray, "spectrum parameter"]
    signal: Float64[np.ndarray, " spectrum"]
    expected: Counts
    log_likelihood: Float64[np.ndarray, " spectrum"]
    converged: Bool[np.ndarray, " spectrum"]


def fit(
    counts: Counts,
    shape: Shape,
    start: Float64[np.ndarray, "spectrum parameter"],
    template: Bins | None = None,
) -> Fits:
    """Return the maximum of the Poisson likelihood of each spectrum.

    `template` is the signal's expectation in each bin, in effective counts per event; its yield is
    at least 0.
    """
    problem = _Problem(counts, shape, template)
    yields = np.zeros((len(counts), len(problem.template)))
    point = np.concatenate([np.asarray(start, np.float64), yields], axis=1)
    converged = problem.climb(point)
    expected = problem.expected(point)[1]
    size = shape.basis.shape[1]
    return Fits(
        parameters=point[:, :size],
        signal=point[:, size:].sum(axis=1),
        expected=expected,
        log_likelihood=problem.log_likelihood(expected, np.arange(len(counts))),
        converged=converged,
    )


def fit_smooth(counts: Counts, shape: Shape) -> Fits:
    """Return the fits of the smooth shape alone, begun at a weighted line through the logarithms.

    A fit that is begun elsewhere ends at the same place, after more steps.
    """
    padded = counts + 0.5
    roots = np.sqrt(padded)
    lines = [
        np.linalg.lstsq(
            root[:, None] * shape.basis, root * (np.log(some) - shape.offset), rcond=None
        )[0]
        for root, some in zip(roots, padded, strict=True)
    ]
    return fit(counts, shape, np.array(lines))


def score_at_zero(
    counts: Counts, expected: Counts, template: Bins
) -> Float64[np.ndarray, " spectrum"]:
    """Return the slope of the log-likelihood in the signal's yield, at no signal."""
    slope: Float64[np.ndarray, " spectrum"] = (counts / expected - 1.0) @ template
    return slope


class _Problem:
    """The likelihood of several spectra, its slope and its expected curvature."""

    def __init__(self, counts: Counts, shape: Shape, template: Bins | None) -> None:
        self.counts, self.shape = counts, shape
        self.size = shape.basis.shape[1]
        self.template = np.zeros((0, len(shape.offset))) if template is None else template[None]

    def expected(self, point: Float64[np.ndarray, "some number"]) -> tuple[Counts, Counts]:
        """Return the smooth part and the sum of both."""
        with np.errstate(over="ignore", under="ignore"):
            exponent = self.shape.offset + point[:, : self.size] @ self.shape.basis.T
            smooth = np.exp(np.maximum(exponent, -600.0))
        return smooth, smooth + point[:, self.size :] @ self.template

    def log_likelihood(
        self, expected: Counts, rows: Int64[np.ndarray, " some"]
    ) -> Float64[np.ndarray, " some"]:
        """Return sum of n ln mu - mu over the bins, for these rows."""
        with np.errstate(invalid="ignore", over="ignore"):
            total = (self.counts[rows] * np.log(expected) - expected).sum(axis=1)
        return np.where(np.isfinite(total), total, -np.inf)

    def climb(self, point: Float64[np.ndarray, "spectrum number"]) -> Bool[np.ndarray, " spectrum"]:
        """Move every row of `point` to its maximum; return where that was reached."""
        number = len(point)
        converged = np.zeros(number, bool)
        damping = np.full(number, _FIRST_DAMPING)
        rows = np.arange(number)
        height = self.log_likelihood(self.expected(point)[1], rows)
        for _ in range(_STEPS):
            step, gain = self._step(point[rows], rows, damping[rows])
            there = gain < _GAIN
            converged[rows[there]] = True
            rows, step = rows[~there], step[~there]
            if not len(rows):
                break
            trial = point[rows] + step
            trial[:, self.size :] = np.maximum(trial[:, self.size :], 0.0)
            reached = self.log_likelihood(self.expected(trial)[1], rows)
            better = reached > height[rows]
            point[rows[better]], height[rows[better]] = trial[better], reached[better]
            damping[rows] *= np.where(better, 0.1, 30.0)
            # no step helps any more: the maximum, as far as rounding lets it be seen
            stuck = damping[rows] > _LARGEST_DAMPING
            converged[rows[stuck]] = gain[~there][stuck] < 100 * _GAIN
            rows = rows[~stuck]
        return converged

    def _step(
        self,
        point: Float64[np.ndarray, "some number"],
        rows: Int64[np.ndarray, " some"],
        damping: Float64[np.ndarray, " some"],
    ) -> tuple[Float64[np.ndarray, "some number"], Float64[np.ndarray, " some"]]:
        """Return a step towards the maximum, and what it should gain in the log-likelihood."""
        smooth, expected = self.expected(point)
        slopes = np.concatenate(
            [
                smooth[:, :, None] * self.shape.basis,
                np.broadcast_to(self.template.T, (len(rows), *self.template.T.shape)),
            ],
            axis=2,
        )
        excess = self.counts[rows] / expected - 1.0
        gradient = np.matmul(excess[:, None, :], slopes)[:, 0]
        curvature = np.matmul(slopes.transpose(0, 2, 1), slopes / expected[:, :, None])
        # in units of each number's own error: a yield and a logarithm differ by orders of magnitude
        units = np.sqrt(np.einsum("kpp->kp", curvature)) + 1e-300
        curvature = curvature / (units[:, :, None] * units[:, None, :])
        np.einsum("kpp->kp", curvature)[:] += damping[:, None] + 1e-12
        step = np.linalg.solve(curvature, (gradient / units)[:, :, None])[:, :, 0] / units
        return step, 0.5 * np.einsum("kp,kp->k", step, gradient)
