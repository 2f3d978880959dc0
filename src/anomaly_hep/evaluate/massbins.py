"""Bins of the background's mass: the same for every score of a run, equally full before a cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from anomaly_hep.errors import SculptingError
from anomaly_hep.evaluate.roc import ScoreDistribution, check_weights, scaled

MASS = "mass"  # the column of the table of scores
MOST_BINS = 50
FEWEST_BINS = 5
EVENTS_PER_BIN = 20  # effective ones, before the cut

Values = Float64[np.ndarray, " event"]


@dataclass(frozen=True)
class MassBins:
    """The bins in which a run's sculpting is measured.

    `title` names the mass. `edges` in GeV: a bin holds its lower edge, the last one its upper, too.
    `events` is the effective number of background events in them; `left_out` have no finite mass.
    """

    title: str
    edges: Sequence[float]
    events: float
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.edges) - 1


@dataclass(frozen=True, eq=False)
class BackgroundMasses:
    """The background's events with a mass: their rows in the table, mass (GeV), weight and bin."""

    rows: Int64[np.ndarray, " event"]
    mass: Values
    weight: Values
    bin: Int64[np.ndarray, " event"]
    bins: MassBins

    @staticmethod
    def of(
        mass: Float64[np.ndarray, " row"],
        weights: Float64[np.ndarray, " row"],
        rows: Int64[np.ndarray, " background"],
        title: str,
    ) -> BackgroundMasses:
        """Return the events at `rows` of a table, in bins that their own masses set.

        Events whose mass is not finite are left out and counted. Raises SculptingError for masses
        that no cut can change, and for too few events.
        """
        known = rows[np.isfinite(mass[rows])]
        mass, weight = mass[known].astype(np.float64), weights[known]
        if not len(known):
            raise SculptingError(f"none of the {len(rows)} background events has a {title}")
        check_weights(weight, "weight of the background events with a mass")
        index, edges, events = _equally_full(mass, scaled(weight), title)
        bins = MassBins(title, edges, events, len(rows) - len(known))
        return BackgroundMasses(known, mass, scaled(weight), index, bins)


def _equally_full(
    mass: Values, weights: Values, title: str
) -> tuple[Int64[np.ndarray, " event"], tuple[float, ...], float]:
    """Return each event's bin, the edges in GeV and the effective number of events.

    Equal masses share a bin. A bin whose weights, some of them negative, have no positive sum is
    joined to the one below.
    """
    if np.ptp(mass) <= 1e-6 * np.abs(mass).max():
        raise SculptingError(
            f"all {len(mass)} background events have the {title} {mass[0]:g} GeV, which no cut can "
            "change"
        )
    sample = ScoreDistribution.of(mass, weights, name=title)
    events = float(f"{sample.effective_events:.6g}")
    number = min(MOST_BINS, int(events // EVENTS_PER_BIN))
    if number < FEWEST_BINS:
        raise SculptingError(
            f"{events:.3g} (effective) background events with a {title} are too few for "
            f"{FEWEST_BINS} bins of {EVENTS_PER_BIN}; evaluate at least "
            f"{FEWEST_BINS * EVENTS_PER_BIN}"
        )
    index = np.minimum((sample.placement(mass) * number).astype(np.int64), number - 1)
    while (filled := np.bincount(index, weights, number) > 0).sum() < number:
        index = np.maximum(np.cumsum(filled) - 1, 0)[index]
        number = int(filled.sum())
    if number < 2:
        raise SculptingError(
            f"nearly all background events have the same {title}, so they fill one bin"
        )
    lowest = np.full(number, np.inf)
    np.minimum.at(lowest, index, mass)
    return index, (*map(float, lowest), float(mass.max())), events
