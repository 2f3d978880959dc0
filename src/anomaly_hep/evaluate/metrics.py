"""Metrics of a score, for each signal and as a mean over the signals of a group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from anomaly_hep.evaluate import intervals
from anomaly_hep.evaluate.cells import Cell, plain
from anomaly_hep.evaluate.intervals import Interval
from anomaly_hep.evaluate.roc import ScoreDistribution

# takes background and signal; None if there are too few events
Measure = Callable[[ScoreDistribution, ScoreDistribution], Interval | None]
# takes background and several signals, each of which counts once
Mean = Callable[[ScoreDistribution, Sequence[ScoreDistribution]], Interval | None]
_CUTS = 60  # of a curve of significance improvements
# takes the signals without a value, by score, and the background events as text
Notes = Callable[[Mapping[str, Sequence[str]], str], Iterator[str]]


@dataclass(frozen=True)
class Metric:
    """A number with its interval, from the scores of background and signals.

    `key` is its name in metrics.json, `title` heads its table. `notes` explain why some signals
    have no value. `rejection` or `efficiency` is its working point on the ROC. Tables show `scale`
    times its values: in % by default.
    """

    key: str
    title: str
    of: Measure = field(compare=False)
    mean: Mean = field(compare=False)
    notes: Notes = field(compare=False, default=lambda *_: iter(()))
    rejection: float | None = None
    efficiency: float | None = None
    scale: float = 100.0

    def cell(self, interval: Interval) -> Cell:
        """Return a value as tables show it."""
        return plain(*(self.scale * number for number in interval))


def signal_efficiency_at(rejection: float) -> Metric:
    """Return the metric of the signal efficiency at this background rejection."""

    def notes(absent: Mapping[str, Sequence[str]], background: str) -> Iterator[str]:
        yield (
            f"no efficiency at rejection {rejection:g} for {', '.join(absent)}: of {background} "
            "fewer than one (counted by weight) would pass; evaluate more of them"
        )

    return Metric(
        f"efficiency_at_rejection_{rejection:g}",
        f"Signal efficiency in % at background rejection {rejection:g}",
        lambda background, signal: intervals.efficiency_interval(background, signal, rejection),
        lambda background, signals: intervals.mean_efficiency_interval(
            background, signals, rejection
        ),
        notes,
        rejection=rejection,
    )


def background_rate_at(efficiency: float) -> Metric:
    """Return the metric of the background efficiency at this signal efficiency."""
    percent = f"{100 * efficiency:g}"

    def notes(absent: Mapping[str, Sequence[str]], background: str) -> Iterator[str]:
        del background  # only the signal is too small
        for score, signals in absent.items():
            yield (
                f"no background rate at signal efficiency {percent} % for {score} on "
                f"{', '.join(signals)}: fewer than one event of that signal (counted by weight) "
                "would pass"
            )

    return Metric(
        f"fpr_at_tpr_{percent}",
        f"Background that passes in % where {percent} % of the signal does",
        lambda background, signal: intervals.fpr_interval(background, signal, efficiency),
        lambda background, signals: intervals.mean_fpr_interval(background, signals, efficiency),
        notes,
        efficiency=efficiency,
    )


def significance_improvement(rejections: Sequence[float]) -> Metric:
    """Return the metric of the largest eps_S / sqrt(eps_B) among cuts of these rejections.

    Cuts for which there is not enough background are left out. Where one cut is much better than
    the others the interval is that of its efficiency; else the largest value also selects an upward
    fluctuation, and the interval, of largest bounds, moves with it. SciPost Phys. 12, 045 eq. 8.
    """

    def largest(found: Sequence[Interval | None]) -> Interval | None:
        scaled = [
            [number * rejection**0.5 for number in interval]
            for interval, rejection in zip(found, rejections, strict=True)
            if interval is not None
        ]
        return Interval(*map(max, zip(*scaled, strict=True))) if scaled else None

    names = ", ".join(f"{1 / rejection:g}" for rejection in rejections)
    return Metric(
        "significance_improvement",
        f"Significance improvement, the largest at background efficiencies {names}",
        lambda background, signal: largest(
            [intervals.efficiency_interval(background, signal, r) for r in rejections]
        ),
        lambda background, signals: largest(
            [intervals.mean_efficiency_interval(background, signals, r) for r in rejections]
        ),
        scale=1.0,
    )


def largest_improvement(fewest: int = 10) -> Metric:
    """Return the metric of the largest eps_S / sqrt(eps_B) that `fewest` background events pass.

    The cuts are `_CUTS` background efficiencies, evenly spaced in their logarithm. Its interval is
    as that of `significance_improvement`. arXiv:2408.17409 section 4 draws the curve, SIC.
    """

    def notes(absent: Mapping[str, Sequence[str]], background: str) -> Iterator[str]:
        yield (
            f"no significance improvement for {', '.join(absent)}: of {background} fewer than "
            f"{fewest} would pass any cut; evaluate more of them"
        )

    def largest(background: ScoreDistribution, of: Callable[[float], Interval | None]) -> Any:
        found = [(r, of(r)) for r in improvement_cuts(background, fewest)]
        scaled = [[n * r**0.5 for n in interval] for r, interval in found if interval is not None]
        return Interval(*map(max, zip(*scaled, strict=True))) if scaled else None

    return Metric(
        "largest_significance_improvement",
        f"Significance improvement, the largest with at least {fewest} background events",
        lambda background, signal: largest(
            background, lambda r: intervals.efficiency_interval(background, signal, r)
        ),
        lambda background, signals: largest(
            background, lambda r: intervals.mean_efficiency_interval(background, signals, r)
        ),
        notes,
        scale=1.0,
    )


def background_at_largest(fewest: int = 10) -> Metric:
    """Return the metric of the background events that pass the cut of `largest_improvement`.

    They are events of equal weight that would fluctuate as much; the interval is binomial.
    """

    def passing(
        background: ScoreDistribution, of: Callable[[float], Interval | None]
    ) -> Interval | None:
        found = [(r, of(r)) for r in improvement_cuts(background, fewest)]
        values = [(i.value * r**0.5, r) for r, i in found if i is not None]
        if not values:
            return None
        size = background.effective_events
        share = intervals.binomial(size / max(values)[1], size)
        return Interval(*(size * number for number in share))

    return Metric(
        "background_at_largest_improvement",
        "Background events that pass the cut of the largest significance improvement",
        lambda background, signal: passing(
            background, lambda r: intervals.efficiency_interval(background, signal, r)
        ),
        lambda background, signals: passing(
            background, lambda r: intervals.mean_efficiency_interval(background, signals, r)
        ),
        scale=1.0,
    )


def improvement_cuts(background: ScoreDistribution, fewest: float) -> list[float]:
    """Return rejections from 1 to that which `fewest` effective background events pass."""
    most = background.effective_events / fewest
    rejections: list[float] = np.geomspace(1.0, most, _CUTS).tolist() if most > 1 else []
    return rejections


AREA = Metric(
    "auc",
    "Area under the ROC curve in %",
    intervals.auc_interval,
    intervals.mean_auc_interval,
)
EFFICIENCY_AT_100 = signal_efficiency_at(100)
RATE_AT_40 = background_rate_at(0.4)
# the metrics for any data
GENERAL = (
    AREA,
    signal_efficiency_at(10),
    EFFICIENCY_AT_100,
    signal_efficiency_at(1000),
    RATE_AT_40,
)
