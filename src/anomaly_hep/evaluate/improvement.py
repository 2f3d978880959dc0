"""Total improvement: the largest significance improvement of a signal over channels, bootstrapped.

The challenge's figure of merit (arXiv:2105.14027, SciPost Phys. 12, 045 section 4.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, UInt8

from anomaly_hep.evaluate.intervals import TAIL, Interval
from anomaly_hep.evaluate.roc import ScoreDistribution, scaled, tail_events

Values = Float64[np.ndarray, " event"]
_REPLICAS = 200


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Events of one class in one channel: their weights, and every score by name."""

    weights: Values
    scores: Mapping[str, Values]


Channel = Mapping[str, ClassScores]  # by label


@dataclass(frozen=True, eq=False)
class Improvements:
    """Total improvements of one score: the measured one and its bootstrap replicas, by signal."""

    replicas: Mapping[str, Float64[np.ndarray, " replica"]]

    def of(self, signal: str) -> Interval:
        """Return the total improvement of a signal."""
        return _interval(self.replicas[signal])

    def summary(self) -> dict[str, Interval]:
        """Return median, minimum and maximum over the signals."""
        table = np.stack(list(self.replicas.values()))
        return {
            "median": _interval(np.median(table, axis=0)),
            "minimum": _interval(table.min(axis=0)),
            "maximum": _interval(table.max(axis=0)),
        }

    def ratio(self, other: Improvements) -> Interval:
        """Return the ratio of the medians of two scores of the same events."""
        one, two = (
            np.median(np.stack(list(r.values())), axis=0) for r in (self.replicas, other.replicas)
        )
        return _interval(one / np.maximum(two, 1e-9))


def _interval(replicas: Float64[np.ndarray, " replica"]) -> Interval:
    """Return the first, measured value with the central 68 % of the others."""
    low, high = np.quantile(replicas[1:], [TAIL, 1 - TAIL])
    value = float(replicas[0])
    return Interval(value, min(float(low), value), max(float(high), value))


def total_improvements(
    channels: Mapping[str, Channel], background: str, rejections: Sequence[float], seed: int = 0
) -> dict[str, Improvements]:
    """Return the total improvements of every score that all channels have.

    Each replica draws background and signal events anew, in all channels; the same replica of two
    scores has the same events. Cuts for which a channel has not enough background are left out.
    """
    rng = np.random.default_rng(seed)
    best: dict[str, dict[str, Float64[np.ndarray, " replica"]]] = {}
    names = _common_scores(channels)
    for channel in channels.values():
        drawn = {label: _drawn(events, rng) for label, events in channel.items()}
        for name in names:
            found = _improvements(channel, drawn, name, background, rejections)
            for label, values in found.items():
                known = best.setdefault(name, {}).get(label)
                best[name][label] = values if known is None else np.maximum(known, values)
    return {name: Improvements(best[name]) for name in names if best.get(name)}


def _common_scores(channels: Mapping[str, Channel]) -> list[str]:
    listed = [list(next(iter(channel.values())).scores) for channel in channels.values()]
    return [name for name in listed[0] if all(name in names for names in listed)]


def _drawn(events: ClassScores, rng: np.random.Generator) -> UInt8[np.ndarray, "replica event"]:
    """Return how often each replica holds each event; the first is the sample itself."""
    number = len(events.weights)
    counts = rng.poisson(1.0, (_REPLICAS, number)).astype(np.uint8)
    return np.concatenate([np.ones((1, number), np.uint8), counts])


def _improvements(
    channel: Channel,
    drawn: Mapping[str, UInt8[np.ndarray, "replica event"]],
    name: str,
    background: str,
    rejections: Sequence[float],
) -> dict[str, Float64[np.ndarray, " replica"]]:
    """Return the significance improvements of one score in one channel, by signal."""
    tail = channel[background]
    measured = ScoreDistribution.of(tail.scores[name], tail.weights)
    usable = [r for r in rejections if tail_events(measured, r) >= 1]
    order = np.argsort(-tail.scores[name], kind="stable")
    values = tail.scores[name][order]
    weights = scaled(tail.weights[order])
    signals = [label for label in channel if label != background]
    best = {label: np.zeros(_REPLICAS + 1) for label in signals if usable}
    cuts = [_cuts(values, weights * counts[order], usable) for counts in drawn[background]]
    for label, improved in best.items():
        events = channel[label]
        ascending = np.argsort(events.scores[name], kind="stable")
        sorted_scores, own = events.scores[name][ascending], scaled(events.weights[ascending])
        for replica, (counts, (cut, inside)) in enumerate(zip(drawn[label], cuts, strict=True)):
            below = np.concatenate([np.zeros(1), np.cumsum(own * counts[ascending])])
            total = max(below[-1], np.finfo(np.float64).tiny)
            above, reached = (
                1 - below[np.searchsorted(sorted_scores, cut, side=side)] / total
                for side in ("right", "left")
            )
            passed = above + inside * (reached - above)
            improved[replica] = max(p * r**0.5 for p, r in zip(passed, usable, strict=True))
    return best


def _cuts(
    values: Values, weights: Values, rejections: Sequence[float]
) -> tuple[Float64[np.ndarray, " cut"], Float64[np.ndarray, " cut"]]:
    """Return the cuts of these rejections on falling `values`, and the share that passes at each.

    The background above a cut and this share of that at it make the rate 1 / rejection.
    """
    # negative weights subtract; where the sum would fall, it stays
    passing = np.maximum.accumulate(np.cumsum(weights))
    rates = np.array([passing[-1] / rejection for rejection in rejections])
    index = np.searchsorted(passing, rates * (1 + 1e-9), side="right")
    cut = values[np.minimum(index, len(values) - 1)]
    edges = np.concatenate([np.zeros(1), passing])
    above, reached = (edges[np.searchsorted(-values, -cut, side=s)] for s in ("left", "right"))
    return cut, np.clip((rates - above) / np.maximum(reached - above, 1e-300), 0.0, 1.0)
