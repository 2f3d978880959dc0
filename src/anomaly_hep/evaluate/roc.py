"""Exact, unbinned curves from weighted scores: ROC, its area, efficiency at a rejection."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Shaped

from anomaly_hep.errors import ConfigError, NonFiniteError, ScoreTableError

# A rate this close (relatively) to a vertex of the ROC counts as on it: weights sum with rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class ScoreDistribution:
    """Scores of one class in descending order, equal scores merged; high scores are anomalous.

    `shares` is the part of the class's weight at each score and `squares` the sum of squares of
    the events' own shares; `cumulative[i]` is the share of the `i` highest scores, from 0 to 1.
    """

    values: Float64[np.ndarray, " value"]
    shares: Float64[np.ndarray, " value"]
    squares: Float64[np.ndarray, " value"]
    cumulative: Float64[np.ndarray, " edge"]

    @staticmethod
    def of(
        scores: Shaped[np.ndarray, " event"],
        weights: Shaped[np.ndarray, " event"] | None = None,
        *,
        name: str = "scores",
    ) -> ScoreDistribution:
        """Sort `scores`, each counted `weights` times (once when None); O(n log n).

        Raises NonFiniteError for a NaN or infinite score and ScoreTableError for a weight that is
        not finite, or when the weights have no positive sum. Events of weight 0 do not count, nor
        do those below 1e-323 of the largest weight. Negative weights, as generators at next-to-
        leading order give them, subtract; where a cumulative share would fall, it stays.
        """
        scores = np.asarray(scores, np.float64)
        check_finite(scores, name)
        weights = np.ones(len(scores)) if weights is None else np.asarray(weights, np.float64)
        check_weights(weights, name)
        weights = scaled(weights)
        scores, weights = scores[weights != 0], weights[weights != 0]
        if not len(weights):
            raise ScoreTableError(f"{name}: there is no event; give at least one")
        order = np.argsort(scores)[::-1]
        scores, weights = scores[order], weights[order]
        first = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]])
        # whole numbers up to the last division: without weights every share is exactly k / n
        cumulative = np.r_[0.0, np.cumsum(weights)[np.r_[first[1:] - 1, len(scores) - 1]]]
        total = cumulative[-1]
        shares = np.add.reduceat(weights, first) / total
        cumulative = cumulative / total
        if weights.min() < 0:
            cumulative = np.maximum.accumulate(np.clip(cumulative, 0.0, 1.0))
            shares = np.diff(cumulative)
        squares = np.add.reduceat((weights / total) ** 2, first)
        return ScoreDistribution(scores[first], shares, squares, cumulative)

    @cached_property
    def cumulative_squares(self) -> Float64[np.ndarray, " edge"]:
        """Sum of squares of the events' shares over the `i` highest scores."""
        return np.concatenate([np.zeros(1), np.cumsum(self.squares)])

    @cached_property
    def _negated(self) -> Float64[np.ndarray, " value"]:
        """The negated scores, which ascend, for a binary search."""
        return -self.values

    @cached_property
    def effective_events(self) -> float:
        """Number of unweighted events that would fluctuate as much: (sum w)^2 / sum w^2."""
        return float(1.0 / self.squares.sum())

    def above(self, thresholds: Float64[np.ndarray, " cut"]) -> Float64[np.ndarray, " cut"]:
        """Share of the class with a score strictly above each threshold."""
        return self.cumulative[np.searchsorted(self._negated, -thresholds, side="left")]

    def reached(self, thresholds: Float64[np.ndarray, " cut"]) -> Float64[np.ndarray, " cut"]:
        """Share of the class with a score at or above each threshold."""
        return self.cumulative[np.searchsorted(self._negated, -thresholds, side="right")]

    def placement(self, scores: Float64[np.ndarray, " other"]) -> Float64[np.ndarray, " other"]:
        """Share of the class below each score, ties counted by half."""
        return np.asarray(1.0 - 0.5 * (self.above(scores) + self.reached(scores)))


def auc(background: ScoreDistribution, signal: ScoreDistribution) -> float:
    """Return the probability that a signal scores above a background, ties counted by half.

    This is the Mann-Whitney statistic and the area under the ROC curve by the trapezoidal rule.
    """
    # shares add up to 1 within rounding only
    return float(np.clip(signal.shares @ background.placement(signal.values), 0.0, 1.0))


def signal_efficiency(
    background: ScoreDistribution, signal: ScoreDistribution, rate: Float64[np.ndarray, " rate"]
) -> Float64[np.ndarray, " rate"]:
    """Return the signal efficiency at each background efficiency `rate` in [0, 1].

    Linear interpolation of the ROC; where the ROC is vertical, its upper end: the loosest
    threshold that still keeps the background at or below the rate.
    """
    last = len(background.values) - 1
    index = np.searchsorted(background.cumulative, rate * (1 + _ROUNDING), side="right") - 1
    all_pass, index = index > last, np.minimum(index, last)
    # the cut passes all background above `threshold` and the part `inside` of that at it
    threshold = background.values[index]
    step = background.shares[index]
    inside = np.divide(
        rate - background.cumulative[index], step, out=np.ones_like(step), where=step > 0
    )
    inside = np.clip(inside, 0.0, 1.0)
    above = signal.above(threshold)
    efficiency = above + inside * (signal.reached(threshold) - above)
    return np.where(all_pass, 1.0, efficiency)


def signal_efficiency_at_rejection(
    background: ScoreDistribution, signal: ScoreDistribution, rejection: float | int
) -> float | None:
    """Return the signal efficiency where one background event in `rejection` passes.

    None when the background is too small: less than one of its (effective) events would pass.
    arXiv:2311.17162 Tables 1 and 2 give it in % for rejection 100.
    """
    if tail_events(background, rejection) < 1:
        return None
    return float(signal_efficiency(background, signal, np.array([1.0 / rejection]))[0])


def tail_events(background: ScoreDistribution, rejection: float | int) -> float:
    """Return how many effective background events pass a cut of this rejection."""
    return size_for_rate(background, rejection) / rejection


def size_for_rate(background: ScoreDistribution, rejection: float | int) -> float:
    """Return the number of unweighted events whose rate 1/`rejection` fluctuates as much.

    Without weights this is the number of events. With weights it follows from the variance of
    the weighted rate, (1-a)^2 sum_pass w^2 + a^2 sum_fail w^2 with a = 1/rejection and sum w = 1:
    what counts is how large the weights in the tail are.
    """
    if not rejection >= 1:
        raise ConfigError(f"a rejection is at least 1, got {rejection}")
    rate = 1.0 / rejection
    if rate == 1.0:
        return background.effective_events
    squares = background.cumulative_squares
    passing = float(np.interp(rate, background.cumulative, squares))
    variance = (1 - rate) ** 2 * passing + rate**2 * (float(squares[-1]) - passing)
    # slightly up: n events with n * rate = 1 exactly must not become 0.99999
    return rate * (1 - rate) / variance * (1 + _ROUNDING)


def scaled(values: Float64[np.ndarray, " event"]) -> Float64[np.ndarray, " event"]:
    """Return the values divided by a power of two, so that the largest lies between 0.5 and 1.

    No sum or square of them can then overflow. The division is exact, down to the smallest float.
    """
    largest = float(np.abs(values).max(initial=0.0))
    return np.ldexp(values, -int(np.frexp(largest)[1]))


def check_finite(scores: Float64[np.ndarray, " event"], name: str) -> None:
    """Raise NonFiniteError with the number of NaN or infinite scores and their first rows."""
    bad = ~np.isfinite(scores)
    if bad.any():
        where = ", ".join(map(str, np.flatnonzero(bad)[:5]))
        raise NonFiniteError(
            f"{name}: {bad.sum()} of {len(scores)} values are not finite (rows {where}"
            f"{', ...' if bad.sum() > 5 else ''}); a curve over the rest would hide them. "
            "Look at these events, or at the training that gave such a model"
        )


def check_weights(weights: Float64[np.ndarray, " event"], name: str) -> None:
    """Raise ScoreTableError for a weight that is not finite, or for a sum that is not positive."""
    bad = ~np.isfinite(weights)
    if bad.any():
        raise ScoreTableError(
            f"{name}: {bad.sum()} of {len(weights)} weights are not finite (first: row "
            f"{np.flatnonzero(bad)[0]}); a ROC curve needs numbers"
        )
    if len(weights) and not scaled(weights).sum() > 0:
        raise ScoreTableError(
            f"{name}: the {len(weights)} weights have no positive sum, so no event counts. Cure: "
            "leave this class out, or give it more events"
        )
