"""What torch is told of the operator of particles.cpp, and the same in torch's own functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from anomaly_hep.models.layers.jagged import Jagged
from anomaly_hep.models.layers.product import product
from anomaly_hep.models.layers.segments import Segments

_BLOCK, _PADDING = 64, 16  # particles and features, as in rows.h and tiles.h


def plain(
    flat: Float[Tensor, "row feature"],
    segments: Segments,
    weights: Sequence[Float[Tensor, "_ _"]],
    biases: Sequence[Float[Tensor, " _"]],
) -> Float[Tensor, "event component"]:
    """Return the sum over the particles of each event of linear layers with ReLU on each.

    Autocast does not concern the first layer.
    """
    (first, shift), *others = zip(weights, biases, strict=True)
    # angles in bfloat16 would be rounded to 0.01 rad, a tenth of the distance of two prongs
    with torch.autocast(flat.device.type, enabled=False):
        x = torch.relu_(product(segments.lengthened(flat), first, shift))
    for weight, bias in others:
        x = torch.relu_(product(x, weight, bias))
    return segments.sum(x[: segments.rows].to(torch.promote_types(x.dtype, torch.float32)))


def shapes(
    x: Tensor, lengths: Tensor, weights: Sequence[Tensor], biases: Any, brief: bool, keep: bool
) -> tuple[Tensor, Tensor]:
    """Return tensors like those of the operator."""
    del biases
    size = 2 if brief else x.element_size()
    widths = [-(-len(weight) // _PADDING) * _PADDING for weight in weights]
    rows = -(-len(x) // _BLOCK) * _BLOCK if keep else 0
    kept = x.new_empty(rows, size * sum(widths[1:-1]) + widths[-1], dtype=torch.uint8)
    return x.new_empty(len(lengths), len(weights[-1])), kept


def backward_shapes(
    grad: Tensor, x: Any, lengths: Any, weights: Sequence[Tensor], biases: Sequence[Tensor], *_: Any
) -> list[Tensor]:
    """Return tensors like those of the operator's gradient."""
    del grad, x, lengths
    return [torch.empty_like(values) for values in (*weights, *biases)]


def keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    """Keep what the gradient needs."""
    x, lengths, weights, biases, ctx.brief, _ = inputs
    ctx.layers = len(weights)
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(x, lengths, output[1], *weights, *biases)


def gradient(ctx: Any, grad: Tensor, _: Any) -> tuple[Any, ...]:
    """Return the gradients of the features, the weights and the biases."""
    x, lengths, kept, *parameters = ctx.saved_tensors
    weights, biases = parameters[: ctx.layers], parameters[ctx.layers :]
    if torch.is_grad_enabled() or ctx.needs_input_grad[0]:
        own, *found = _differentiable(grad, x, lengths, parameters)
    else:
        own = None
        found = torch.ops.anomaly_hep.particle_sum_backward(
            grad, x, lengths, weights, biases, kept, ctx.brief
        )
    return own, None, list(found[: ctx.layers]), list(found[ctx.layers :]), None, None


def _differentiable(
    grad: Tensor, x: Tensor, lengths: Int64[Tensor, " event"], parameters: Sequence[Tensor]
) -> list[Tensor | None]:
    """Return the gradients of all inputs by functions that autograd can differentiate again."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        # on aliases, since one input may depend on another
        aliases = [value.view_as(value) for value in (x, *parameters)]
        layers = (len(aliases) - 1) // 2
        y = plain(aliases[0], Jagged(lengths), aliases[1 : 1 + layers], aliases[1 + layers :])
        wanted = [value for value in aliases if value.requires_grad]
        found = iter(torch.autograd.grad(y, wanted, grad, create_graph=again))
    return [next(found) if value.requires_grad else None for value in aliases]
