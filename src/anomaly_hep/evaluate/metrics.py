"""What is measured of a score: for each signal, and as a mean over the signals of a group."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from anomaly_hep.evaluate.intervals import (
    Interval,
    auc_interval,
    efficiency_interval,
    fpr_interval,
    mean_auc_interval,
    mean_efficiency_interval,
    mean_fpr_interval,
)
from anomaly_hep.evaluate.roc import ScoreDistribution


class Metric(ABC):
    """A number between 0 and 1 with its interval, from the scores of background and signals.

    `rejection` or `efficiency` is the point of the ROC that it is read at; an area has neither.
    """

    rejection: float | None
    efficiency: float | None

    @property
    @abstractmethod
    def key(self) -> str:
        """Name in metrics.json."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What stands above a table of it."""

    @abstractmethod
    def of(self, background: ScoreDistribution, signal: ScoreDistribution) -> Interval | None:
        """Return the metric of one signal; None where too few events were measured."""

    @abstractmethod
    def mean(
        self, background: ScoreDistribution, signals: Sequence[ScoreDistribution]
    ) -> Interval | None:
        """Return the mean over signals, each of which counts once."""

    def notes(self, absent: Mapping[str, Sequence[str]], background: str) -> Iterator[str]:
        """Say why the metric is None for some signals (`absent`, by score).

        `background` says how many background events there are.
        """
        del absent, background
        yield from ()


@dataclass(frozen=True)
class Area(Metric):
    """Area under the ROC curve."""

    key = "auc"
    title = "Area under the ROC curve in %"
    rejection = None
    efficiency = None

    def of(self, background: ScoreDistribution, signal: ScoreDistribution) -> Interval:
        """Return the area of one signal."""
        return auc_interval(background, signal)

    def mean(self, background: ScoreDistribution, signals: Sequence[ScoreDistribution]) -> Interval:
        """Return the mean area."""
        return mean_auc_interval(background, signals)


@dataclass(frozen=True)
class SignalEfficiency(Metric):
    """Share of the signal that passes where one background event in `rejection` does."""

    rejection: float
    efficiency = None

    @property
    def key(self) -> str:
        """Name in metrics.json."""
        return f"efficiency_at_rejection_{self.rejection:g}"

    @property
    def title(self) -> str:
        """What stands above a table of it."""
        return f"Signal efficiency in % at background rejection {self.rejection:g}"

    def of(self, background: ScoreDistribution, signal: ScoreDistribution) -> Interval | None:
        """Return the efficiency for one signal."""
        return efficiency_interval(background, signal, self.rejection)

    def mean(
        self, background: ScoreDistribution, signals: Sequence[ScoreDistribution]
    ) -> Interval | None:
        """Return the mean efficiency."""
        return mean_efficiency_interval(background, signals, self.rejection)

    def notes(self, absent: Mapping[str, Sequence[str]], background: str) -> Iterator[str]:
        """Name the scores: the background is too small for any signal."""
        yield (
            f"no efficiency at rejection {self.rejection:g} for {', '.join(absent)}: of "
            f"{background} fewer than one (counted by weight) would pass; evaluate more of them"
        )


@dataclass(frozen=True)
class BackgroundRate(Metric):
    """Share of the background that passes where a share `efficiency` of the signal does."""

    efficiency: float
    rejection = None

    @property
    def key(self) -> str:
        """Name in metrics.json."""
        return f"fpr_at_tpr_{100 * self.efficiency:g}"

    @property
    def title(self) -> str:
        """What stands above a table of it."""
        return f"Background that passes in % where {100 * self.efficiency:g} % of the signal does"

    def of(self, background: ScoreDistribution, signal: ScoreDistribution) -> Interval | None:
        """Return the rate for one signal."""
        return fpr_interval(background, signal, self.efficiency)

    def mean(
        self, background: ScoreDistribution, signals: Sequence[ScoreDistribution]
    ) -> Interval | None:
        """Return the mean rate."""
        return mean_fpr_interval(background, signals, self.efficiency)

    def notes(self, absent: Mapping[str, Sequence[str]], background: str) -> Iterator[str]:
        """Name the signals of each score that are too small."""
        del background
        for score, signals in absent.items():
            yield (
                f"no background rate at signal efficiency {100 * self.efficiency:g} % for {score} "
                f"on {', '.join(signals)}: fewer than one event of that signal (counted by "
                "weight) would pass"
            )


AREA = Area()
EFFICIENCY_AT_100 = SignalEfficiency(100)
RATE_AT_40 = BackgroundRate(0.4)
# what is measured of any data
GENERAL: tuple[Metric, ...] = (
    AREA,
    SignalEfficiency(10),
    EFFICIENCY_AT_100,
    SignalEfficiency(1000),
    RATE_AT_40,
)
