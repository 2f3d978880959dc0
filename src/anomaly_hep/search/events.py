"""The events of a run, with mass, score and weight; cuts on the score; mixtures of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64
from scipy.stats import spearmanr

from anomaly_hep.errors import ConfigError, SearchError
from anomaly_hep.evaluate.evaluation import SCORE_PREFIX
from anomaly_hep.evaluate.roc import ScoreDistribution, check_finite, check_weights
from anomaly_hep.evaluate.runfiles import RunFiles

MASS = "mass"
Values = Float64[np.ndarray, " event"]


@dataclass(frozen=True, eq=False)
class Sample:
    """Events of one class or mixture: mass in GeV, score, weight."""

    mass: Values
    score: Values
    weight: Values

    def __len__(self) -> int:
        return len(self.mass)

    def take(self, chosen: np.ndarray) -> Sample:
        """Return the events that a mask or an index chooses."""
        return Sample(self.mass[chosen], self.score[chosen], self.weight[chosen])


@dataclass(frozen=True)
class Cut:
    """A threshold that the background's own events set; None lets every event pass.

    `efficiency` was asked for, `reached` is the share of the background's weight that passes: equal
    scores pass or fail together.
    """

    efficiency: float
    reached: float
    threshold: float | None

    @staticmethod
    def at(background: Sample, efficiency: float) -> Cut:
        """Return the tightest cut that at least `efficiency` of the background passes."""
        if efficiency == 1:
            return Cut(1.0, 1.0, None)
        scores = ScoreDistribution.of(background.score, background.weight)
        index = int(np.searchsorted(scores.cumulative, efficiency * (1 - 1e-9), side="left"))
        threshold = scores.values[max(index - 1, 0)]
        return Cut(efficiency, float(scores.reached(np.array([threshold]))[0]), float(threshold))

    def passed(self, sample: Sample) -> Sample:
        """Return the events that pass."""
        every = self.threshold is None
        return sample if every else sample.take(sample.score >= self.threshold)


@dataclass(frozen=True, eq=False)
class RunEvents:
    """The events of a run by class; `left_out` had no mass above 0."""

    samples: dict[str, Sample]
    background: str
    score: str
    left_out: int

    def sample(self, label: str, key: str) -> Sample:
        """Return a class; raises ConfigError for one that the run does not have."""
        if label not in self.samples:
            raise ConfigError(
                f"{key}={label} is no class of the run. Cure: one of {', '.join(self.samples)}"
            )
        return self.samples[label]

    def together(self, labels: Sequence[str], key: str) -> Sample:
        """Return the events of several classes, each once."""
        return merged([self.sample(label, key) for label in dict.fromkeys(labels)])

    @property
    def correlation(self) -> float:
        """Spearman's rank correlation of score and mass of the background's events."""
        events = self.samples[self.background]
        if np.ptp(events.score) == 0:
            return 0.0
        return float(spearmanr(events.score, events.mass).statistic)


def merged(samples: Sequence[Sample]) -> Sample:
    """Return the events of all samples."""
    columns = zip(*((s.mass, s.score, s.weight) for s in samples), strict=True)
    return Sample(*(np.concatenate(column) for column in columns))


def read_events(files: RunFiles, score: str | None) -> RunEvents:
    """Return the test events of a run with one of its scores, by default that of the run.

    Raises SearchError for a table without mass or background, ConfigError for an unknown score.
    """
    table, results = files.table, files.results
    where = files.directory / "scores.parquet"
    name = results.default_score if score is None else score
    scores = [c.removeprefix(SCORE_PREFIX) for c in table.columns if c.startswith(SCORE_PREFIX)]
    if name not in scores:
        raise ConfigError(f"score={name} is none of {where}. Cure: one of {', '.join(scores)}")
    if MASS not in table.columns:
        raise SearchError(
            f"{where} has no column '{MASS}'. Cure: make the run again with data.mass=COLUMN, "
            "which names the column of the events' mass in GeV"
        )
    background = results.data.background
    masses = table[MASS].to_numpy(np.float64)
    good = np.isfinite(masses) & (masses > 0)
    samples = _samples(table[good], name)
    if background not in samples:
        raise SearchError(
            f"{where} has no event of the background {background} with a mass above 0 GeV, and the "
            "cut is set by it. Cure: test the run on background too, with its mass"
        )
    if np.ptp(samples[background].mass) <= 1e-6 * samples[background].mass.max():
        raise SearchError(
            f"{where}: all {len(samples[background])} events of {background} have the mass "
            f"{samples[background].mass[0]:g} GeV, which is no spectrum. Cure: a column of "
            "reconstructed masses as data.mass"
        )
    return RunEvents(samples, background, name, int((~good).sum()))


def _samples(table: pd.DataFrame, score: str) -> dict[str, Sample]:
    weights = table["weight"] if "weight" in table.columns else pd.Series(1.0, index=table.index)
    columns = (table[MASS], table[SCORE_PREFIX + score], weights)
    mass, value, weight = (column.to_numpy(np.float64) for column in columns)
    check_finite(value, score)
    check_weights(weight, "weight")
    labels = table["label"].to_numpy()
    everything = Sample(mass, value, weight)
    return {str(label): everything.take(labels == label) for label in pd.unique(labels) if label}


def mixture(background: Sample, signal: Sample, fraction: float, seed: list[int]) -> Sample:
    """Return all background events and so many signal events that these are `fraction` of all.

    Signal events are drawn without replacement and have the background's mean weight, times their
    own relative one. Raises SearchError where there are not enough.
    """
    number = injected(len(background), fraction)
    if round(number) > len(signal):
        most = len(signal) / (len(signal) + len(background))
        raise SearchError(
            f"fraction={fraction:g} of signal needs {number:.0f} signal events, and the run has "
            f"{len(signal)}. Cure: fraction={most:.2g} or less"
        )
    drawn = np.random.default_rng(seed).choice(len(signal), round(number), replace=False)
    events = signal.take(np.sort(drawn))
    weight = events.weight * (background.weight.mean() / signal.weight.mean())
    return merged([background, Sample(events.mass, events.score, weight)])


def injected(background: float, fraction: float) -> float:
    """Return how much signal beside so much background is `fraction` of both."""
    return background * fraction / (1 - fraction)


def within(sample: Sample, low: float, high: float) -> Bool[np.ndarray, " event"]:
    """Return which events have a mass from `low` to below `high`, in GeV."""
    return (sample.mass >= low) & (sample.mass < high)
