"""Bins of mass in which a score's background is counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from anomaly_hep.errors import ConfigError
from anomaly_hep.models.fits.base import Weights

FEWEST = 200  # background events, for two bins
_PER_ROOT = 6.0  # bins are as many as the square root of the events divided by this
_MOST = 40
_AT_EDGE = 100  # events in the outermost bins, below which they are not halved again
_SMALLEST = 50  # events in a bin, where many have the same mass


@dataclass(frozen=True, eq=False)
class MassBins:
    """Bins of mass, in GeV: their edges, and the mean mass and effective events of each."""

    edges: Float[np.ndarray, " edge"]
    centres: Float[np.ndarray, " bin"]
    events: Float[np.ndarray, " bin"]

    @classmethod
    def of(cls, masses: Float[np.ndarray, " event"], weights: Weights, name: str) -> MassBins:
        """Return the bins of some background, whose column is `name`.

        Raises ConfigError if so many events have the same mass that there is one bin alone.
        """
        order = np.argsort(masses, kind="stable")
        ordered, weight = masses[order], weights[order]
        total = np.cumsum(weight)
        effective = float(total[-1] ** 2 / (weight**2).sum())
        reached = np.searchsorted(total / total[-1], _contents(effective))
        inner = _distinct(ordered, np.minimum(reached, len(ordered) - 1))
        if not len(inner):
            raise ConfigError(
                f"nearly all of {len(masses):,} background events have the same {name} "
                f"({np.median(masses):g} GeV), so there are no bins of it. Cure: another column in "
                "data.mass, or score.decorrelate=null"
            )
        places = np.searchsorted(inner, ordered, side="right")
        sums, squares, moments = (np.bincount(places, w) for w in (weight, weight**2,
                                                                   weight * ordered))  # fmt: skip
        edges = np.concatenate([ordered[:1], inner, ordered[-1:]])
        return cls(edges, moments / sums, sums**2 / squares)

    @classmethod
    def load(cls, state: Mapping[str, np.ndarray]) -> MassBins:
        """Return what `state` holds."""
        return cls(state["mass_edges"], state["mass_centres"], state["events"])

    def state(self) -> dict[str, np.ndarray]:
        """Return the fields as arrays."""
        return {"mass_edges": self.edges, "mass_centres": self.centres, "events": self.events}

    def __len__(self) -> int:
        """Return the number of bins."""
        return len(self.centres)

    def places(self, masses: Float[np.ndarray, " event"]) -> Int64[np.ndarray, " event"]:
        """Return the bin of each mass; one outside of all is in the nearest."""
        return np.searchsorted(self.edges[1:-1], masses, side="right")

    def between(
        self, masses: Float[np.ndarray, " event"]
    ) -> tuple[Int64[np.ndarray, " event"], Float[np.ndarray, " event"]]:
        """Return the bin whose mean mass is the next below, and how far a mass is to the next.

        The fraction is 0 at the one mean mass and 1 at the other; masses beyond the first or the
        last mean mass have 0 or 1.
        """
        position = np.interp(masses, self.centres, np.arange(len(self), dtype=float))
        left = np.minimum(position.astype(np.int64), len(self) - 2)
        return left, position - left


def _contents(events: float) -> Float[np.ndarray, " inner"]:
    """Return the shares of background below the inner edges: equal steps, halved to both ends."""
    number = int(np.clip(np.sqrt(events) / _PER_ROOT, 2, _MOST))
    equal = np.arange(1, number) / number
    halvings = max(0, int(np.log2(events / number / _AT_EDGE)))
    ends = 0.5 ** np.arange(halvings, 0, -1) / number
    return np.concatenate([ends, equal, 1 - ends[::-1]])


def _distinct(
    ordered: Float[np.ndarray, " event"], rows: Int64[np.ndarray, " inner"]
) -> Float[np.ndarray, " kept"]:
    """Return the masses at some rows that part bins of enough events from each other."""
    kept: list[float] = []
    start = 0
    for row in np.searchsorted(ordered, ordered[rows]):  # the first event of that mass
        if row - start >= _SMALLEST and len(ordered) - row >= _SMALLEST:
            kept.append(float(ordered[row]))
            start = row
    return np.array(kept)
