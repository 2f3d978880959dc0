"""Numbers that tell particles of one type in a jet apart, and their codes for the decoder."""

from __future__ import annotations

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from anomaly_hep.models.layers.segments import Segments


def identification_numbers(
    types: Int64[Tensor, " particle"], n_types: int, segments: Segments, *, legacy: bool = False
) -> Int64[Tensor, " particle"]:
    """Return each particle's number among the particles of its type in its jet, from 0.

    With `legacy` it is the largest count of any type so far minus one, as in the published code.
    Types [0,0,0,3,3,3,1] give [0,1,2,0,1,2,0], and [0,1,2,2,2,2,2] with `legacy`: there, particles
    of one type share a number, and the decoder cannot tell them apart.
    """
    counts = segments.counts_so_far(types, n_types)
    count = counts.amax(1) if legacy else counts.gather(1, types[:, None])[:, 0]
    return (count - 1).clamp(min=0)  # the count may be 0 in a row without a particle


def sinusoids(positions: int, features: int) -> Float32[Tensor, "position feature"]:
    """Return the sinusoidal code of each position, with frequencies of base 10 000.

    Source: Vaswani et al., arXiv:1706.03762, section 3.5.
    """
    frequency = 10_000.0 ** (-torch.arange(0, features, 2) / features)
    angle = torch.arange(positions)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)
