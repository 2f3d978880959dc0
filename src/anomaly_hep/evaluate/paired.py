"""Paired comparison of two scores on the same events, which makes their values correlated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64

from anomaly_hep.evaluate.intervals import Interval
from anomaly_hep.evaluate.roc import ScoreDistribution, scaled

Scores = Float64[np.ndarray, " event"]
Rows = Int64[np.ndarray, " _"]  # of one class; classes differ in size


def mean_auc_gain(
    scores: Scores, reference: Scores, weights: Scores, background: Rows, signals: Sequence[Rows]
) -> Interval:
    """Return the gain in mean area of `scores` over `reference`, with its 68 % interval.

    Both share the fluctuations of the events: the variance is that of the differences of each
    event's placements (DeLong, DeLong and Clarke-Pearson 1988), the sum of independent parts of the
    background and of each signal. The interval is symmetric.
    """
    (above, below), (above_reference, below_reference) = (
        _placements(values, weights, background, signals) for values in (scores, reference)
    )
    difference = above - above_reference
    share = _shares(weights[background])
    variance = _variance_of_mean(difference, share)
    for rows, one, other in zip(signals, below, below_reference, strict=True):
        part = _variance_of_mean(one - other, _shares(weights[rows]))
        variance += part / len(signals) ** 2
    value = float(share @ difference)
    width = float(np.sqrt(variance))
    return Interval(value, value - width, value + width)


def _shares(weights: Scores) -> Scores:
    """Return each event's part of the weight of all."""
    weights = scaled(weights)
    return weights / weights.sum()


def _placements(
    values: Scores, weights: Scores, background: Rows, signals: Sequence[Rows]
) -> tuple[Float64[np.ndarray, " _"], list[Float64[np.ndarray, " _"]]]:
    """Return the share of signal above each background event, and of background below each signal.

    The first is averaged over the signals; ties count by half.
    """
    sample = ScoreDistribution.of(values[background], weights[background])
    above = [
        1.0 - ScoreDistribution.of(values[rows], weights[rows]).placement(values[background])
        for rows in signals
    ]
    return np.mean(above, axis=0), [sample.placement(values[rows]) for rows in signals]


def _variance_of_mean(
    values: Float64[np.ndarray, " row"], shares: Float64[np.ndarray, " row"]
) -> float:
    """Return the variance of the weighted mean of independent values; 0 for a single one."""
    effective = 1.0 / float(shares @ shares)
    if effective <= 1.0 + 1e-9:
        return 0.0
    centred = values - shares @ values
    return float((shares**2) @ centred**2) * effective / (effective - 1.0)
