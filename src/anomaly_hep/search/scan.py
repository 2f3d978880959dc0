"""A scan of signal masses: the profile likelihood ratio q0 of every spectrum at every mass."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.special import ndtr

from anomaly_hep.search.likelihood import Counts, Fits, fit, score_at_zero
from anomaly_hep.search.shape import Shape

Edges = Float64[np.ndarray, " edge"]
Values = Float64[np.ndarray, " event"]
Templates = Float64[np.ndarray, "mass bin"]
CHUNK = 250  # spectra that are fitted together: results do not depend on the number of cores


@dataclass(frozen=True, eq=False)
class Scan:
    """Smooth fits of several spectra, and q0 and signal yield of each at each mass.

    `failed` of `fits` did not converge, those of the smooth shape alone included.
    """

    counts: Counts
    smooth: Fits
    q0: Float64[np.ndarray, "spectrum mass"]
    signal: Float64[np.ndarray, "spectrum mass"]
    fits: int
    failed: int


def gaussian_templates(
    masses: Float64[np.ndarray, " mass"], width: float, edges: Edges
) -> Templates:
    """Return Gaussians of relative `width` (0.05: 5 %) at each mass: the share in each bin."""
    deviations = (edges[None] - masses[:, None]) / (width * masses[:, None])
    return np.diff(ndtr(deviations), axis=1)


def measured_templates(
    masses: Float64[np.ndarray, " mass"], events: Values, weights: Values, edges: Edges
) -> Templates:
    """Return the spectrum of signal events, moved so that its median lies at each mass.

    All masses of the events are multiplied: their relative spread is kept.
    """
    relative = events / median(events, weights)
    contents = [np.histogram(m * relative, edges, weights=weights)[0] for m in masses]
    return np.array(contents) / weights.sum()


def median(values: Values, weights: Values, share: float = 0.5) -> float:
    """Return the weighted quantile that `share` of the weight lies below."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    place = int(np.searchsorted(reached, share))
    return float(values[order][min(place, len(values) - 1)])


def scan(counts: Counts, shape: Shape, start: np.ndarray, templates: Templates) -> Scan:
    """Fit every spectrum without signal, and with one at every mass, on all cores.

    `start` are parameters of the shape that lie near, such as those that toys were thrown from.
    """
    parts = [counts[first : first + CHUNK] for first in range(0, len(counts), CHUNK)]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        scans = list(pool.map(lambda part: _scan(part, shape, start, templates), parts))
    return joined(scans)


def _scan(counts: Counts, shape: Shape, start: np.ndarray, templates: Templates) -> Scan:
    smooth = fit(counts, shape, np.broadcast_to(start, (len(counts), len(start))))
    q0 = np.zeros((len(counts), len(templates)))
    signal = np.zeros_like(q0)
    fits, failed = len(counts), int((~smooth.converged).sum())
    for number, template in enumerate(templates):
        # a deficit has no best signal above 0: its q0 is 0
        rows = np.flatnonzero(score_at_zero(counts, smooth.expected, template) > 0)
        if not len(rows):
            continue
        both = fit(counts[rows], shape, smooth.parameters[rows], template)
        ratio = 2 * (both.log_likelihood - smooth.log_likelihood[rows])
        q0[rows, number] = np.maximum(ratio, 0.0)
        signal[rows, number] = both.signal
        fits += len(rows)
        failed += int((~both.converged).sum())
    return Scan(counts, smooth, q0, signal, fits, failed)


def joined(scans: list[Scan]) -> Scan:
    """Return several scans as one."""
    fits = [one.smooth for one in scans]
    smooth = Fits(*(np.concatenate([getattr(f, name) for f in fits]) for name in vars(fits[0])))
    return Scan(
        np.concatenate([one.counts for one in scans]),
        smooth,
        np.concatenate([one.q0 for one in scans]),
        np.concatenate([one.signal for one in scans]),
        sum(one.fits for one in scans),
        sum(one.failed for one in scans),
    )


def toys(expected: Float64[np.ndarray, " bin"], number: int, seed: list[int]) -> Counts:
    """Return Poisson spectra of these expectations."""
    return np.random.default_rng(seed).poisson(expected, (number, len(expected))).astype(float)
