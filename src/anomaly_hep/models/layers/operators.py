"""Register the operators in C++ with torch: gradients, and shapes for torch.compile.

Gradients can be differentiated again. All operators of images except the norm are linear, so
each one is the gradient of its own gradient; second derivatives of others use torch's own
functions.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from anomaly_hep.models.layers import native, particles, plain

_Size = int | torch.SymInt  # symbolic in a graph for all sizes


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator] # torch has no types for it
def ready() -> bool:
    """Return whether the operators are available; the first call compiles and loads them."""
    return _registered()


def path() -> str | None:
    """Return the implementation in use, 'compiled' or 'plain'; None before the first use."""
    if not _registered.cache_info().currsize:
        return None
    return "compiled" if _registered() else "plain"


@cache
def _registered() -> bool:
    if not native.load():
        return False
    _register("norm_act", _norm_act_shapes, _norm_act_gradient, _norm_act_keep)
    _register("norm_act_backward", _norm_act_backward_shapes)
    _register("upsample", _upsample_shapes, _upsample_gradient)
    _register("upsample_backward", _upsample_backward_shapes, _upsample_backward_gradient)
    _register("pool", _pool_shapes, _pool_gradient, _pool_keep)
    _register("pool_backward", _table_shapes, _pool_backward_gradient, _places_keep)
    _register("gather", _gather_shapes, _gather_gradient, _gather_keep)
    _register("gather_backward", _table_shapes, _gather_backward_gradient, _places_keep)
    _register("particle_sum", particles.shapes, particles.gradient, particles.keep)
    _register("particle_sum_backward", particles.backward_shapes)
    _register("energy_movers_distance", _distance_shapes)
    return True


def _register(name: str, shapes: Any, gradient: Any = None, keep: Any = None) -> None:
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
    residual_grad = grad if ctx.added else None
    if not torch.is_grad_enabled():
        fused = torch.ops.anomaly_hep.norm_act_backward(
            grad, x, weight, bias, mean, rstd, ctx.slope
        )
        return (*fused, residual_grad, None, None)
    # create_graph=True: use functions that autograd can differentiate again, on aliases, since one
    # input may depend on another
    aliases = x, weight, bias = x.view_as(x), weight.view_as(weight), bias.view_as(bias)
    y = plain.norm_act(x, weight, bias, None, eps=ctx.eps, slope=ctx.slope)
    differentiable = [value for value in aliases if value.requires_grad]
    grads = iter(torch.autograd.grad(y, differentiable, grad, create_graph=True))
    return (*(next(grads) if v.requires_grad else None for v in aliases), residual_grad, None, None)


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


def _distance_shapes(weights: Tensor, *_: Any) -> Tensor:
    return weights.new_empty(len(weights), dtype=torch.float64)
