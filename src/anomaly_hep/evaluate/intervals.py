"""Central 68 % intervals: binomial, area under the ROC, signal efficiency at a rejection.

docs/reference/metrics.md derives them and says what they cover.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy.optimize import brentq
from scipy.special import bdtrik, betainc, betaincinv, expit, logit, ndtr

from anomaly_hep.evaluate.curves import (
    Sample,
    auc,
    signal_efficiency,
    signal_efficiency_at_rejection,
    size_for_rate,
)

# Probability below a one-standard-deviation interval: 68.27 % lie inside.
TAIL = float(ndtr(-1.0))
# Positions of the true threshold among the background's order statistics that are averaged over.
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


def auc_interval(background: Sample, signal: Sample) -> Interval:
    """Return the area under the ROC with the interval of its DeLong variance, in O(n log n).

    The interval is symmetric in logit(AUC), so it stays inside [0, 1]. Where the variance
    cannot be estimated (classes fully separated, or less than two events in one), the interval is
    Clopper-Pearson's for as many trials as the smaller class has: the largest variance that
    an AUC can have is A(1-A)/min(n).
    """
    value = auc(background, signal)
    sizes = (background.effective_events, signal.effective_events)
    variance = 0.0
    if min(sizes) >= 2:
        for sample, other in ((background, signal), (signal, background)):
            placement = other.placement(sample.values)
            centred = placement - sample.shares @ placement
            n = sample.effective_events
            variance += float(sample.squares @ centred**2) * n / (n - 1)
    # rounding leaves 1e-34 where the classes are separated
    if variance < 1e-30 or not 0 < value < 1:
        return binomial(value * min(sizes), min(sizes))._replace(value=value)
    width = np.sqrt(variance) / (value * (1 - value))
    return Interval(value, float(expit(logit(value) - width)), float(expit(logit(value) + width)))


def efficiency_interval(
    background: Sample, signal: Sample, rejection: float | int
) -> Interval | None:
    """Return the signal efficiency at a rejection, both samples' fluctuations in the interval.

    The number of background events above the true threshold is binomial, so the true threshold
    lies between two order statistics of the background with a known probability. Clopper-Pearson's
    bounds on the signal efficiency are averaged over these places: with infinite background
    the interval is Clopper-Pearson's, with infinite signal that of the background quantile.
    None where `signal_efficiency_at_rejection` is None.
    """
    value = signal_efficiency_at_rejection(background, signal, rejection)
    if value is None:
        return None
    if rejection == 1:
        return Interval(1.0, 1.0, 1.0)
    size = size_for_rate(background, rejection)
    # bdtrik inverts the binomial distribution for a real number of events; k stands for (k-1, k]
    rates = (bdtrik(_NODES, size, 1.0 / rejection) + 0.5) / size
    passing = signal_efficiency(background, signal, np.minimum(rates, 1.0))
    n = signal.effective_events
    low, high = _mixed_clopper_pearson(passing * n, n)
    return Interval(value, min(low, value), max(high, value))


def _mixed_clopper_pearson(
    successes: Float64[np.ndarray, " node"], trials: float
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

    return float(brentq(excess, edges.min(), edges.max(), xtol=1e-15, rtol=1e-10))


def _distinct(
    a: Float64[np.ndarray, " node"], b: Float64[np.ndarray, " node"]
) -> tuple[Float64[np.ndarray, "2 distinct"], Float64[np.ndarray, " distinct"]]:
    """Merge equal nodes: neighbouring places in a small tail often pass the same signal."""
    _, index, counts = np.unique(a, return_index=True, return_counts=True)
    return np.stack([a[index], b[index]]), counts.astype(np.float64)
