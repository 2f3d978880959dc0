"""The share of background above a score, with a tail beyond the highest background."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from anomaly_hep.models.fits.base import Weights

_TAIL = 0.01  # share of background whose excess sets how fast the tail falls


@dataclass(frozen=True, eq=False)
class ShareAbove:
    """The share of background above each score that occurs, in ascending order of the scores.

    Half of the background at a value counts as above it, and between values the share is linear.
    Below all background it stays what it is at the smallest value. Above, it falls as an
    exponential with the mean excess `scale`, so that no two events tie there.
    """

    value: Float[np.ndarray, " value"]
    above: Float[np.ndarray, " value"]
    scale: float

    @classmethod
    def of(
        cls, scores: Float[np.ndarray, " event"], weights: Weights, tail: float = _TAIL
    ) -> ShareAbove:
        """Return the shares of weighted scores; the highest part `tail` sets the scale."""
        value, index = np.unique(scores, return_inverse=True)
        weight = np.bincount(index, weights)
        # summed from the top, where the shares are small and must be exact
        from_here = np.cumsum(weight[::-1])[::-1]
        above = (from_here - weight / 2) / from_here[0]
        highest = from_here <= max(tail * from_here[0], from_here[-1])
        threshold = value[~highest][-1] if (~highest).any() else value[0]
        excess = float(np.average(value[highest] - threshold, weights=weight[highest]))
        # without any spread every scale orders the tail
        return cls(value, above, excess if excess > 0 else 1.0)

    @classmethod
    def load(cls, state: Mapping[str, np.ndarray]) -> ShareAbove:
        """Return what `state` holds."""
        return cls(state["value"], state["above"], float(state["scale"]))

    def state(self) -> dict[str, np.ndarray]:
        """Return the fields as arrays."""
        return {"value": self.value, "above": self.above, "scale": np.asarray(self.scale)}

    def log(self, scores: Float[np.ndarray, " event"]) -> Float[np.ndarray, " event"]:
        """Return the logarithm of the share above each score."""
        beyond = np.maximum(scores - self.value[-1], 0) / self.scale
        return np.log(np.interp(scores, self.value, self.above)) - beyond

    def beyond(self, share: float) -> float:
        """Return a score above which less background than a share lies, 0 not included."""
        excess = max(0.0, float(np.log(self.above[-1] / share)))
        return float(self.value[-1]) + self.scale * (excess + 1.0)
