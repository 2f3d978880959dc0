"""Steps of convolutional networks in torch's own functions: the reference for kernels.cpp."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int32
from torch import Tensor
from torch.nn import functional


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
    if not len(x):
        return x if residual is None else residual  # torch's norm fails for empty input
    y = functional.leaky_relu(functional.instance_norm(x, weight=weight, bias=bias, eps=eps), slope)
    return y if residual is None else y + residual


def upsample(
    x: Float[Tensor, "image channel row column"],
) -> Float[Tensor, "image channel row2 column2"]:
    """Return the image at twice the size, interpolated bilinearly, with repeated edges."""
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def pool(
    x: Float[Tensor, "image channel row column"],
) -> Float[Tensor, "image channel row2 column2"]:
    """Return the maximum of each 3 x 3 window of stride 2, padded as in `same_padding`."""
    padded = functional.pad(x, same_padding(x.shape[2], x.shape[3]), value=-torch.inf)
    return functional.max_pool2d(padded, 3, 2)


def gather(
    table: Float[Tensor, "image pattern channel"],
    index: Int32[Tensor, "image row column"],
) -> Float[Tensor, "image channel row column"]:
    """Return, for each position, the row `index` of its image's table."""
    rows = index.long().flatten(1)[:, :, None].expand(-1, -1, table.shape[2])
    return image(table.gather(1, rows), index.shape[1], index.shape[2])


def image(
    rows: Float[Tensor, "image position channel"], height: int, width: int
) -> Float[Tensor, "image channel row column"]:
    """Return rows of channels as images in channels-last memory, without a copy."""
    return rows.view(len(rows), height, width, rows.shape[2]).permute(0, 3, 1, 2)


def same_padding(height: int, width: int) -> tuple[int, int, int, int]:
    """Return the padding (left, right, top, bottom) for a 3 x 3 window of stride 2.

    This is TensorFlow's SAME, as in the networks of arXiv:2306.12955: an odd pixel is added last.
    """
    sides = []
    for size in (width, height):
        missing = max(2 * (halved(size) - 1) + 3 - size, 0)
        sides += [missing // 2, missing - missing // 2]
    return sides[0], sides[1], sides[2], sides[3]


def halved(size: int) -> int:
    """Return the number of windows of stride 2 on `size` positions."""
    return -(-size // 2)
