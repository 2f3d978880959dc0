"""The operators of kernels.cpp as torch knows them: gradients, and shapes for torch.compile.

A gradient can be differentiated again. All operators but the norm are linear, so that each is the
gradient of its own gradient; that of the norm is made by torch's own functions then.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from anomaly_hep.models.layers import native, plain

_Size = int | torch.SymInt  # a graph for every size has none yet


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def ready() -> bool:
    """Return whether the operators are there; the first call compiles and loads them."""
    return _told()


def path() -> str | None:
    """Return which way the steps of this process went, compiled or plain; None without any."""
    if not _told.cache_info().currsize:
        return None
    return "compiled" if _told() else "plain"


@cache
def _told() -> bool:
    if not native.load():
        return False
    _tell("norm_act", _norm_act_shapes, _norm_act_gradient, _norm_act_keep)
    _tell("norm_act_backward", _norm_act_backward_shapes)
    _tell("upsample", _upsample_shapes, _upsample_gradient)
    _tell("upsample_backward", _upsample_backward_shapes, _upsample_backward_gradient)
    _tell("pool", _pool_shapes, _pool_gradient, _pool_keep)
    _tell("pool_backward", _table_shapes, _pool_backward_gradient, _places_keep)
    _tell("gather", _gather_shapes, _gather_gradient, _gather_keep)
    _tell("gather_backward", _table_shapes, _gather_backward_gradient, _places_keep)
    return True


def _tell(name: str, shapes: Any, gradient: Any = None, keep: Any = None) -> None:
    torch.library.register_fake(f"anomaly_hep::{name}", shapes)
    if gradient is not None:
        torch.library.register_autograd(f"anomaly_hep::{name}", gradient, setup_context=keep)


def _image(like: Tensor, height: _Size, width: _Size) -> Tensor:
    size = (*like.shape[:2], height, width)
    return torch.empty(
        size, dtype=like.dtype, device=like.device, memory_format=torch.channels_last
    )


def _norm_act_shapes(x: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    sums = torch.float64 if x.dtype == torch.float64 else torch.float32
    statistics = x.new_empty(x.shape[:2], dtype=sums)
    return _image(x, *x.shape[2:]), statistics, torch.empty_like(statistics)


def _norm_act_keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, weight, bias, residual, ctx.eps, ctx.slope = inputs
    ctx.save_for_backward(x, weight, bias, *output[1:])
    ctx.mark_non_differentiable(*output[1:])
    ctx.added = residual is not None


def _norm_act_gradient(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    x, weight, bias, mean, rstd = ctx.saved_tensors
    through = grad if ctx.added else None
    if not torch.is_grad_enabled():
        found = torch.ops.anomaly_hep.norm_act_backward(
            grad, x, weight, bias, mean, rstd, ctx.slope
        )
        return (*found, through, None, None)
    # create_graph=True: by functions that autograd can go through once more. Aliases, since an
    # input may have been made of another one
    own = x, weight, bias = x.view_as(x), weight.view_as(weight), bias.view_as(bias)
    y = plain.norm_act(x, weight, bias, None, eps=ctx.eps, slope=ctx.slope)
    wanted = [value for value in own if value.requires_grad]
    made = iter(torch.autograd.grad(y, wanted, grad, create_graph=True))
    return (*(next(made) if v.requires_grad else None for v in own), through, None, None)


def _norm_act_backward_shapes(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, *_: Any
) -> tuple[Tensor, Tensor, Tensor]:
    del grad, weight, bias
    return _image(x, *x.shape[2:]), mean.new_empty(mean.shape[1]), mean.new_empty(mean.shape[1])


def _upsample_shapes(x: Tensor) -> Tensor:
    return _image(x, 2 * x.shape[2], 2 * x.shape[3])


def _upsample_gradient(ctx: Any, grad: Tensor) -> Tensor:
    del ctx
    return torch.ops.anomaly_hep.upsample_backward(grad)


def _upsample_backward_shapes(grad: Tensor) -> Tensor:
    return _image(grad, grad.shape[2] // 2, grad.shape[3] // 2)


def _upsample_backward_gradient(ctx: Any, again: Tensor) -> Tensor:
    del ctx
    return torch.ops.anomaly_hep.upsample(again)


def _pool_shapes(
    table: Tensor, index: Any, height: _Size, width: _Size, top: Any, left: Any, with_chosen: bool
) -> tuple[Tensor, Tensor]:
    del index, top, left
    y = table.new_empty(len(table), ((height + 1) // 2) * ((width + 1) // 2), table.shape[2])
    return y, table.new_empty(y.shape if with_chosen else 0, dtype=torch.int32)


def _pool_keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.rows = inputs[0].shape[1]
    ctx.save_for_backward(output[1])


def _pool_gradient(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    (chosen,) = ctx.saved_tensors
    table = torch.ops.anomaly_hep.pool_backward(grad, chosen, ctx.rows)
    return table, None, None, None, None, None, None


def _pool_backward_gradient(ctx: Any, again: Tensor) -> tuple[Tensor, None, None]:
    (chosen,) = ctx.saved_tensors
    return again.gather(1, chosen.long()), None, None


def _gather_shapes(table: Tensor, index: Tensor) -> Tensor:
    return table.new_empty(*index.shape, table.shape[2])


def _gather_keep(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    del output
    ctx.rows = inputs[0].shape[1]
    ctx.save_for_backward(inputs[1])


def _gather_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    (index,) = ctx.saved_tensors
    return torch.ops.anomaly_hep.gather_backward(grad, index, ctx.rows), None


def _gather_backward_gradient(ctx: Any, again: Tensor) -> tuple[Tensor, None, None]:
    (index,) = ctx.saved_tensors
    return torch.ops.anomaly_hep.gather(again, index), None, None


def _table_shapes(grad: Tensor, places: Tensor, rows: _Size) -> Tensor:
    del places
    return grad.new_empty(len(grad), rows, grad.shape[2])


def _places_keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    del output
    ctx.save_for_backward(inputs[1])
