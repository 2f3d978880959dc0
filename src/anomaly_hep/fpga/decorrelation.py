"""What thresholds that depend on the mass do to the background that passes, beside a single one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped
from scipy.special import rel_entr

from anomaly_hep.evaluate.intervals import Interval, binomial, mean_efficiency_interval
from anomaly_hep.evaluate.roc import ScoreDistribution
from anomaly_hep.fpga.design import Design
from anomaly_hep.fpga.masstable import MassTable
from anomaly_hep.fpga.summary import DecorrelationSummary, PassingSummary
from anomaly_hep.fpga.trigger_inputs import Jets
from anomaly_hep.fpga.verify import Stage

_BINS = 10  # of mass, at most
_IN_BIN = 20  # background events that pass in each, on average


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
    edges, places = _bins(jets.mass[rows], rejection)
    scores = chip.integers["score"]
    _, beyond = table.quantize(jets.mass)
    fires = {"single": scores > design.threshold, "by_mass": chip.fires}
    ranks = {"single": design.score.real(scores), "by_mass": chip.scores}
    passing = {
        name: _passing(
            fires[name][rows],
            places,
            _mean_efficiency(ranks[name], jets.labels, background, rejection),
        )
        for name in fires
    }
    bins = len(edges) - 1
    return DecorrelationSummary(
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
) -> PassingSummary:
    before, after = (np.bincount(p, minlength=places.max() + 1) for p in (places, places[fires]))
    divergence = 0.0
    if after.any():
        divergence = float(rel_entr(after / after.sum(), before / before.sum()).sum())
    in_bins = tuple(binomial(a, b) for a, b in zip(after.tolist(), before.tolist(), strict=True))
    share = binomial(int(fires.sum()), len(fires))
    return PassingSummary(in_bins, share, divergence, efficiency)


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
