"""Fused steps of networks: kernels.cpp and particles.cpp on the CPU, plain torch elsewhere.

Both give the same values up to rounding, and derivatives of every order; plain.py defines each step
of images, which are in channels-last memory, and particles.py that of particles.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int32
from torch import Tensor

from anomaly_hep.models.layers import operators, particles, plain
from anomaly_hep.models.layers.jagged import Jagged
from anomaly_hep.models.layers.segments import Segments

TYPES = (torch.bfloat16, torch.float32, torch.float64)


def compiled(x: Tensor) -> bool:
    """Return whether the operators in C++ are used for this device and type."""
    return x.device.type == "cpu" and x.dtype in TYPES and operators.ready()


def norm_act(
    x: Float[Tensor, "image channel row column"],
    weight: Float[Tensor, " channel"],
    bias: Float[Tensor, " channel"],
    residual: Float[Tensor, "image channel row column"] | None,
    *,
    eps: float,
    slope: float,
) -> Float[Tensor, "image channel row column"]:
    """Return residual + leaky_relu(instance_norm(x)), with statistics per image and channel."""
    if compiled(x) and (residual is None or residual.dtype == x.dtype):
        y: Tensor = torch.ops.anomaly_hep.norm_act(x, weight, bias, residual, eps, slope)[0]
        return y
    return plain.norm_act(x, weight, bias, residual, eps=eps, slope=slope)


def upsample(
    x: Float[Tensor, "image channel row column"],
) -> Float[Tensor, "image channel row2 column2"]:
    """Return the image at twice the size, interpolated bilinearly, with repeated edges."""
    y: Tensor = torch.ops.anomaly_hep.upsample(x) if compiled(x) else plain.upsample(x)
    return y


def pool(
    x: Float[Tensor, "image channel row column"],
) -> Float[Tensor, "image channel row2 column2"]:
    """Return the maximum of each 3 x 3 window of stride 2, padded as in `same_padding`."""
    if not compiled(x):
        return plain.pool(x)
    images, channels, height, width = x.shape
    # channels-last memory has this order already: nothing is copied
    rows = x.permute(0, 2, 3, 1).reshape(images, height * width, channels)
    return _pooled(rows, None, height, width)


def gather(
    table: Float[Tensor, "image pattern channel"],
    index: Int32[Tensor, "image row column"],
) -> Float[Tensor, "image channel row column"]:
    """Return, for each position, the row `index` of its image's table."""
    if not compiled(table):
        return plain.gather(table, index)
    rows: Tensor = torch.ops.anomaly_hep.gather(table, index.flatten(1))
    return plain.image(rows, index.shape[1], index.shape[2])


def gather_pool(
    table: Float[Tensor, "image pattern channel"],
    index: Int32[Tensor, "image row column"],
) -> Float[Tensor, "image channel row2 column2"]:
    """Return pool(gather(table, index)) without the large image in between."""
    if not compiled(table):
        return plain.pool(plain.gather(table, index))
    return _pooled(table, index, index.shape[1], index.shape[2])


def particle_sum(
    flat: Float[Tensor, "row feature"],
    segments: Segments,
    weights: Sequence[Float[Tensor, "_ _"]],
    biases: Sequence[Float[Tensor, " _"]],
) -> Float[Tensor, "event component"]:
    """Return the sum over the particles of each event of linear layers with ReLU on each.

    With autocast to bfloat16, all layers but the first multiply in bfloat16 where the processor
    does (AVX512-BF16), else in float32; sums are in float32.
    """
    parameters = (flat, *weights, *biases)
    autocast = torch.is_autocast_enabled("cpu")
    brief = autocast and torch.get_autocast_dtype("cpu") == torch.bfloat16
    known = flat.dtype in (torch.float32, torch.float64) and brief == autocast
    same = all(value.dtype == flat.dtype for value in parameters)
    if not (isinstance(segments, Jagged) and known and same and compiled(flat)):
        return particles.plain(flat, segments, weights, biases)
    brief = brief and flat.dtype == torch.float32 and torch.ops.anomaly_hep.bfloat16_products()
    keep = torch.is_grad_enabled() and any(value.requires_grad for value in parameters)
    total: Tensor = torch.ops.anomaly_hep.particle_sum(
        flat, segments.lengths, weights, biases, brief, keep
    )[0]
    return total


def _pooled(table: Tensor, index: Tensor | None, height: int, width: int) -> Tensor:
    left, _, top, _ = plain.same_padding(height, width)
    # only the gradient needs to know which row was the largest
    with_chosen = table.requires_grad and torch.is_grad_enabled()
    y, _ = torch.ops.anomaly_hep.pool(table, index, height, width, top, left, with_chosen)
    return plain.image(y, plain.halved(height), plain.halved(width))
