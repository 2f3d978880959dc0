"""A score made independent of the mass by a flow of the score at each mass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import log_ndtr, ndtri_exp
from torch import Tensor, nn

from anomaly_hep.models.fits.base import Events, Values, Weights, in_blocks
from anomaly_hep.models.fits.decorrelated import Decorrelated
from anomaly_hep.models.fits.learning import (
    SEED,
    Epochs,
    Layers,
    Rate,
    Width,
    arrays_of,
    learn,
    restore,
)
from anomaly_hep.models.fits.shares import ShareAbove


class MassFlow(Decorrelated):
    """Decorrelated score: minus the logarithm of 1 - CDF of a flow of the score given the mass.

    Score and mass are first mapped to normal variables by their ranks among all background, so that
    neither unit nor tail matters. layers: spline transforms, whose knots the mass decides by way of
    two hidden layers of width `hidden`. Each transform is monotone in the score. arXiv:1906.04032
    sec. 3.
    """

    def __init__(
        self,
        *,
        score: str,
        mass: str,
        layers: Layers = 1,
        hidden: Width = 64,
        epochs: Epochs = 20,
        lr: Rate = 2e-3,
        events: Events = 100_000,
    ) -> None:
        super().__init__(score=score, mass=mass, events=events)
        self.layers, self.hidden, self.epochs, self.lr = layers, hidden, epochs, lr

    def fit(self, values: Values, weights: Weights) -> None:
        """Maximise the likelihood of background; the epoch best on its last fifth is kept."""
        values, weights = self.known(values, weights)
        self._score, self._mass = (ShareAbove.of(column, weights) for column in values.T)
        self._events = float(weights.sum() ** 2 / (weights**2).sum())
        self._network = self._made()
        weight = torch.from_numpy(weights.astype(np.float32))
        learn(
            self._network, self._loss, self._normal(values), weight, epochs=self.epochs, lr=self.lr
        )

    def _made(self) -> nn.Module:
        """Return the flow with its first weights, without taking part in torch's random state."""
        from zuko.flows import NSF  # takes more than a second to import

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            hidden = (self.hidden, self.hidden)
            return NSF(1, context=1, transforms=self.layers, hidden_features=hidden)

    def _normal(self, values: Values) -> Float[Tensor, "event 2"]:
        """Return score and mass as normal variables; a mass outside of the fit is at its edge."""
        masses = np.clip(values[:, 1], self._mass.value[0], self._mass.value[-1])
        logs = [self._score.log(values[:, 0]), self._mass.log(masses)]
        return torch.from_numpy(np.column_stack([-ndtri_exp(log) for log in logs])).float()

    def _loss(self, normal: Float[Tensor, "event 2"]) -> Float[Tensor, " event"]:
        return -self._network(normal[:, 1:]).log_prob(normal[:, :1])

    def score(self, values: Values) -> Float[np.ndarray, " event"]:
        """Return the score, in nats."""
        return in_blocks(self._scored, values)

    @torch.no_grad()
    def _scored(self, values: Values) -> Float[np.ndarray, " event"]:
        normal = self._normal(values)
        flat = self._network(normal[:, 1:]).transform(normal[:, :1])[:, 0].double().numpy()
        scored: Float[np.ndarray, " event"] = -log_ndtr(-flat)
        return scored

    def notes(self) -> Mapping[str, Any]:
        """Return the column and the effective events of the fit."""
        return {"decorrelated_from": self.mass, "background_events": self._events}

    def state(self) -> Mapping[str, np.ndarray]:
        """Return the ranks of score and mass, the number of events and the flow's weights."""
        ranks = {"score": self._score, "mass": self._mass}
        arrays = {f"{n}.{key}": v for n, rank in ranks.items() for key, v in rank.state().items()}
        return arrays | {"events": np.asarray(self._events)} | arrays_of(self._network, "flow.")

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` returned."""
        self._score, self._mass = (
            ShareAbove.load({key: state[f"{name}.{key}"] for key in ("value", "above", "scale")})
            for name in ("score", "mass")
        )
        self.mass_range = float(self._mass.value[0]), float(self._mass.value[-1])
        self._events = float(state["events"])
        self._network = self._made()
        restore(self._network, state, "flow.")
