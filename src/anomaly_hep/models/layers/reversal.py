"""Gradient reversal (arXiv:1409.7495): the identity, whose gradient is turned round."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        del context
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        del context
        return -gradients[0]


def reversed_gradient(values: Float[Tensor, ...]) -> Float[Tensor, ...]:
    """Return the values, through which a gradient passes with the opposite sign.

    What follows minimises a loss that what comes before then maximises.
    """
    turned: Tensor = _Reversal.apply(values)
    return turned
