"""Distance from the centre of an ensemble of networks that draw background together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import torch
from annotated_types import MinLen
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
    Rate,
    Standard,
    Width,
    arrays_of,
    learn,
    restore,
)
from anomaly_hep.models.outputs import ScoreDescription

_NEAREST = 0.1  # of a centre's coordinates to 0, which weights of 0 reach


class SVDD(FittedScore):
    """Squared distance from the centre of deep one-class networks, averaged over an ensemble.

    dimensions: outputs of each network of the ensemble. hidden: width of its two hidden layers. A
    network minimises the mean squared distance of background from a centre, its own mean before the
    training (Ruff et al., PMLR 80 (2018) 4393, eq. 4 and 5). Without biases and
    with unbounded activations no network can map everything to its centre (propositions 2 and 3).
    Each distance is divided by its mean over background. Constant components are left out.
    """

    def __init__(
        self,
        *,
        embedding: str,
        dimensions: Annotated[list[Width], MinLen(1)] | None = None,
        hidden: Width = 64,
        epochs: Epochs = 20,
        lr: Rate = 1e-3,
        events: Events = 50_000,
    ) -> None:
        super().__init__(embedding=embedding, events=events)
        self.dimensions = tuple(dimensions or (4, 8, 16, 32))
        self.hidden, self.epochs, self.lr = hidden, epochs, lr

    @property
    def fewest_events(self) -> int:
        """Enough for a validation."""
        return FEWEST

    @property
    def description(self) -> ScoreDescription:
        """Title."""
        return ScoreDescription("deep SVDD, squared distance / mean of background")

    def fit(self, values: Values, weights: Weights) -> None:
        """Train the ensemble; of each network the epoch best on the last fifth is kept."""
        values, weights = counting(values, weights, self.fewest_events)
        self._standard = Standard.of(values, weights)
        inputs = self._standard(values)
        weight = torch.from_numpy(weights.astype(np.float32))
        self._members = [
            _Member(inputs.shape[1], outputs, self.hidden, SEED + number)
            for number, outputs in enumerate(self.dimensions)
        ]
        for member in self._members:
            member.place(inputs, weight)
            if inputs.shape[1]:
                learn(member, member, inputs, weight, epochs=self.epochs, lr=self.lr)
                member.normalise(inputs, weight)

    def score(self, values: Values) -> Float[np.ndarray, " event"]:
        """Return the mean over the ensemble; 0 for all where no component ever changes."""
        if not len(self._standard.kept):
            return np.zeros(len(values))
        return in_blocks(self._scored, values)

    @torch.no_grad()
    def _scored(self, values: Values) -> Float[np.ndarray, " event"]:
        inputs = self._standard(values)
        distances = [(member(inputs) / member.mean).double() for member in self._members]
        return torch.stack(distances).mean(0).numpy()

    def state(self) -> Mapping[str, np.ndarray]:
        """Return shift, scale, and the weights, centre and mean distance of each network."""
        state = self._standard.state()
        for number, member in enumerate(self._members):
            state |= arrays_of(member, f"{number}.")
        return state

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` returned."""
        self._standard = Standard(state)
        self._members = []
        for number, outputs in enumerate(self.dimensions):
            member = _Member(len(self._standard.kept), outputs, self.hidden, SEED + number)
            restore(member, state, f"{number}.")
            self._members.append(member)


class _Member(nn.Module):
    """One network with its centre, and the mean of its distance over background."""

    centre: Tensor
    mean: Tensor

    def __init__(self, components: int, outputs: int, hidden: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = nn.Sequential(
                nn.Linear(max(components, 1), hidden, bias=False),
                nn.LeakyReLU(),
                nn.Linear(hidden, hidden, bias=False),
                nn.LeakyReLU(),
                nn.Linear(hidden, outputs, bias=False),
            )
        self.register_buffer("centre", torch.ones(outputs))
        self.register_buffer("mean", torch.ones(()))

    def forward(self, inputs: Float[Tensor, "event component"]) -> Float[Tensor, " event"]:
        """Return the squared distance from the centre."""
        return (self.network(inputs) - self.centre).square().sum(1)

    @torch.no_grad()
    def place(
        self, inputs: Float[Tensor, "event component"], weight: Float[Tensor, " event"]
    ) -> None:
        """Put the centre at the mean of background, its coordinates a little away from 0."""
        if inputs.shape[1]:
            centre = (self.network(inputs) * weight[:, None]).sum(0) / weight.sum()
            away = torch.where(centre < 0, -_NEAREST, _NEAREST)
            self.centre.copy_(torch.where(centre.abs() < _NEAREST, away, centre))

    @torch.no_grad()
    def normalise(
        self, inputs: Float[Tensor, "event component"], weight: Float[Tensor, " event"]
    ) -> None:
        """Note the mean distance of background."""
        mean = (self(inputs) * weight).sum() / weight.sum()
        self.mean.copy_(mean.clamp_min(torch.finfo(mean.dtype).tiny))
