"""Central 68 % intervals: areas under ROCs, efficiencies at a rejection, rates, and their means.

docs/reference/metrics.md derives them and says what they cover.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy.optimize import brentq
from scipy.special import bdtrik, betainc, betaincinv, expit, logit, ndtr

from anomaly_hep.evaluate.roc import (
    ScoreDistribution,
    auc,
    scaled,
    signal_efficiency,
    signal_efficiency_at_rejection,
    size_for_rate,
)

# Probability below a one-standard-deviation interval: 68.27 % lie inside.
TAIL = float(ndtr(-1.0))
# Equally probable positions of the true threshold among the background's order statistics.
_NODES = (np.arange(128) + 0.5) / 128


class Interval(NamedTuple):
    """A value with its central 68 % interval; a list of three in JSON."""

    value: float
    low: float
    high: float


def binomial(successes: float | int, trials: float | int) -> Interval:
    """Return successes / trials with its Clopper-Pearson interval; counts may be effective ones."""
    low, high = _mixed_clopper_pearson(np.array([float(successes)]), float(trials))
    return Interval(successes / trials, low, high)


def auc_interval(background: ScoreDistribution, signal: ScoreDistribution) -> Interval:
    """Return the area under the ROC with the interval of its DeLong variance, in O(n log n).

    The interval is symmetric in logit(AUC), so it stays inside [0, 1]. Where the variance
    cannot be estimated (classes fully separated, or less than two events in one), the interval is
    Clopper-Pearson's for as many trials as the smaller class has: the largest variance that
    an AUC can have is A(1-A)/min(n).
    """
    return mean_auc_interval(background, [signal])


def mean_auc_interval(
    background: ScoreDistribution, signals: Sequence[ScoreDistribution]
) -> Interval:
    """Return the mean of the areas under several signals' ROCs against one background.

    All areas share the background's fluctuation: it enters through each background event's
    placement, averaged over the signals. The signals' own fluctuations are independent.
    arXiv:2306.12955 Tables 4, 6 and 10 give such means, as mAUC, without an interval.
    """
    value = float(np.mean([auc(background, signal) for signal in signals]))
    sizes = [sample.effective_events for sample in (background, *signals)]
    variance = 0.0
    if min(sizes) >= 2:
        beaten = [signal.placement(background.values) for signal in signals]
        variance += _mean_variance(background, np.mean(beaten, axis=0))
        for signal in signals:
            part = _mean_variance(signal, background.placement(signal.values))
            variance += part / len(signals) ** 2
    # rounding leaves 1e-34 where the classes are separated
    if variance < 1e-30 or not 0 < value < 1:
        low, high = binomial(value * min(sizes), min(sizes))[1:]
        return Interval(value, min(low, value), max(high, value))
    width = np.sqrt(variance) / (value * (1 - value))
    return Interval(value, float(expit(logit(value) - width)), float(expit(logit(value) + width)))


def efficiency_interval(
    background: ScoreDistribution, signal: ScoreDistribution, rejection: float | int
) -> Interval | None:
    """Return the signal efficiency at a rejection, both samples' fluctuations in the interval.

    The number of background events above the true threshold is binomial, so the true threshold lies
    between two order statistics of the background with a known probability. Clopper-Pearson's
    bounds on the signal efficiency are averaged over these positions: with infinite background the
    interval is Clopper-Pearson's, with infinite signal that of the background quantile. None where
    `signal_efficiency_at_rejection` is None.
    """
    value = signal_efficiency_at_rejection(background, signal, rejection)
    if value is None:
        return None
    if rejection == 1:
        return Interval(1.0, 1.0, 1.0)
    passing = threshold_efficiencies(background, signal, rejection)
    n = signal.effective_events
    low, high = _mixed_clopper_pearson(passing * n, n)
    return Interval(value, min(low, value), max(high, value))


def fpr_interval(
    background: ScoreDistribution, signal: ScoreDistribution, tpr: float
) -> Interval | None:
    """Return the background efficiency at signal efficiency `tpr`.

    It is `efficiency_interval` with the classes exchanged: here the signal sets the cut. The value
    is 0 where the whole signal scores above the background. None where less than one effective
    signal event would pass. arXiv:2306.12955 section 5.1 takes it at 40 %.
    """
    return efficiency_interval(signal, background, 1.0 / tpr)


def mean_fpr_interval(
    background: ScoreDistribution, signals: Sequence[ScoreDistribution], tpr: float
) -> Interval | None:
    """Return the mean of `fpr_interval` over signals, correlated by the shared background.

    Each signal sets its own cut, independently. The background's events pass none, some or all of
    these nested cuts; their mean number fluctuates like a binomial of more trials, which the
    interval uses. None if one of the rates is None. arXiv:2306.12955 calls it mFPR.
    """
    values = [signal_efficiency_at_rejection(s, background, 1.0 / tpr) for s in signals]
    known = [value for value in values if value is not None]
    if len(known) < len(signals):
        return None
    # independent cuts: each signal's equally probable positions in a random but fixed order
    rng = np.random.default_rng(0)
    passing = np.stack([threshold_efficiencies(s, background, 1.0 / tpr) for s in signals])
    if len(signals) > 1:
        passing = rng.permuted(passing, axis=1)
    rate = passing.mean(axis=0)
    # an event that passes two nested cuts passes the tighter one
    both = np.minimum(passing[:, None], passing[None, :]).mean(axis=(0, 1))
    single, spread = rate * (1 - rate), both - rate**2
    gain = np.divide(single, spread, out=np.ones_like(rate), where=spread > 1e-15)
    trials = background.effective_events * np.maximum(gain, 1.0)
    low, high = _mixed_clopper_pearson(rate * trials, trials)
    value = float(np.mean(known))
    return Interval(value, min(low, value), max(high, value))


def mean_efficiency_interval(
    background: ScoreDistribution, signals: Sequence[ScoreDistribution], rejection: float | int
) -> Interval | None:
    """Return the mean of `efficiency_interval` over signals that share one cut.

    The position of the true threshold moves all signals together; their own fluctuations are
    independent. None where less than one background event would pass.
    """
    values = [signal_efficiency_at_rejection(background, s, rejection) for s in signals]
    known = [value for value in values if value is not None]
    if not signals or len(known) < len(signals):
        return None
    if rejection == 1:
        return Interval(1.0, 1.0, 1.0)
    passing = np.stack([threshold_efficiencies(background, s, rejection) for s in signals])
    sizes = np.array([[signal.effective_events] for signal in signals])
    rate = passing.mean(axis=0)
    variance = (passing * (1 - passing) / sizes).sum(axis=0) / len(signals) ** 2
    total = float(sizes.sum())
    trials = np.divide(
        rate * (1 - rate), variance, out=np.full_like(rate, total), where=variance > 1e-15
    )
    low, high = _mixed_clopper_pearson(rate * trials, trials)
    value = float(np.mean(known))
    return Interval(value, min(low, value), max(high, value))


def mean_interval(
    values: Float64[np.ndarray, " event"], weights: Float64[np.ndarray, " event"]
) -> tuple[Interval, float] | None:
    """Return the weighted mean, plus and minus its standard error, and the standard deviation.

    None for less than two effective events, which have no spread, and where the spread is larger
    than the largest float.
    """
    weights, largest = scaled(weights), float(np.abs(values).max(initial=0.0))
    exponent = int(np.frexp(largest)[1])
    values = scaled(values)
    shares = weights / weights.sum()
    n = float(1.0 / (shares**2).sum())
    if n < 2:
        return None
    mean = float(shares @ values)
    deviation = float(np.sqrt(shares @ (values - mean) ** 2 * n / (n - 1)))
    error = deviation / np.sqrt(n)
    with np.errstate(over="ignore"):
        numbers = np.ldexp([mean, mean - error, mean + error, deviation], exponent)
    if not np.isfinite(numbers).all():
        return None
    return Interval(*map(float, numbers[:3])), float(numbers[3])


def _mean_variance(sample: ScoreDistribution, values: Float64[np.ndarray, " value"]) -> float:
    """Return the variance of a sample's weighted mean of one value per event."""
    centred, n = values - sample.shares @ values, sample.effective_events
    return float(sample.squares @ centred**2) * n / (n - 1)


def threshold_efficiencies(
    background: ScoreDistribution, signal: ScoreDistribution, rejection: float | int
) -> Float64[np.ndarray, " node"]:
    """Return the signal efficiency for equally probable positions of the true threshold."""
    size = size_for_rate(background, rejection)
    # bdtrik inverts the binomial distribution for a real number of events; k stands for (k-1, k]
    rates = (bdtrik(_NODES, size, 1.0 / rejection) + 0.5) / size
    return signal_efficiency(background, signal, np.minimum(rates, 1.0))


def _mixed_clopper_pearson(
    successes: Float64[np.ndarray, " node"], trials: float | Float64[np.ndarray, " node"]
) -> tuple[float, float]:
    """Return the bounds whose Clopper-Pearson tail probability, averaged over nodes, is TAIL."""
    failures = np.maximum(trials - successes, 0.0)
    low = _mixed_beta_quantile(successes, failures + 1, TAIL)
    # the upper bound is the lower bound on the failures
    high = 1.0 - _mixed_beta_quantile(failures, successes + 1, TAIL)
    return low, high


def _mixed_beta_quantile(
    a: Float64[np.ndarray, " node"], b: Float64[np.ndarray, " node"], probability: float
) -> float:
    """Return the quantile of an equal mixture of Beta(a, b); a = 0 is a point at 0."""
    (a, b), counts = _distinct(a, b)
    zero = a <= 0
    share = counts / counts.sum()
    if share[zero].sum() >= probability:
        return 0.0
    solid = np.where(zero, 1.0, a)
    edges = np.where(zero, 0.0, betaincinv(solid, b, probability))
    if edges.min() == edges.max():
        return float(edges[0])

    def excess(x: float) -> float:
        return float(share @ np.where(zero, 1.0, betainc(solid, b, x))) - probability

    low, high = float(edges.min()), float(edges.max())
    # components of far less than one event have quantiles below the smallest float
    if excess(low) >= 0:
        return low
    return high if excess(high) <= 0 else float(brentq(excess, low, high, xtol=1e-15, rtol=1e-10))


def _distinct(
    a: Float64[np.ndarray, " node"], b: Float64[np.ndarray, " node"]
) -> tuple[Float64[np.ndarray, "2 distinct"], Float64[np.ndarray, " distinct"]]:
    """Merge equal nodes: neighbouring positions in a small tail often pass the same signal."""
    pairs, counts = np.unique(np.stack([a, b]), axis=1, return_counts=True)
    return pairs, counts.astype(np.float64)
