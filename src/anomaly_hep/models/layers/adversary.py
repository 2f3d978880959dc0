"""A network that tells true events from reconstructed ones, with the penalty on its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

_SLOPE = 0.2  # of the leaky ReLU for negative numbers


class Adversary(nn.Module):
    """A fully connected network with leaky ReLUs to one logit, high for true events.

    It has no batch norm, with which the gradient of an event would depend on others.
    """

    def __init__(self, inputs: int, hidden: Sequence[int]) -> None:
        super().__init__()
        sizes = (inputs, *hidden, 1)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, vectors: Float[Tensor, "event component"]) -> Float[Tensor, " event"]:
        """Return the logit of each event."""
        *hidden, last = self.layers
        x = vectors
        for layer in hidden:
            x = functional.leaky_relu(layer(x), _SLOPE)
        logit: Tensor = last(x)[:, 0].float()
        return logit

    def gradient(
        self, vectors: Float[Tensor, "event component"]
    ) -> Float[Tensor, "event component"]:
        """Return the gradient of each logit by its event's vector, as a function of the weights.

        It is the product of the weights with the slopes of the leaky ReLUs between them. The slopes
        are constant almost everywhere, so this is what differentiating twice gives, without doing
        it: validation and compiled steps can compute it too.
        """
        *hidden, last = [
            (layer.weight, layer.bias) for layer in self.layers if isinstance(layer, nn.Linear)
        ]
        x, slopes = vectors, []
        for weight, bias in hidden:
            x = functional.linear(x, weight, bias)
            slopes.append(torch.where(x > 0, 1.0, _SLOPE).to(x.dtype))
            x = x * slopes[-1]
        gradient = last[0].expand(len(vectors), -1).to(x.dtype)
        for (weight, _), slope in zip(reversed(hidden), reversed(slopes), strict=True):
            gradient = functional.linear(gradient * slope, weight.t())
        return gradient.float()

    def penalty(self, vectors: Float[Tensor, "event component"]) -> Float[Tensor, " event"]:
        """Return (|gradient| - 1)^2 of each event, arXiv:1704.00028 eq. 3."""
        # no square root of 0, whose gradient is infinite
        length = (self.gradient(vectors).square().sum(1) + 1e-12).sqrt()
        return (length - 1).square()
