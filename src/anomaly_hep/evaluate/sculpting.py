"""Mass sculpting: how a cut on a score changes the shape of the background's mass spectrum.

docs/reference/metrics.md says why the bins, the floor and the intervals are as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.special import rel_entr

from anomaly_hep.evaluate.cuthistograms import Cells, Efficiencies
from anomaly_hep.evaluate.distancecorrelation import distance_correlation
from anomaly_hep.evaluate.intervals import TAIL, Interval, threshold_efficiencies
from anomaly_hep.evaluate.massbins import BackgroundMasses, Values
from anomaly_hep.evaluate.roc import ScoreDistribution, signal_efficiency

REJECTIONS = (10, 100, 1000)
SIGNAL_EFFICIENCY = 0.5
FEWEST = 20  # effective background events that a cut must pass
_DRAWS = 200  # of the sample, for an interval

Shares = Float64[np.ndarray, "*_ bin"]
Divergences = Float64[np.ndarray, "*_"]


@dataclass(frozen=True)
class Sculpted:
    """What one cut does to the shape of the background's mass, in nats, and what chance would do.

    `relative_entropy` is D(after || before), `jensen_shannon` their Jensen-Shannon divergence. The
    floors are those of a random cut that as many effective events pass: mean, central 68 %.
    """

    relative_entropy: Interval
    jensen_shannon: Interval
    floor: Interval
    jensen_shannon_floor: Interval


@dataclass(frozen=True)
class Sculpting:
    """The sculpting by one score: by background rejection, and by signal at `SIGNAL_EFFICIENCY`.

    None where fewer than `FEWEST` effective background events pass. `distance_correlation` is that
    of score and mass over the whole background.
    """

    at_rejection: Mapping[int, Sculpted | None]
    at_signal_efficiency: Mapping[str, Sculpted | None]
    distance_correlation: Interval

    def to_json(self) -> dict[str, Any]:
        """Return the content of metrics.json."""
        return {
            "at_rejection": {str(r): s and vars(s) for r, s in self.at_rejection.items()},
            "at_signal_efficiency_50": {
                label: s and vars(s) for label, s in self.at_signal_efficiency.items()
            },
            "distance_correlation": self.distance_correlation,
        }

    @staticmethod
    def from_json(content: Any) -> Sculpting:
        """Return what metrics.json holds; a damaged one raises some exception."""
        return Sculpting(
            {int(r): _sculpted(s) for r, s in content["at_rejection"].items()},
            {label: _sculpted(s) for label, s in content["at_signal_efficiency_50"].items()},
            Interval(*content["distance_correlation"]),
        )


def _sculpted(content: Any) -> Sculpted | None:
    names = [field.name for field in fields(Sculpted)]
    return content and Sculpted(*(Interval(*content[name]) for name in names))


@dataclass(frozen=True)
class Cut:
    """A cut by the share of the background that passes, or of a signal with these scores."""

    efficiency: float
    signal: ScoreDistribution | None = None

    def positions(
        self, background: ScoreDistribution, rng: np.random.Generator
    ) -> tuple[float, Float64[np.ndarray, " draw"]]:
        """Return its background efficiency, and where it lies for signal samples drawn again."""
        if self.signal is None:
            return self.efficiency, np.full(_DRAWS, self.efficiency)
        value = signal_efficiency(self.signal, background, np.array([self.efficiency]))[0]
        nodes = threshold_efficiencies(self.signal, background, 1.0 / self.efficiency)
        return float(value), rng.permutation(np.resize(nodes, _DRAWS))


def sculpting_of(
    background: BackgroundMasses, scores: Values, signals: Mapping[str, ScoreDistribution]
) -> Sculpting:
    """Return the sculpting by a score, given for every row of the table.

    `signals` are its distributions in the signals, which set the cuts of their own efficiency.
    """
    cuts = [
        *(Cut(1.0 / rejection) for rejection in REJECTIONS),
        *(Cut(SIGNAL_EFFICIENCY, signal) for signal in signals.values()),
    ]
    measured = sculpted_by(background, scores, cuts)
    return Sculpting(
        dict(zip(REJECTIONS, measured, strict=False)),
        dict(zip(signals, measured[len(REJECTIONS) :], strict=True)),
        distance_correlation(scores[background.rows], background.mass, background.weight),
    )


def sculpted_by(
    background: BackgroundMasses, scores: Values, cuts: Sequence[Cut]
) -> list[Sculpted | None]:
    """Return the sculpting by cuts on a score, given for every row of the table.

    Intervals contain the fluctuation of the background, and of the signal that sets a cut.
    """
    scores, rng = scores[background.rows], np.random.default_rng(0)
    sample = ScoreDistribution.of(scores, background.weight)
    positions = [cut.positions(sample, rng) for cut in cuts]
    efficiencies = np.array([value for value, _ in positions], np.float64)
    cells = Cells.of(background, scores, sample, efficiencies)
    events = cells.effective(efficiencies)
    enough = np.flatnonzero(events >= FEWEST * (1 - 1e-9))
    found: list[Sculpted | None] = [None] * len(cuts)
    if not len(enough):
        return found
    before, after = _shares(cells.at(np.ones(1))[0]), _shares(cells.at(efficiencies[enough]))
    again, cut_again = cells.drawn(np.stack([positions[i][1] for i in enough], axis=1), rng)
    again, cut_again = _shares(again)[:, None], _shares(cut_again)
    chance = _shares(_random_cuts(cells, before, events[enough], rng))
    columns: list[list[Interval]] = []
    for measure in (relative_entropy, jensen_shannon):
        floor = measure(chance, before)
        columns += [
            _intervals(measure(after, before), measure(cut_again, again), floor),
            _floors(floor),
        ]
    for i, (entropy, floor_of_it, shannon, shannon_floor) in zip(
        enough, zip(*columns, strict=True), strict=True
    ):
        found[i] = Sculpted(entropy, shannon, floor_of_it, shannon_floor)
    return found


def relative_entropy(after: Shares, before: Shares) -> Divergences:
    """Return D(after || before) = Σ q ln(q / p) in nats; bins that the cut empties add nothing."""
    return np.asarray(rel_entr(after, before).sum(axis=-1))


def jensen_shannon(after: Shares, before: Shares) -> Divergences:
    """Return the Jensen-Shannon divergence in nats, from 0 to ln 2."""
    middle = (after + before) / 2
    both = relative_entropy(after, middle) + relative_entropy(before, middle)
    return np.asarray(both / 2)


def _shares(content: Shares) -> Shares:
    """Return each bin's share; a bin that negative weights leave below 0 counts as empty."""
    content = content.clip(min=0.0)
    total = content.sum(axis=-1, keepdims=True)
    return np.divide(content, total, out=np.zeros_like(content), where=total > 0)


def _random_cuts(
    cells: Cells, before: Shares, events: Efficiencies, rng: np.random.Generator
) -> Float64[np.ndarray, "draw cut bin"]:
    """Return what random cuts leave in each bin, so tight that `events` effective ones pass."""
    numbers = np.maximum(cells.effective_by_bin().round(), 1).astype(np.int64)
    chance = (events / cells.effective(np.ones(1))).clip(max=1.0)
    passed = rng.binomial(numbers, chance[:, None], (_DRAWS, len(events), len(numbers)))
    return passed * (before / numbers)


def _intervals(
    value: Float64[np.ndarray, " cut"],
    again: Float64[np.ndarray, "draw cut"],
    floor: Float64[np.ndarray, "draw cut"],
) -> list[Interval]:
    """Return values with the fluctuation of samples drawn again.

    Drawing again adds the fluctuation of the sample at hand to itself, which shifts the values, so
    deviations from their mean count; and where nothing is sculpted it makes their variance three
    times that of the floor instead of once, so twice the floor's is taken off, and less in
    proportion where more is sculpted.
    """
    least, variance = floor.var(axis=0), again.var(axis=0)
    chance = np.divide(floor.mean(axis=0), value, out=np.ones_like(value), where=value > 0)
    kept = np.maximum(variance - 2 * least * chance.clip(max=1.0), least)
    factor = np.sqrt(np.divide(kept, variance, out=np.zeros_like(kept), where=variance > 0))
    deviation = (again - again.mean(axis=0)) * factor
    low, high = np.quantile(deviation, [TAIL, 1 - TAIL], axis=0)
    return [
        Interval(float(v), float(np.clip(v + down, 0.0, v)), float(v + max(up, 0.0)))
        for v, down, up in zip(value, low, high, strict=True)
    ]


def _floors(floor: Float64[np.ndarray, "draw cut"]) -> list[Interval]:
    """Return mean and central 68 % of what random cuts give."""
    numbers = [floor.mean(axis=0), *np.quantile(floor, [TAIL, 1 - TAIL], axis=0)]
    return [Interval(*map(float, point)) for point in zip(*numbers, strict=True)]
