"""Metrics of a score, for each signal and as a mean over the signals of a group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from anomaly_hep.evaluate import intervals
from anomaly_hep.evaluate.cells import Cell, plain
from anomaly_hep.evaluate.intervals import Interval
from anomaly_hep.evaluate.roc import ScoreDistribution

# takes background and signal; None if there are too few events
Measure = Callable[[ScoreDistribution, ScoreDistribution], Interval | None]
# takes background and several signals, each of which counts once
Mean = Callable[[ScoreDistribution, Sequence[ScoreDistribution]], Interval | None]
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
