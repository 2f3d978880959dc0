"""What thresholds that depend on the mass do to the background that passes, beside a single one."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from anomaly_hep.errors import SculptingError
from anomaly_hep.evaluate.intervals import Interval, binomial
from anomaly_hep.evaluate.massbins import BackgroundMasses
from anomaly_hep.evaluate.sculpting import Cut, Sculpted, sculpted_by
from anomaly_hep.fpga.design import Design
from anomaly_hep.fpga.efficiencies import by_label, mean_efficiency
from anomaly_hep.fpga.masstable import MassTable
from anomaly_hep.fpga.summary import DecorrelationSummary, PassingSummary
from anomaly_hep.fpga.trigger_inputs import Jets
from anomaly_hep.fpga.verify import Stage

_BINS = 10  # of mass, at most
_IN_BIN = 10  # background events that pass in each, on average


def measured(
    design: Design,
    table: MassTable,
    chip: Stage,
    jets: Jets,
    background: str,
    rejection: float,
) -> DecorrelationSummary:
    """Return what the table does to the test events `jets`; `chip` is a stage with their scores."""
    rows = jets.labels == background
    masses, scores = jets.mass[rows], chip.integers["score"]
    edges = _edges(masses, rejection)
    fires = {"single": scores > design.threshold, "by_mass": chip.fires}
    ranks = {"single": design.score.real(scores), "by_mass": chip.scores}
    passing = {
        name: _passing(
            fires[name][rows],
            masses,
            edges,
            mean_efficiency(by_label(ranks[name], jets.labels, name), background, rejection),
        )
        for name in fires
    }
    return DecorrelationSummary(
        column=table.column,
        type=str(table.mass),
        step=table.mass.lsb,
        beyond_range=float(table.quantize(jets.mass)[1].mean()),
        shares=table.shares,
        deciding=table.deciding,
        training_events=table.events,
        edges=tuple(map(float, edges)),
        **passing,
    )


def _edges(masses: Float[np.ndarray, " event"], rejection: float) -> Float[np.ndarray, " edge"]:
    """Return the edges of bins that hold equally many events; one bin alone for equal masses."""
    number = int(np.clip(len(masses) / rejection / _IN_BIN, 2, _BINS))
    edges = np.unique(np.quantile(masses, np.linspace(0, 1, number + 1)))
    return edges if len(edges) > 1 else np.repeat(edges, 2)


def _passing(
    fires: Bool[np.ndarray, " event"],
    masses: Float[np.ndarray, " event"],
    edges: Float[np.ndarray, " edge"],
    efficiency: Interval | None,
) -> PassingSummary:
    places = np.searchsorted(edges[1:-1], masses, side="right")
    before, after = (np.bincount(p, minlength=len(edges) - 1) for p in (places, places[fires]))
    in_bins = tuple(binomial(a, b) for a, b in zip(after.tolist(), before.tolist(), strict=True))
    sculpted = _sculpted(fires, masses)
    return PassingSummary(
        in_bins,
        binomial(int(fires.sum()), len(fires)),
        None if sculpted is None else sculpted.relative_entropy,
        None if sculpted is None else sculpted.floor,
        efficiency,
    )


def _sculpted(
    fires: Bool[np.ndarray, " event"], masses: Float[np.ndarray, " event"]
) -> Sculpted | None:
    """Return what the cut does to the mass; None where too few events pass, or are there."""
    if not fires.any():
        return None
    try:
        every = BackgroundMasses.of(masses, np.ones(len(masses)), np.arange(len(masses)), "mass")
    except SculptingError:
        return None
    return sculpted_by(every, fires.astype(np.float64), [Cut(float(fires.mean()))])[0]
