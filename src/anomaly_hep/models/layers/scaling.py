"""Scales of a network's inputs that are fitted on its training events."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn


class MinMax(nn.Module):
    """Map the range of each feature in the events of `fit` to 0 to 1.

    Before `fit` values stay as they are; a feature that is constant there only moves to 0. Values
    outside of the range are not clipped.
    """

    least: Tensor
    most: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("least", torch.zeros(features))
        self.register_buffer("most", torch.ones(features))

    @torch.no_grad()
    def fit(self, parts: Iterable[Float[Tensor, "_ feature"]]) -> None:
        """Take the range of the features in all parts; without any particle it stays."""
        found = [torch.stack(part.aminmax(dim=0)) for part in parts if len(part)]
        if found:
            ranges = torch.stack(found).to(self.least.device)
            self.least.copy_(ranges[:, 0].amin(0))
            self.most.copy_(ranges[:, 1].amax(0))

    def forward(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "row feature"]:
        """Return the scaled features."""
        span = self.most - self.least
        return (flat - self.least) / torch.where(span > 0, span, 1.0)


class Robust(nn.Module):
    """Subtract the median of each component and divide by its interquartile range.

    Before `fit` values stay as they are; a component without a range there is not divided.
    """

    median: Tensor
    spread: Tensor

    def __init__(self, components: int) -> None:
        super().__init__()
        self.register_buffer("median", torch.zeros(components))
        self.register_buffer("spread", torch.ones(components))

    @torch.no_grad()
    def fit(self, parts: Iterable[Float[Tensor, "_ component"]]) -> None:
        """Take the quartiles of all events, which are in memory at once; without any they stay."""
        found = [part.cpu().numpy() for part in parts if len(part)]
        if not found:
            return
        columns = zip(*(part.T for part in found), strict=True)
        quartiles = np.array([np.quantile(np.concatenate(c), (0.25, 0.5, 0.75)) for c in columns])
        low, middle, high = torch.from_numpy(quartiles.T).to(self.median)
        self.median.copy_(middle)
        self.spread.copy_(torch.where(high > low, high - low, 1.0))

    def forward(
        self, vectors: Float[Tensor, "event component"]
    ) -> Float[Tensor, "event component"]:
        """Return the scaled vectors."""
        return (vectors - self.median) / self.spread

    def inverse(self, scaled: Float[Tensor, "event number"]) -> Float[Tensor, "event number"]:
        """Return the vectors of scaled ones."""
        return scaled * self.spread + self.median
