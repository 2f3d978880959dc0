"""How the fitted scores that are networks learn: standardised inputs, and the best epoch kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from jaxtyping import Float
from torch import Tensor, nn

from anomaly_hep.models.fits.base import Values, Weights

Rate = Annotated[float, Gt(0), Le(1)]
Layers = Annotated[int, Ge(1), Le(16)]
Width = Annotated[int, Ge(1), Le(1024)]
Epochs = Annotated[int, Ge(1), Le(10_000)]
FEWEST = 10  # background events, so that two validate
SEED = 1  # of weights and of the order of events: the same events give the same score
_VALIDATION, _BATCH = 0.2, 512
_ROUNDING = 1e-6  # deviations of a float32 that is constant, relative to it

Loss = Callable[[Tensor], Tensor]  # of each event


class Standard:
    """Shift and scale that give background mean 0 and variance 1; constant components are left out.

    A constant component has no scale, and says nothing about background.
    """

    def __init__(self, state: Mapping[str, np.ndarray]) -> None:
        self.mean, self.deviation = state["mean"], state["deviation"]
        self.kept = np.flatnonzero(self.deviation > _ROUNDING * np.abs(self.mean))

    @classmethod
    def of(cls, values: Values, weights: Weights) -> Standard:
        """Return the weighted mean and standard deviation of background."""
        mean = np.average(values, axis=0, weights=weights)
        variance = np.average((values - mean) ** 2, axis=0, weights=weights)
        return cls({"mean": mean, "deviation": np.sqrt(variance)})

    def __call__(self, values: Values) -> Float[Tensor, "event kept"]:
        """Return the standardised components."""
        kept = self.kept
        scaled = (values[:, kept] - self.mean[kept]) / self.deviation[kept]
        return torch.from_numpy(scaled.astype(np.float32))

    def state(self) -> dict[str, np.ndarray]:
        """Return mean and standard deviation."""
        return {"mean": self.mean, "deviation": self.deviation}


def learn(
    network: nn.Module,
    loss: Loss,
    values: Float[Tensor, "event component"],
    weights: Float[Tensor, " event"],
    *,
    epochs: int,
    lr: float,
) -> None:
    """Minimise the weighted mean loss on background by Adam, and keep the best epoch's weights.

    The last fifth of the events validates: it chooses the epoch, and no gradient sees it. The rate
    falls to 0 along a cosine.
    """
    first = len(values) - max(1, round(_VALIDATION * len(values)))
    order = torch.Generator().manual_seed(SEED)
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    best, kept = _validated(loss, values[first:], weights[first:]), _copy(network)
    for _ in range(epochs):
        for chosen in torch.randperm(first, generator=order).split(_BATCH):
            optimizer.zero_grad()
            mean = (loss(values[chosen]) * weights[chosen]).sum() / weights[chosen].sum()
            mean.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        schedule.step()
        if (reached := _validated(loss, values[first:], weights[first:])) < best:
            best, kept = reached, _copy(network)
    network.load_state_dict(kept)


@torch.no_grad()
def _validated(loss: Loss, values: Tensor, weights: Tensor) -> float:
    losses = torch.cat([loss(part) for part in values.split(4096)]).double()
    return float((losses * weights).sum() / weights.sum())


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def arrays_of(network: nn.Module, prefix: str) -> dict[str, np.ndarray]:
    """Return a network's weights as arrays, `prefix` before their names."""
    return {f"{prefix}{name}": value.numpy() for name, value in network.state_dict().items()}


def restore(network: nn.Module, state: Mapping[str, np.ndarray], prefix: str) -> None:
    """Give a network the weights that `arrays_of` returned."""
    found = {name: state[f"{prefix}{name}"] for name in network.state_dict()}
    network.load_state_dict({name: torch.from_numpy(value) for name, value in found.items()})
