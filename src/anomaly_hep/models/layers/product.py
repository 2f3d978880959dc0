"""Products of thousands of rows with one small matrix, the bulk of a Deep Set's arithmetic."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from anomaly_hep.processor import processor

BLOCK = 128  # rows
_MANY = 16 * BLOCK  # from here on a rounded number of rows costs less than it gains
# MKL, the BLAS behind `linear`, keeps its quick code for Intel's processors
CONVOLUTION_IS_QUICKER = (
    processor().vendor == "AuthenticAMD"
    and torch.backends.mkl.is_available()
    and torch.backends.mkldnn.is_available()
)


def rounded(rows: int) -> int:
    """Return how many rows to calculate with for `rows` real ones: `product` likes full blocks."""
    if rows < _MANY or not CONVOLUTION_IS_QUICKER:
        return rows
    return -(-rows // BLOCK) * BLOCK


def product(
    flat: Float[Tensor, "row input"],
    weight: Float[Tensor, "output input"],
    bias: Float[Tensor, " output"] | None = None,
) -> Float[Tensor, "row output"]:
    """Return functional.linear(flat, weight, bias).

    On AMD's processors, full blocks of rows in single precision go through a 1 x 1 convolution: the
    same sums, but made by oneDNN, in about half of the time of the BLAS behind `linear`
    (docs/results/bench.md). Its gradient of the weights is the slower one, so that stays with BLAS.
    """
    if not _pays(flat):
        return functional.linear(flat, weight, bias)
    made: Tensor = _Product.apply(flat, weight, bias)
    return made


def _pays(flat: Tensor) -> bool:
    return (
        CONVOLUTION_IS_QUICKER
        and flat.shape[0] >= _MANY
        and flat.shape[0] % BLOCK == 0
        and flat.dtype == torch.float32
        and flat.device.type == "cpu"
        # bfloat16 products of `linear` are oneDNN's anyway
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, flat: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(flat, weight)
        return _convolved(flat, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # only of functions that autograd knows: a gradient has a gradient too
        gradient = gradients[0].contiguous()
        flat, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        return (
            _Product.apply(gradient, weight.t(), None) if wanted[0] else None,
            gradient.t() @ flat if wanted[1] else None,
            gradient.sum(0) if wanted[2] else None,
        )


def _convolved(flat: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    # (block, feature, row, 1) in the memory that the rows are in: nothing is copied
    blocks = flat.view(-1, BLOCK, 1, flat.shape[1]).permute(0, 3, 1, 2)
    made = functional.conv2d(blocks, weight[:, :, None, None], bias)
    # a convolution that chose another order of memory would be copied here, not misread
    rows = made.permute(0, 2, 3, 1).contiguous()
    # the same memory as a tensor of its own: what follows may change it in place, unlike a view
    return made.new_empty(0).set_(
        rows.untyped_storage(), 0, (len(flat), len(weight)), (len(weight), 1)
    )
