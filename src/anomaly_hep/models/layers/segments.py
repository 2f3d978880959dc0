"""Sums, means and broadcasts over the particles of each jet, without padding."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional


def _bag_sum(flat: Tensor, first: Tensor, identity: Tensor) -> Tensor:
    # embedding_bag over the identity index is the fastest segment sum that torch has on CPU:
    # 3 times a sparse product, 15 times segment_reduce.
    return functional.embedding_bag(identity, flat, first, mode="sum")


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, flat: Tensor, first: Tensor, owner: Tensor, identity: Tensor) -> Tensor:
        ctx.save_for_backward(owner)
        ctx.rows = len(flat)
        return _bag_sum(flat, first, identity)

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (owner,) = ctx.saved_tensors
        flat = gradient[0].index_select(0, _lengthened(owner, ctx.rows))
        flat[len(owner) :] = 0.0
        return flat, None, None, None


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, first: Tensor, owner: Tensor, identity: Tensor) -> Tensor:
        ctx.save_for_backward(first, identity)
        return values.index_select(0, owner)

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, None, None, None]:
        first, identity = ctx.saved_tensors
        return _bag_sum(gradient[0].contiguous(), first, identity), None, None, None


def _lengthened(owner: Tensor, rows: int) -> Tensor:
    """Return the owner of `rows` rows; those behind the last particle are lent to the first jet."""
    extra = rows - owner.shape[0]
    return functional.pad(owner, (0, extra)) if extra else owner


class Segments:
    """Which particles belong to which jet; a jet may be empty."""

    def __init__(self, lengths: Int64[Tensor, " jet"]) -> None:
        self.lengths = lengths
        ends = lengths.cumsum(0)
        self.first = ends - lengths
        self.owner = torch.repeat_interleave(
            torch.arange(len(lengths), device=lengths.device), lengths
        )
        self.identity = torch.arange(len(self.owner), device=lengths.device)
        self.inverse_lengths = 1.0 / lengths.clamp(min=1).to(torch.float32)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def position(self) -> Int64[Tensor, " particle"]:
        """Position of each particle inside its jet, from 0."""
        return self.identity - self.first[self.owner]

    def sum(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "jet feature"]:
        """Return the sum over the particles of each jet; 0 for an empty jet.

        Rows behind the last particle belong to no jet.
        """
        if not flat.requires_grad:  # the call through autograd costs more than one jet's sum
            return _bag_sum(flat, self.first, self.identity)
        total: Tensor = _Sum.apply(flat, self.first, self.owner, self.identity)
        return total

    def mean(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "jet feature"]:
        """Return the mean over the particles of each jet; 0 for an empty jet."""
        return self.sum(flat) * self.inverse_lengths[:, None].to(flat.dtype)

    def spread(
        self, values: Float[Tensor, "jet feature"], rows: int | None = None
    ) -> Float[Tensor, "row feature"]:
        """Return each jet's value at each of its particles; rows up to `rows` hold any value."""
        owner = self.owner if rows is None else _lengthened(self.owner, rows)
        if not values.requires_grad:
            return values.index_select(0, owner)
        flat: Tensor = _Spread.apply(values, self.first, owner, self.identity)
        return flat

    def pad(self, flat: Float[Tensor, "particle feature"]) -> Float[Tensor, "jet slot feature"]:
        """Return particles in a rectangle as long as the longest jet, zeros behind."""
        longest = int(self.lengths.max()) if len(self.lengths) else 0
        padded = flat.new_zeros(len(self), longest, flat.shape[1])
        padded[self.owner, self.position] = flat
        return padded

    def unpad(self, padded: Float[Tensor, "jet slot feature"]) -> Float[Tensor, "particle feature"]:
        """Return the particles of a rectangle made by `pad`, flat again."""
        return padded[self.owner, self.position]
