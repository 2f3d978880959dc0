"""Which of several like particles is meant: numbers inside a type, their code, and type groups."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from torch.nn import functional

from anomaly_hep.models.layers.segments import Segments


@dataclass(frozen=True, eq=False)
class Groups:
    """Particles that may be matched with each other: those of one jet and, with types, one type.

    `order` lists the particles group by group, in file order within each; `lengths` has no zeros.
    """

    order: Int64[Tensor, " particle"]
    lengths: Int64[Tensor, " group"]


def counts_so_far(
    types: Int64[Tensor, " particle"], kinds: int, segments: Segments
) -> Int64[Tensor, "particle kind"]:
    """Return how many particles of each type the jet has up to and including each particle."""
    running = functional.one_hot(types, kinds).cumsum(0)
    # what the earlier jets contributed is the count just before this jet's first particle
    before = torch.cat([running.new_zeros(1, kinds), running])[segments.first]
    return running - before[segments.owner]


def identification_numbers(
    types: Int64[Tensor, " particle"], kinds: int, segments: Segments, *, legacy: bool = False
) -> Int64[Tensor, " particle"]:
    """Return each particle's number among those of its own type in its jet, from 0.

    `legacy` is what the published code computes: the largest count of any type so far, less one.
    Types [0,0,0,3,3,3,1] give [0,1,2,0,1,2,0], and [0,1,2,2,2,2,2] with `legacy`: there, particles
    of one type share a number, and the decoder cannot tell them apart.
    """
    counts = counts_so_far(types, kinds, segments)
    if legacy:
        return counts.amax(1) - 1 if len(counts) else counts.new_zeros(0)
    return counts.gather(1, types[:, None])[:, 0] - 1


def type_groups(types: Int64[Tensor, " particle"], kinds: int, segments: Segments) -> Groups:
    """Return the groups of equal type within each jet."""
    key = segments.owner * kinds + types
    lengths = torch.bincount(key, minlength=len(segments) * kinds)
    start = lengths.cumsum(0) - lengths
    slot = start[key] + identification_numbers(types, kinds, segments)
    order = torch.empty_like(slot)
    order[slot] = torch.arange(len(slot), device=slot.device)
    return Groups(order, lengths[lengths > 0])


def jet_groups(segments: Segments) -> Groups:
    """Return one group per jet, for models that know no particle types."""
    order = torch.arange(len(segments.owner), device=segments.owner.device)
    return Groups(order, segments.lengths[segments.lengths > 0])


def sinusoids(positions: int, features: int) -> Float32[Tensor, "position feature"]:
    """Return the fixed code of each position: sines and cosines of falling frequency, base 10 000.

    Source: Vaswani et al., arXiv:1706.03762, section 3.5.
    """
    frequency = 10_000.0 ** (-torch.arange(0, features, 2) / features)
    angle = torch.arange(positions)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)
