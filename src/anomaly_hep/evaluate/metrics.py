"""What is measured of a score: for each signal, and as a mean over the signals of a group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from anomaly_hep.evaluate import intervals
from anomaly_hep.evaluate.intervals import Interval
from anomaly_hep.evaluate.roc import ScoreDistribution

# of background and signal, None where too few events were measured
Measure = Callable[[ScoreDistribution, ScoreDistribution], Interval | None]
# of background and several signals, each of which counts once
Mean = Callable[[ScoreDistribution, Sequence[ScoreDistribution]], Interval | None]
# of the signals without a value by score, and of how many background events there are
Notes = Callable[[Mapping[str, Sequence[str]], str], Iterator[str]]


@dataclass(frozen=True)
class Metric:
    """A number between 0 and 1 with its interval, from the scores of background and signals.

    `key` is its name in metrics.json, `title` stands above a table. `notes` say why it has no value
    for some signals. `rejection` or `efficiency` is the point of the ROC that it is read at.
    """

    key: str
    title: str
    of: Measure = field(compare=False)
    mean: Mean = field(compare=False)
    notes: Notes = field(compare=False, default=lambda *_: iter(()))
    rejection: float | None = None
    efficiency: float | None = None


def signal_efficiency_at(rejection: float) -> Metric:
    """Return the share of the signal that passes where one background event in `rejection` does."""

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
    """Return the share of the background that passes where a share `efficiency` of signal does."""
    percent = f"{100 * efficiency:g}"

    def notes(absent: Mapping[str, Sequence[str]], background: str) -> Iterator[str]:
        del background  # what lacks is signal
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


AREA = Metric(
    "auc",
    "Area under the ROC curve in %",
    intervals.auc_interval,
    intervals.mean_auc_interval,
)
EFFICIENCY_AT_100 = signal_efficiency_at(100)
RATE_AT_40 = background_rate_at(0.4)
# what is measured of any data
GENERAL = (
    AREA,
    signal_efficiency_at(10),
    EFFICIENCY_AT_100,
    signal_efficiency_at(1000),
    RATE_AT_40,
)
