"""What thresholds that depend on the mass do to the background that passes, beside a single one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped
from scipy.special import rel_entr

from anomaly_hep.evaluate.intervals import Interval, binomial, mean_efficiency_interval
from anomaly_hep.evaluate.roc import ScoreDistribution
from anomaly_hep.fpga.design import Design
from anomaly_hep.fpga.masstable import MassTable
from anomaly_hep.fpga.verify import Stage

_BINS = 10  # of mass, at most
_IN_BIN = 20  # background events that pass in each, on average


@dataclass(frozen=True)
class Passing:
    """The test background that passes: its share by bin of mass, and in all.

    `relative_entropy`, in nats, is that of its mass against that of all background. `efficiency` is
    the mean over the signals at the same rejection, None without any.
    """

    in_bins: tuple[Interval, ...]
    share: Interval
    relative_entropy: float
    efficiency: Interval | None


@dataclass(frozen=True)
class Decorrelation:
    """Thresholds by mass on the chip, and what they change.

    `step` is that of the mass at its port, in GeV; `beyond_range` the share of test events whose
    mass is not in the port's range. `shares` of background are those of the levels; at level
    `deciding` (from 0) the trigger fires. `edges` are those of the mass bins, in GeV, equally full
    of test background. `chance` is the mean relative entropy that a random cut of the same
    rejection would give.
    """

    column: str
    type: str
    step: float
    beyond_range: float
    shares: tuple[float, ...]
    deciding: int
    training_events: int
    edges: tuple[float, ...]
    single: Passing
    by_mass: Passing
    chance: float


def measured(
    design: Design,
    table: MassTable,
    chip: Stage,
    masses: Float[np.ndarray, " event"],
    labels: Shaped[np.ndarray, " event"],
    background: str,
    rejection: float,
) -> Decorrelation:
    """Return what the table does to the test events, whose masses are in GeV.

    `chip` is a stage with integer scores.
    """
    rows = labels == background
    edges, places = _bins(masses[rows], rejection)
    scores = chip.integers["score"]
    _, beyond = table.quantize(masses)
    fires = {"single": scores > design.threshold, "by_mass": chip.fires}
    ranks = {"single": design.score.real(scores), "by_mass": chip.scores}
    passing = {
        name: _passing(fires[name][rows], places, _mean_efficiency(ranks[name], labels, background,
                                                                  rejection))
        for name in fires
    }  # fmt: skip
    bins = len(edges) - 1
    return Decorrelation(
        column=table.column,
        type=str(table.mass),
        step=table.mass.lsb,
        beyond_range=float(beyond.mean()),
        shares=table.shares,
        deciding=table.deciding,
        training_events=table.events,
        edges=tuple(map(float, edges)),
        **passing,
        # 2 n D is a chi-squared of bins - 1 degrees of freedom, for n events that pass
        chance=(bins - 1) * rejection / (2 * int(rows.sum())),
    )


def _bins(
    masses: Float[np.ndarray, " event"], rejection: float
) -> tuple[Float[np.ndarray, " edge"], Int64[np.ndarray, " event"]]:
    """Return the edges of bins that hold equally many events, and the bin of each event."""
    number = int(np.clip(len(masses) / rejection / _IN_BIN, 2, _BINS))
    edges = np.unique(np.quantile(masses, np.linspace(0, 1, number + 1)))
    if len(edges) == 1:  # one mass alone
        edges = np.repeat(edges, 2)
    return edges, np.searchsorted(edges[1:-1], masses, side="right")


def _passing(
    fires: Bool[np.ndarray, " event"],
    places: Int64[np.ndarray, " event"],
    efficiency: Interval | None,
) -> Passing:
    before, after = (np.bincount(p, minlength=places.max() + 1) for p in (places, places[fires]))
    divergence = 0.0
    if after.any():
        divergence = float(rel_entr(after / after.sum(), before / before.sum()).sum())
    in_bins = tuple(binomial(a, b) for a, b in zip(after.tolist(), before.tolist(), strict=True))
    share = binomial(int(fires.sum()), len(fires))
    return Passing(in_bins, share, divergence, efficiency)


def _mean_efficiency(
    scores: Float[np.ndarray, " event"],
    labels: Shaped[np.ndarray, " event"],
    background: str,
    rejection: float,
) -> Interval | None:
    samples: Mapping[str, ScoreDistribution] = {
        label: ScoreDistribution.of(scores[labels == label], name=label)
        for label in np.unique(labels).tolist()
    }
    signals = [sample for label, sample in samples.items() if label != background]
    if not signals:
        return None
    return mean_efficiency_interval(samples[background], signals, rejection)
