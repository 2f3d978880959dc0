"""Fused steps of convolutional networks: on the CPU by kernels.cpp, elsewhere by plain torch.

Both give the same values up to rounding. Images are in channels-last memory.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int32
from torch import Tensor
from torch.nn import functional

from anomaly_hep.models.layers import native


def norm_act(
    x: Float[Tensor, "image channel row column"],
    weight: Float[Tensor, " channel"],
    bias: Float[Tensor, " channel"],
    residual: Float[Tensor, "image channel row column"] | None,
    *,
    eps: float,
    slope: float,
) -> Float[Tensor, "image channel row column"]:
    """Return residual + leaky_relu(instance_norm(x)): statistics of each image and channel."""
    if native.usable(x) and (residual is None or residual.dtype == x.dtype):
        y: Tensor = _NormAct.apply(x, weight, bias, residual, eps, slope)
        return y
    return norm_act_reference(x, weight, bias, residual, eps=eps, slope=slope)


def norm_act_reference(
    x: Float[Tensor, "image channel row column"],
    weight: Float[Tensor, " channel"],
    bias: Float[Tensor, " channel"],
    residual: Float[Tensor, "image channel row column"] | None,
    *,
    eps: float,
    slope: float,
) -> Float[Tensor, "image channel row column"]:
    """Return what `norm_act` does, by torch's own functions."""
    if not len(x):
        return x if residual is None else residual  # torch's norm fails on no image
    y = functional.leaky_relu(functional.instance_norm(x, weight=weight, bias=bias, eps=eps), slope)
    return y if residual is None else y + residual


def upsample(
    x: Float[Tensor, "image channel row column"],
) -> Float[Tensor, "image channel row2 column2"]:
    """Return the image at twice the size, bilinear between pixel centres, edges repeated."""
    if native.usable(x):
        y: Tensor = _Upsample.apply(x)
        return y
    return upsample_reference(x)


def upsample_reference(
    x: Float[Tensor, "image channel row column"],
) -> Float[Tensor, "image channel row2 column2"]:
    """Return what `upsample` does, by torch's own function."""
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def pool(
    x: Float[Tensor, "image channel row column"],
) -> Float[Tensor, "image channel row2 column2"]:
    """Return the largest value of each 3 x 3 window of stride 2, padded as `same_padding`."""
    if native.usable(x):
        h, w = x.shape[2:]
        y: Tensor = _Pool.apply(_flat(x), None, h, w)
        return _image(y, _halved(h), _halved(w))
    return pool_reference(x)


def pool_reference(
    x: Float[Tensor, "image channel row column"],
) -> Float[Tensor, "image channel row2 column2"]:
    """Return what `pool` does, by torch's own function."""
    padded = functional.pad(x, same_padding(x.shape[2], x.shape[3]), value=-torch.inf)
    return functional.max_pool2d(padded, 3, 2)


def same_padding(height: int, width: int) -> tuple[int, int, int, int]:
    """Return (left, right, top, bottom) of a 3 x 3 window of stride 2: the odd one goes behind.

    TensorFlow's SAME, with which the networks of arXiv:2306.12955 were built.
    """
    sides = []
    for size in (width, height):
        missing = max(2 * (_halved(size) - 1) + 3 - size, 0)
        sides += [missing // 2, missing - missing // 2]
    return sides[0], sides[1], sides[2], sides[3]


def gather(
    table: Float[Tensor, "image pattern channel"],
    index: Int32[Tensor, "image row column"],
) -> Float[Tensor, "image channel row column"]:
    """Return the row of its image's table that each position names."""
    if native.usable(table):
        y: Tensor = _Gather.apply(table, index.contiguous())
        return _image(y, *index.shape[1:])
    rows = index.long().flatten(1)[:, :, None].expand(-1, -1, table.shape[2])
    return _image(table.gather(1, rows), *index.shape[1:])


def gather_pool(
    table: Float[Tensor, "image pattern channel"],
    index: Int32[Tensor, "image row column"],
) -> Float[Tensor, "image channel row2 column2"]:
    """Return pool(gather(table, index)) without the large image in between."""
    if native.usable(table):
        h, w = index.shape[1:]
        y: Tensor = _Pool.apply(table, index.contiguous(), h, w)
        return _image(y, _halved(h), _halved(w))
    return pool_reference(gather(table, index))


def _halved(size: int) -> int:
    return -(-size // 2)


def _flat(
    x: Float[Tensor, "image channel row column"],
) -> Float[Tensor, "image position channel"]:
    """Return the values in channels-last order; no copy where the memory is in that order."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, x.shape[1])


def _image(
    y: Float[Tensor, "image position channel"], height: int, width: int
) -> Float[Tensor, "image channel row column"]:
    return y.view(y.shape[0], height, width, y.shape[2]).permute(0, 3, 1, 2)


class _NormAct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        residual: Tensor | None,
        eps: float,
        slope: float,
    ) -> Tensor:
        n, c, h, w = x.shape
        flat = _flat(x).contiguous()
        added = None if residual is None else _flat(residual).contiguous()
        weight, bias = weight.float().contiguous(), bias.float().contiguous()
        y, mean, rstd = torch.empty_like(flat), weight.new_empty(n, c), weight.new_empty(n, c)
        native.call("norm_act", x.dtype, flat, added, y, weight, bias, mean, rstd, n, h * w, c,
                    eps, slope)  # fmt: skip
        ctx.save_for_backward(flat, weight, bias, mean, rstd)
        ctx.slope, ctx.shape, ctx.added = slope, (h, w), residual is not None
        return _image(y, h, w)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        flat, weight, bias, mean, rstd = ctx.saved_tensors
        n, positions, c = flat.shape
        grad = _flat(grads[0].to(flat.dtype)).contiguous()
        grad_x, by_weight, by_bias = (torch.empty_like(t) for t in (flat, mean, mean))
        native.call("norm_act_backward", flat.dtype, grad, flat, grad_x, weight, bias, mean, rstd,
                    by_weight, by_bias, n, positions, c, ctx.slope)  # fmt: skip
        through = _image(grad, *ctx.shape) if ctx.added else None
        return _image(grad_x, *ctx.shape), by_weight.sum(0), by_bias.sum(0), through, None, None


class _Upsample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        flat = _flat(x).contiguous()
        y = flat.new_empty(n, 4 * h * w, c)
        native.call("upsample", x.dtype, flat, y, n, h, w, c)
        ctx.shape = (n, c, h, w)
        return _image(y, 2 * h, 2 * w)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        n, c, h, w = ctx.shape
        grad = _flat(grads[0]).contiguous()
        grad_x = grad.new_empty(n, h * w, c)
        native.call("upsample_backward", grad.dtype, grad, grad_x, n, h, w, c)
        return _image(grad_x, h, w)


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor | None, height: int, width: int) -> Tensor:
        table = table.contiguous()
        n, rows, c = table.shape
        left, _, top, _ = same_padding(height, width)
        out = _halved(height), _halved(width)
        y = table.new_empty(n, out[0] * out[1], c)
        # which row was the largest is wanted by the gradient only
        chosen = torch.empty(y.shape, dtype=torch.int32) if ctx.needs_input_grad[0] else None
        native.call("pool", table.dtype, table, index, y, chosen, n, rows, height, width, c,
                    *out, top, left)  # fmt: skip
        if chosen is not None:
            ctx.save_for_backward(chosen)
        ctx.rows = rows
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (chosen,) = ctx.saved_tensors
        return _by_index("pool_backward", grads[0], chosen, ctx.rows), None, None, None


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor) -> Tensor:
        table = table.contiguous()
        n, rows, c = table.shape
        positions = index.shape[1] * index.shape[2]
        y = table.new_empty(n, positions, c)
        native.call("gather", table.dtype, table, index, y, n, rows, positions, c)
        ctx.save_for_backward(index)
        ctx.rows = rows
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (index,) = ctx.saved_tensors
        return _by_index("gather_backward", grads[0], index, ctx.rows), None


def _by_index(name: str, grad: Tensor, index: Tensor, rows: int) -> Tensor:
    """Return the gradient of a table from that of the rows taken out of it."""
    grad = grad.contiguous()
    n, positions, c = grad.shape
    table = grad.new_empty(n, rows, c)
    native.call(name, grad.dtype, grad, index, table, n, rows, positions, c)
    return table
