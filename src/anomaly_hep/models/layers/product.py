"""Products of thousands of rows with one small matrix, which dominate a Deep Set's arithmetic."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from anomaly_hep.processor import processor

BLOCK = 128  # rows
_MIN_ROWS = 16 * BLOCK  # from here on, rounding up the number of rows pays off
# MKL, the BLAS behind `linear`, uses its fast code only on Intel processors
CONVOLUTION_IS_QUICKER = (
    processor().vendor == "AuthenticAMD"
    and torch.backends.mkl.is_available()
    and torch.backends.mkldnn.is_available()
)


def rounded(rows: int) -> int:
    """Return the number of rows, padding included, for which `product` is fastest."""
    if rows < _MIN_ROWS or not CONVOLUTION_IS_QUICKER:
        return rows
    return -(-rows // BLOCK) * BLOCK


def product(
    flat: Float[Tensor, "row input"],
    weight: Float[Tensor, "output input"],
    bias: Float[Tensor, " output"] | None = None,
) -> Float[Tensor, "row output"]:
    """Return functional.linear(flat, weight, bias).

    On AMD processors, full blocks of rows in single precision go through a 1 x 1 convolution: the
    same sums, but computed by oneDNN in about half the time of the BLAS behind `linear`
    (docs/results/bench.md). The gradient of the weights is slower in oneDNN, so BLAS computes it.
    """
    if not _convolution_pays(flat):
        return functional.linear(flat, weight, bias)
    result: Tensor = _Product.apply(flat, weight, bias)
    return result


def _convolution_pays(flat: Tensor) -> bool:
    return (
        CONVOLUTION_IS_QUICKER
        and flat.shape[0] >= _MIN_ROWS
        and flat.shape[0] % BLOCK == 0
        and flat.dtype == torch.float32
        and flat.device.type == "cpu"
        # with bfloat16, `linear` uses oneDNN anyway
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
        # uses only differentiable functions, so that the gradient has a gradient too
        gradient = gradients[0].contiguous()
        flat, weight = ctx.saved_tensors
        needed = ctx.needs_input_grad
        return (
            _Product.apply(gradient, weight.t(), None) if needed[0] else None,
            gradient.t() @ flat if needed[1] else None,
            gradient.sum(0) if needed[2] else None,
        )


def _convolved(flat: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    # a view of shape (block, feature, row, 1): nothing is copied
    blocks = flat.view(-1, BLOCK, 1, flat.shape[1]).permute(0, 3, 1, 2)
    convolved = functional.conv2d(blocks, weight[:, :, None, None], bias)
    # copies only if the convolution chose another memory order
    rows = convolved.permute(0, 2, 3, 1).contiguous()
    # not a view but a tensor on the same memory, which later steps may change in place
    return convolved.new_empty(0).set_(
        rows.untyped_storage(), 0, (len(flat), len(weight)), (len(weight), 1)
    )
