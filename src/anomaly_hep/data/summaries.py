"""Sums and maxima over the rows of each event of a jagged batch."""

from __future__ import annotations

import torch
from jaxtyping import Float64, Int64
from torch import Tensor


def summed(
    rows: Float64[Tensor, "row component"], lengths: Int64[Tensor, " event"]
) -> Float64[Tensor, "event component"]:
    """Return the sums; 0 for an event without rows."""
    return torch.segment_reduce(rows, "sum", lengths=lengths, axis=0, initial=0.0, unsafe=True)


def largest(
    rows: Float64[Tensor, "row component"], lengths: Int64[Tensor, " event"]
) -> Float64[Tensor, "event component"]:
    """Return the maxima; 0 for an event without rows."""
    found = torch.segment_reduce(rows, "max", lengths=lengths, axis=0, unsafe=True)
    return torch.where(lengths[:, None] > 0, found, 0.0)
