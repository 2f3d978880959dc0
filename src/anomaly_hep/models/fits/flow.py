"""Likelihood of an embedding under a normalising flow of background."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from anomaly_hep.models.fits.base import (
    Events,
    FittedScore,
    Values,
    Weights,
    counting,
    in_blocks,
)
from anomaly_hep.models.fits.learning import (
    FEWEST,
    SEED,
    Epochs,
    Layers,
    Rate,
    Standard,
    Width,
    arrays_of,
    learn,
    restore,
)
from anomaly_hep.models.outputs import ScoreDescription


class Flow(FittedScore):
    """Minus the logarithm of the density of background, by an autoregressive spline flow.

    layers: transforms, one after the other. hidden: width of the two hidden layers of each. The
    density is that of the standardised components, in nats; constant ones are left out. Splines
    reach five standard deviations, beyond which a transform is the identity and the density that of
    a normal distribution. arXiv:1906.04032 sec. 3, eq. 1 for the density.
    """

    def __init__(
        self,
        *,
        embedding: str,
        layers: Layers = 3,
        hidden: Width = 64,
        epochs: Epochs = 20,
        lr: Rate = 2e-3,
        events: Events = 50_000,
    ) -> None:
        super().__init__(embedding=embedding, events=events)
        self.layers, self.hidden, self.epochs, self.lr = layers, hidden, epochs, lr

    @property
    def fewest_events(self) -> int:
        """Enough for a validation."""
        return FEWEST

    @property
    def description(self) -> ScoreDescription:
        """Title."""
        return ScoreDescription("flow, -log likelihood", "nats")

    def fit(self, values: Values, weights: Weights) -> None:
        """Maximise the likelihood of background; the epoch best on its last fifth is kept."""
        values, weights = counting(values, weights, self.fewest_events)
        self._standard = Standard.of(values, weights)
        self._network = self._made()
        if len(self._standard.kept):
            learn(
                self._network,
                self._loss,
                self._standard(values),
                torch.from_numpy(weights.astype(np.float32)),
                epochs=self.epochs,
                lr=self.lr,
            )

    def _made(self) -> nn.Module:
        """Return the flow with its first weights, without taking part in torch's random state."""
        from zuko.flows import NSF  # takes more than a second to import

        components = len(self._standard.kept)
        if not components:
            return nn.Identity()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            hidden = (self.hidden, self.hidden)
            return NSF(components, transforms=self.layers, hidden_features=hidden)

    def _loss(self, values: Float[Tensor, "event component"]) -> Float[Tensor, " event"]:
        return -self._network().log_prob(values)

    def score(self, values: Values) -> Float[np.ndarray, " event"]:
        """Return minus the log likelihood; 0 for all where no component ever changes."""
        if not len(self._standard.kept):
            return np.zeros(len(values))
        return in_blocks(self._scored, values)

    @torch.no_grad()
    def _scored(self, values: Values) -> Float[np.ndarray, " event"]:
        return self._loss(self._standard(values)).double().numpy()

    def state(self) -> Mapping[str, np.ndarray]:
        """Return shift, scale and the flow's weights."""
        return self._standard.state() | arrays_of(self._network, "flow.")

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` returned."""
        self._standard = Standard(state)
        self._network = self._made()
        restore(self._network, state, "flow.")
