"""Scores by distance from background: nearest neighbours, Mahalanobis, one-class SVM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from annotated_types import Gt, Le
from jaxtyping import Float
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import OneClassSVM as LibSVM

from anomaly_hep.bounds import Count, Positive
from anomaly_hep.errors import ConfigError
from anomaly_hep.models.fits.base import Events, FittedScore, Values, Weights, counting, in_blocks
from anomaly_hep.models.outputs import ScoreDescription

Nu = Annotated[float, Gt(0), Le(1)]


class NearestNeighbours(FittedScore):
    """Mean distance to the nearest embeddings of background.

    neighbours: their number. Events with weight 0 are left out of the fit; other weights have no
    effect.
    """

    def __init__(self, *, embedding: str, neighbours: Count = 5, events: Events = 100_000) -> None:
        super().__init__(embedding=embedding, events=events)
        self.neighbours = neighbours

    @property
    def fewest_events(self) -> int:
        """As many as neighbours are asked for."""
        return max(2, self.neighbours)

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
            return np.zeros(0)  # scikit-learn refuses empty input
        distances, _ = self._search.kneighbors(values)
        mean: Float[np.ndarray, " event"] = distances.mean(1)
        return mean

    def score_fitted(self, values: Values) -> Float[np.ndarray, " event"]:
        """Return the mean distance to others: an event of the fit is no neighbour of itself."""
        if len(self._values) == self.neighbours:
            return self.score(values)
        distances, _ = self._search.kneighbors(values, self.neighbours + 1)
        itself = distances[:, :1] == 0  # an event without weight is not in the fit
        mean: Float[np.ndarray, " event"] = np.where(
            itself, distances[:, 1:], distances[:, :-1]
        ).mean(1)
        return mean

    def state(self) -> Mapping[str, np.ndarray]:
        """Return the embeddings."""
        return {"values": self._values}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore the embeddings."""
        self._values = state["values"]
        if len(self._values) < self.neighbours:
            raise ConfigError(
                f"{len(self._values)} background events have no {self.neighbours} neighbours. "
                "Cure: fewer neighbours, or more training background"
            )
        self._search = NearestNeighbors(n_neighbors=self.neighbours).fit(self._values)


class Mahalanobis(FittedScore):
    """Squared Mahalanobis distance from the background's mean."""

    def __init__(self, *, embedding: str, events: Events = 1_000_000) -> None:
        super().__init__(embedding=embedding, events=events)

    @property
    def description(self) -> ScoreDescription:
        """Title."""
        return ScoreDescription("Mahalanobis distance, squared")

    def fit(self, values: Values, weights: Weights) -> None:
        """Compute the weighted mean and covariance."""
        values, weights = counting(values, weights, self.fewest_events)
        mean = np.average(values, axis=0, weights=weights)
        covariance = np.atleast_2d(np.cov(values, rowvar=False, aweights=weights))
        # with the pseudo-inverse, a constant component, which has no scale, adds nothing
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
        """Restore mean and inverse covariance."""
        self._mean, self._inverse = state["mean"], state["inverse"]


class OneClassSVM(FittedScore):
    """Distance outside the boundary of a one-class support vector machine of the background.

    nu: bound on the share of background outside. gamma: of the Gaussian kernel; None is
    1 / (components x variance), as in scikit-learn.
    """

    def __init__(
        self,
        *,
        embedding: str,
        nu: Nu = 0.05,
        gamma: Positive | None = None,
        events: Events = 10_000,
    ) -> None:
        super().__init__(embedding=embedding, events=events)
        self.nu, self.gamma = nu, gamma

    @property
    def description(self) -> ScoreDescription:
        """Title."""
        return ScoreDescription("one-class SVM")

    def fit(self, values: Values, weights: Weights) -> None:
        """Find the support vectors."""
        values, weights = counting(values, weights, self.fewest_events)
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
        return in_blocks(self._outside, values)

    def _outside(self, values: Values) -> Float[np.ndarray, " event"]:
        kernel = rbf_kernel(values, self._state["vectors"], float(self._state["gamma"]))
        outside: Float[np.ndarray, " event"] = -(
            kernel @ self._state["coefficients"] + self._state["offset"]
        )
        return outside

    def state(self) -> Mapping[str, np.ndarray]:
        """Return support vectors, their coefficients, the offset and gamma."""
        return self._state

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` returned."""
        self._state = dict(state)
