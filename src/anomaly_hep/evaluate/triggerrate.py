"""From a score to a trigger rate: the threshold that background alone sets, with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10

import numpy as np
from scipy.special import bdtrik

from anomaly_hep.errors import ConfigError
from anomaly_hep.evaluate.intervals import TAIL, Interval, binomial
from anomaly_hep.evaluate.roc import ScoreDistribution, size_for_rate, tail_events

FEWEST = 10  # effective background events above a threshold
_ROUNDING = 1e-9  # weights sum with rounding


@dataclass(frozen=True)
class TriggerThreshold:
    """A threshold on a score, above which an event is kept, and the rate of background above it.

    threshold: in the score's unit, with its central 68 % interval. rate_hz: in Hz, of the
    background above `threshold.value`, with the interval of its binomial error. above: effective
    background events above it.
    """

    score: str
    threshold: Interval
    rate_hz: Interval
    above: float


def trigger_threshold(
    score: str,
    background: ScoreDistribution,
    rate_hz: float,
    input_rate_hz: float,
    events: int | None = None,
) -> TriggerThreshold:
    """Return the lowest threshold whose background rate is at most `rate_hz` of `input_rate_hz`.

    It lies in the middle between the last background event that is kept and the first that is not.
    The number of background events above the true threshold is binomial; its central 68 % are two
    order statistics, which bound the threshold. events: how many events `background` is made of,
    for messages; None: as many as are effective.

    Raises ConfigError where the rate is not below that of the input, where fewer than 10 effective
    background events lie above the threshold, and where too many have the highest score.
    """
    _check_rate(score, background, rate_hz, input_rate_hz, events)
    share = rate_hz / input_rate_hz
    kept = int(np.searchsorted(background.cumulative, share * (1 + _ROUNDING), side="right")) - 1
    if not kept:
        raise ConfigError(
            f"score={score}: {100 * background.shares[0]:.3g} % of the background have the highest "
            f"score, {background.values[0]:g}, and no threshold passes {100 * share:.3g} %. Cure: "
            f"rate_hz={_rounded_up(background.cumulative[1] * input_rate_hz)} or more, or another "
            "score"
        )
    high, low = float(background.values[kept - 1]), float(background.values[kept])
    middle = low + (high - low) / 2
    threshold = middle if middle < high else low  # neighbouring floats have no middle
    reached = float(background.cumulative[kept])
    number = size_for_rate(background, 1 / reached)
    rate = binomial(min(reached * number, number), number)
    return TriggerThreshold(
        score,
        _with_order_statistics(background, share, threshold),
        Interval(*(part * input_rate_hz for part in rate)),
        round(reached * number, 3),
    )


def _check_rate(
    score: str,
    background: ScoreDistribution,
    rate_hz: float,
    input_rate_hz: float,
    events: int | None,
) -> None:
    if rate_hz >= input_rate_hz:
        raise ConfigError(
            f"rate_hz={rate_hz:g} is not below input_rate_hz={input_rate_hz:g}, so that every "
            "event passes. Cure: a lower rate_hz"
        )
    share = rate_hz / input_rate_hz
    above = tail_events(background, 1 / share)
    if above < FEWEST:
        known = background.effective_events
        more = ceil((FEWEST / above - 1) * (known if events is None else events))
        lowest = _lowest_share(background)
        cure = "" if lowest is None else f"rate_hz={_rounded_up(lowest * input_rate_hz)}, or "
        raise ConfigError(
            f"rate_hz={rate_hz:g} of input_rate_hz={input_rate_hz:g} is a share of {share:.3g}, "
            f"above whose threshold on {score} lie {above:.2g} of {known:,.0f} effective background"
            f" events: {FEWEST} are needed. Cure: {cure}a test on about {more:,} more background "
            "events"
        )


def _lowest_share(background: ScoreDistribution) -> float | None:
    """Return the smallest share of background whose tail holds enough events; None for none."""
    low, high = 0.0, 1 - _ROUNDING
    if tail_events(background, 1 / high) < FEWEST:
        return None
    for _ in range(50):
        middle = (low + high) / 2
        enough = middle > 0 and tail_events(background, 1 / middle) >= FEWEST
        low, high = (low, middle) if enough else (middle, high)
    return high


def _rounded_up(rate: float) -> str:
    """Return a rate with three digits that is not below the one given."""
    digits = 2 - floor(log10(rate))
    return f"{ceil(rate * 10**digits) / 10**digits:.{max(digits, 0)}f}"


def _with_order_statistics(
    background: ScoreDistribution, share: float, threshold: float
) -> Interval:
    """Return the threshold with the order statistics that hold the true one in 68 % of cases."""
    number = size_for_rate(background, 1 / share)
    # bdtrik is for a real number of events; k stands for (k - 1, k]
    above = (bdtrik(np.array([TAIL, 1 - TAIL]), number, share) + 0.5) / number
    # an event's own share counts as above it by half
    placed = background.cumulative[1:] - background.shares / 2
    high, low = np.interp(above, placed, background.values)
    return Interval(threshold, min(float(low), threshold), max(float(high), threshold))
