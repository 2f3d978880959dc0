"""How the middle and the width of a score change with the mass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from anomaly_hep.models.fits.base import Values, Weights
from anomaly_hep.models.fits.massbins import MassBins

_CENTRAL = (0.16, 0.84)  # shares below the edges of a score's width


@dataclass(frozen=True, eq=False)
class Trend:
    """Median, and half the width of the central 68 %, of a score in each bin of mass.

    Between the mean masses of the bins both are linear in the mass. Beyond them the median goes on
    as the line through the nearest two, and the width stays; masses beyond the bins' edges count as
    at the edge.
    """

    bins: MassBins
    median: Float[np.ndarray, " bin"]
    width: Float[np.ndarray, " bin"]

    @classmethod
    def of(
        cls, bins: MassBins, places: Int64[np.ndarray, " event"], values: Values, weights: Weights
    ) -> Trend:
        """Return the trend of values, which are (score, mass); `places` are the events' bins."""
        chosen = [places == place for place in range(len(bins))]
        ones = np.ones(len(bins))
        median = np.array([_quantile(values[c, 0], weights[c], 0.5) for c in chosen])
        around = values[:, 0] - cls(bins, median, ones).middle(values[:, 1])
        low, high = (
            np.array([_quantile(around[c], weights[c], share) for c in chosen])
            for share in _CENTRAL
        )
        width = (high - low) / 2
        # a bin whose score is constant has the typical width
        typical = float(np.median(width[width > 0])) if (width > 0).any() else 1.0
        return cls(bins, median, np.where(width > 0, width, typical))

    @classmethod
    def load(cls, bins: MassBins, state: Mapping[str, np.ndarray]) -> Trend:
        """Return what `state` holds."""
        return cls(bins, state["median"], state["width"])

    def state(self) -> dict[str, np.ndarray]:
        """Return median and width as arrays."""
        return {"median": self.median, "width": self.width}

    def middle(self, masses: Float[np.ndarray, " event"]) -> Float[np.ndarray, " event"]:
        """Return the median of the score at each mass."""
        at, centres = np.clip(masses, self.bins.edges[0], self.bins.edges[-1]), self.bins.centres
        slopes = np.diff(self.median) / np.diff(centres)
        beyond = np.minimum(at - centres[0], 0) * slopes[0]
        beyond += np.maximum(at - centres[-1], 0) * slopes[-1]
        middle: Float[np.ndarray, " event"] = np.interp(at, centres, self.median) + beyond
        return middle

    def removed(self, values: Values) -> Float[np.ndarray, " event"]:
        """Return the score without its trend, of values that are (score, mass)."""
        masses = values[:, 1]
        flat: Float[np.ndarray, " event"] = (values[:, 0] - self.middle(masses)) / np.interp(
            masses, self.bins.centres, self.width
        )
        return flat

    def restored(
        self, flat: Float[np.ndarray, " event"], masses: Float[np.ndarray, " event"]
    ) -> Float[np.ndarray, " event"]:
        """Return the scores that `removed` made these of."""
        width = np.interp(masses, self.bins.centres, self.width)
        return self.middle(masses) + flat * width


def _quantile(scores: Float[np.ndarray, " event"], weights: Weights, share: float) -> float:
    """Return the score below which a share of the weight lies."""
    order = np.argsort(scores, kind="stable")
    below = np.cumsum(weights[order]) - weights[order] / 2
    return float(np.interp(share * weights.sum(), below, scores[order]))
