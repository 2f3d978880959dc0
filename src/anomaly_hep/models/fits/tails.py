"""How far out in the tails of background an event's components are, each by itself."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from anomaly_hep.models.fits.base import Events, FittedScore, Values, Weights, counting
from anomaly_hep.models.outputs import ScoreDescription


class ECOD(FittedScore):
    """Sum over the components of minus the logarithm of the smaller tail probability.

    The probabilities are the shares of background at or below, and at or above, the event, which
    counts itself: arXiv:2201.00382 eq. 3 to 5. Each event is compared with the background of the
    fit alone. pyod's `decision_function` adds all events that it is given to the background, so
    that a score there depends on the other events of its batch; for a single event it is this one.
    The choice of a tail by skewness does not appear: pyod takes the larger of both in any case.
    """

    def __init__(self, *, embedding: str, events: Events = 50_000) -> None:
        super().__init__(embedding=embedding, events=events)

    @property
    def description(self) -> ScoreDescription:
        """Title."""
        return ScoreDescription("ECOD, tail probabilities", "nats")

    def fit(self, values: Values, weights: Weights) -> None:
        """Keep the sorted components, and the sums of the weights in that order."""
        values, weights = counting(values, weights, self.fewest_events)
        order = np.argsort(values, axis=0, kind="stable")
        # in units of their mean, so that sums of equal weights are exact
        sums = np.cumsum((weights / weights.mean())[order], axis=0)
        below = np.concatenate([np.zeros((1, values.shape[1])), sums])
        self.load({"values": np.take_along_axis(values, order, 0).T, "below": below.T})

    def score(self, values: Values) -> Float[np.ndarray, " event"]:
        """Return the sum; at most the number of components times the log of that of events."""
        total = np.zeros(len(values))
        for column, known, below in zip(values.T, self._values, self._below, strict=True):
            everything = below[-1]
            left = below[np.searchsorted(known, column, side="right")]
            right = everything - below[np.searchsorted(known, column, side="left")]
            total -= np.log((np.minimum(left, right) + 1) / (everything + 1))
        return total

    def state(self) -> Mapping[str, np.ndarray]:
        """Return the sorted components and the summed weights."""
        return {"values": self._values, "below": self._below}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` returned."""
        self._values, self._below = state["values"], state["below"]
