"""What all fitted scores share: where their values come from, the fit, and what is kept of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge
from jaxtyping import Float

from anomaly_hep.errors import ConfigError
from anomaly_hep.models.outputs import ScoreDescription

Values = Float[np.ndarray, "event component"]
Weights = Float[np.ndarray, " event"]
Events = Annotated[int, Ge(2)]
_BLOCK = 4096  # events whose intermediate values are in memory at once


class FittedScore(ABC):
    """A score that is fitted on background, larger for more anomalous events.

    Its values are those of an `embedding`, or, where that is None, of other `scores` and of event
    `columns` of the files, one component each. events: the fit uses at most the first so many.
    """

    fewest_scores: ClassVar[int] = 2  # that can be combined

    def __init__(
        self,
        *,
        events: Events,
        embedding: str | None = None,
        scores: Sequence[str] = (),
        columns: Sequence[str] = (),
    ) -> None:
        self.events, self.embedding = events, embedding
        self.scores, self.columns = tuple(scores), tuple(columns)

    @property
    def fewest_events(self) -> int:
        """The fewest background events that the fit takes."""
        return 2

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """The range of each event column that the fit saw: what lies outside counts as its edge."""
        return {}

    def notes(self) -> Mapping[str, Any]:
        """Return what ledger.json says of the fit, in plain values."""
        return {}

    @property
    @abstractmethod
    def description(self) -> ScoreDescription:
        """The score's title and unit."""

    @abstractmethod
    def fit(self, values: Values, weights: Weights) -> None:
        """Fit the score to background."""

    @abstractmethod
    def score(self, values: Values) -> Float[np.ndarray, " event"]:
        """Return the score of each event."""

    def score_fitted(self, values: Values) -> Float[np.ndarray, " event"]:
        """Return the score of events of the fit, as new background would have it."""
        return self.score(values)

    @abstractmethod
    def state(self) -> Mapping[str, np.ndarray]:
        """Return the fitted parameters."""

    @abstractmethod
    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore the fitted parameters."""


def counting(
    values: Values, weights: Weights, fewest: int
) -> tuple[Float[np.ndarray, "counting component"], Float[np.ndarray, " counting"]]:
    """Return the events whose weight is above 0; raises ConfigError for fewer than `fewest`."""
    counts = weights > 0
    if (found := int(counts.sum())) < fewest:
        raise ConfigError(
            f"{found} background events with a weight are too few for a fit, which takes {fewest}. "
            "Cure: more training background"
        )
    return values[counts], weights[counts]


def in_blocks(
    score: Callable[[Values], Float[np.ndarray, " event"]], values: Values
) -> Float[np.ndarray, " event"]:
    """Return the scores of events, computed for a few thousand at a time."""
    parts = [score(values[i : i + _BLOCK]) for i in range(0, len(values), _BLOCK)]
    return np.concatenate([np.zeros(0), *parts])
