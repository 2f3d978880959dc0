"""Several scores as one: each by its rank among background."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Float

from anomaly_hep.models.fits.base import Events, FittedScore, Values, Weights, counting
from anomaly_hep.models.fits.shares import ShareAbove
from anomaly_hep.models.outputs import ScoreDescription


class Rank(FittedScore):
    """Combination of scores by the share of background above each, chosen without a label.

    scores: names of the model's or of other fitted scores, or `default`, the model's default one.
    how: `average` is minus the logarithm of the mean of these shares, which orders events as the
    mean of their background quantiles does; `product` is minus the logarithm of their product.

    Half of the background at a value counts as above it, and between values the share is linear.
    Below all background it stays what it is at the smallest value. Above, it falls as an
    exponential that has the mean excess of the highest percent, so that no two events tie there.
    """

    def __init__(
        self,
        *,
        scores: list[str],
        how: Literal["average", "product"] = "average",
        events: Events = 100_000,
    ) -> None:
        super().__init__(events=events, scores=scores)
        self.how = how

    @property
    def description(self) -> ScoreDescription:
        """Title with the scores."""
        return ScoreDescription(f"{self.how} of the ranks of {', '.join(self.scores)}", "nats")

    def fit(self, values: Values, weights: Weights) -> None:
        """Compute the share of background above each value of each score."""
        values, weights = counting(values, weights, self.fewest_events)
        self._tables = [ShareAbove.of(column, weights) for column in values.T]

    def score(self, values: Values) -> Float[np.ndarray, " event"]:
        """Return the combination, in nats."""
        columns = zip(values.T, self._tables, strict=True)
        logs = np.stack([table.log(column) for column, table in columns])
        if self.how == "product":
            return -logs.sum(0)
        return np.log(len(logs)) - np.logaddexp.reduce(logs, axis=0)

    def state(self) -> Mapping[str, np.ndarray]:
        """Return of each score the values, the shares above them and the scale of the tail."""
        return {
            f"{number}.{name}": array
            for number, table in enumerate(self._tables)
            for name, array in table.state().items()
        }

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` returned."""
        names = ("value", "above", "scale")
        self._tables = [
            ShareAbove.load({name: state[f"{number}.{name}"] for name in names})
            for number in range(len(self.scores))
        ]
