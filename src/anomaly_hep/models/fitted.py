"""Scores that are fitted on a network's embeddings of training background, after the training.

Each takes the name of an embedding that the model's `outputs` has. Scores are larger for stranger
events. What a fit learned is kept as arrays, so that nothing is ever unpickled.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import OneClassSVM as LibSVM

from anomaly_hep.errors import ConfigError
from anomaly_hep.models.outputs import ScoreDescription

Values = Float[np.ndarray, "event component"]
Weights = Float[np.ndarray, " event"]
_BLOCK = 4096  # events whose distances are held at once


class FittedScore(ABC):
    """A score of embeddings that is fitted on background.

    embedding: which of the model's embeddings. events: the most that a fit takes, the first ones.
    """

    def __init__(self, *, embedding: str, events: int) -> None:
        if events < 1:
            raise ConfigError(f"events={events} leaves nothing to fit. Cure: at least 1")
        self.embedding, self.events = embedding, events

    @property
    @abstractmethod
    def description(self) -> ScoreDescription:
        """How the score is called, and its unit."""

    @abstractmethod
    def fit(self, values: Values, weights: Weights) -> None:
        """Learn from background."""

    @abstractmethod
    def score(self, values: Values) -> Float[np.ndarray, " event"]:
        """Return the score of each event."""

    @abstractmethod
    def state(self) -> Mapping[str, np.ndarray]:
        """Return what the fit learned."""

    @abstractmethod
    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Take what a fit learned."""


class NearestNeighbours(FittedScore):
    """Mean distance to the nearest of the background's embeddings.

    neighbours: how many. Events without weight are left out of the fit; beyond that a neighbour
    counts as one, whatever it weighs.
    """

    def __init__(self, *, embedding: str, neighbours: int = 5, events: int = 100_000) -> None:
        super().__init__(embedding=embedding, events=events)
        if neighbours < 1:
            raise ConfigError(f"neighbours={neighbours}. Cure: at least 1")
        self.neighbours = neighbours

    @property
    def description(self) -> ScoreDescription:
        """Title with the number of neighbours."""
        return ScoreDescription(f"{self.neighbours} nearest neighbours")

    def fit(self, values: Values, weights: Weights) -> None:
        """Keep the embeddings."""
        self.load({"values": values[weights > 0]})

    def score(self, values: Values) -> Float[np.ndarray, " event"]:
        """Return the mean distance."""
        if not len(values):
            return np.zeros(0)  # scikit-learn refuses no event
        distances, _ = self._search.kneighbors(values)
        mean: Float[np.ndarray, " event"] = distances.mean(1)
        return mean

    def state(self) -> Mapping[str, np.ndarray]:
        """Return the embeddings."""
        return {"values": self._values}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Take the embeddings."""
        self._values = state["values"]
        if len(self._values) < self.neighbours:
            raise ConfigError(
                f"{len(self._values)} background events have no {self.neighbours} neighbours. "
                "Cure: fewer neighbours, or more training background"
            )
        self._search = NearestNeighbors(n_neighbors=self.neighbours).fit(self._values)


class Mahalanobis(FittedScore):
    """Distance from the background's mean in units of its covariance, squared."""

    def __init__(self, *, embedding: str, events: int = 1_000_000) -> None:
        super().__init__(embedding=embedding, events=events)

    @property
    def description(self) -> ScoreDescription:
        """Title."""
        return ScoreDescription("Mahalanobis distance, squared")

    def fit(self, values: Values, weights: Weights) -> None:
        """Take the weighted mean and covariance."""
        mean = np.average(values, axis=0, weights=weights)
        covariance = np.atleast_2d(np.cov(values, rowvar=False, aweights=weights))
        # a component that never changes has no scale to be measured in, and adds nothing
        self.load({"mean": mean, "inverse": np.linalg.pinv(covariance, hermitian=True)})

    def score(self, values: Values) -> Float[np.ndarray, " event"]:
        """Return the squared distance."""
        centred = values - self._mean
        distance: Float[np.ndarray, " event"] = ((centred @ self._inverse) * centred).sum(1)
        return distance

    def state(self) -> Mapping[str, np.ndarray]:
        """Return mean and inverse covariance."""
        return {"mean": self._mean, "inverse": self._inverse}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Take mean and inverse covariance."""
        self._mean, self._inverse = state["mean"], state["inverse"]


class OneClassSVM(FittedScore):
    """How far an event lies outside the one-class support vector machine of the background.

    nu: the share of the background that may lie outside. gamma: of the Gaussian kernel; None takes
    1 / (components x variance), as scikit-learn does.
    """

    def __init__(
        self, *, embedding: str, nu: float = 0.05, gamma: float | None = None, events: int = 10_000
    ) -> None:
        super().__init__(embedding=embedding, events=events)
        if not 0 < nu <= 1:
            raise ConfigError(f"nu={nu} is no share of the background. Cure: above 0 and up to 1")
        self.nu, self.gamma = nu, gamma

    @property
    def description(self) -> ScoreDescription:
        """Title."""
        return ScoreDescription("one-class SVM")

    def fit(self, values: Values, weights: Weights) -> None:
        """Find the support vectors."""
        variance = float(values.var())
        gamma = self.gamma or (1.0 / (values.shape[1] * variance) if variance > 0 else 1.0)
        machine = LibSVM(nu=self.nu, gamma=gamma).fit(values, sample_weight=weights)
        self.load({
            "vectors": machine.support_vectors_,
            "coefficients": machine.dual_coef_[0],
            "offset": np.asarray(machine.intercept_[0]),
            "gamma": np.asarray(gamma),
        })  # fmt: skip

    def score(self, values: Values) -> Float[np.ndarray, " event"]:
        """Return minus the decision function."""
        inside = [np.zeros(0)]
        for start in range(0, len(values), _BLOCK):
            kernel = rbf_kernel(
                values[start : start + _BLOCK], self._state["vectors"], float(self._state["gamma"])
            )
            inside.append(kernel @ self._state["coefficients"] + self._state["offset"])
        return -np.concatenate(inside)

    def state(self) -> Mapping[str, np.ndarray]:
        """Return support vectors, their coefficients, the offset and gamma."""
        return self._state

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Take what `state` returned."""
        self._state = dict(state)
