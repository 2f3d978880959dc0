"""Events of any length one behind the other: on a CPU, work for real particles alone."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor
from torch.nn import functional

from anomaly_hep.models.layers.product import rounded
from anomaly_hep.models.layers.segments import Distance, Segments, one_hot

# a coordinate that is further than any particle, and whose square single precision holds
_FAR = 1e18


class Jagged(Segments):
    """Flat rows without gaps, and the number of each event's; rows behind the last are nobody's."""

    def __init__(self, lengths: Int64[Tensor, " event"]) -> None:
        super().__init__(lengths)
        self.first = lengths.cumsum(0) - lengths
        self.owner = torch.repeat_interleave(
            torch.arange(len(lengths), device=lengths.device), lengths
        )
        self.identity = torch.arange(len(self.owner), device=lengths.device)

    @property
    def rows(self) -> int:
        """How many particles there are."""
        return len(self.owner)

    @cached_property
    def position(self) -> Int64[Tensor, " row"]:
        """Position of each particle inside its event, from 0."""
        return self.identity - self.first[self.owner]

    @cached_property
    def shares(self) -> Float32[Tensor, " row"]:
        """What each particle counts in the mean over its event."""
        return self.inverse_lengths[self.owner]

    def sum(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "event feature"]:
        """Return the sum over the particles of each event; 0 for an empty event."""
        if not flat.requires_grad:  # the call through autograd costs more than one event's sum
            return _bag_sum(flat, self.first, self.identity)
        total: Tensor = _Sum.apply(flat, self.first, self.owner, self.identity)
        return total

    def spread(
        self, values: Float[Tensor, "event feature"], rows: int | None = None
    ) -> Float[Tensor, "row feature"]:
        """Return each event's value at each of its particles; rows up to `rows` hold any value."""
        owner = self.owner if rows is None else _lengthened(self.owner, rows)
        if not values.requires_grad:
            return values.index_select(0, owner)
        flat: Tensor = _Spread.apply(values, self.first, owner, self.identity)
        return flat

    def lengthened(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "row2 feature"]:
        """Return `flat` with as many rows as matrix products like; the new ones are zero."""
        extra = rounded(flat.shape[0]) - flat.shape[0]
        return functional.pad(flat, (0, 0, 0, extra)) if extra else flat

    def filled(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "row feature"]:
        """Return `flat`: each row has a particle."""
        return flat

    def pad(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "event slot feature"]:
        """Return the particles in a rectangle as long as the longest event, zeros behind."""
        longest = int(self.lengths.max()) if len(self.lengths) else 0
        padded = flat.new_zeros(len(self), longest, flat.shape[1])
        padded[self.owner, self.position] = flat
        return padded

    def unpad(self, padded: Float[Tensor, "event slot feature"]) -> Float[Tensor, "row feature"]:
        """Return the particles of a rectangle made by `pad`, flat again."""
        return padded[self.owner, self.position]

    def of_size(self, rows: int) -> Jagged:
        """Return the same events with `rows` rows each."""
        return Jagged(torch.full_like(self.lengths, rows))

    def counts_so_far(
        self, types: Int64[Tensor, " row"], n_types: int
    ) -> Int64[Tensor, "row type"]:
        """Return how many particles of each type the event has up to and including each one."""
        running = one_hot(types, n_types).cumsum(0)
        # what the earlier events contributed is the count just before this one's first particle
        before = torch.cat([running.new_zeros(1, n_types), running])[self.first]
        return running - before[self.owner]

    @torch.no_grad()
    def nearest(
        self,
        distance: Distance,
        one: Float[Tensor, "row feature"],
        other: Float[Tensor, "row feature"],
        types: Int64[Tensor, " row"] | None,
        n_types: int,
    ) -> tuple[Int64[Tensor, " row"], Int64[Tensor, " row"]]:
        """Return for each row of `one` the nearest of `other`, and the reverse, by row.

        Groups of like size are compared in one rectangle of at most twice their pairs: on average
        jets a seventeenth of the pairs of a rectangle of 128 x 128.
        """
        order, lengths = self._groups(types, n_types)
        to_other, to_one = order.clone(), order.clone()
        start = lengths.cumsum(0) - lengths
        longest = int(lengths.max()) if len(lengths) else 0
        # group by group, each feature by itself in memory, and behind them one that is far away
        far = one.new_full((one.shape[1], 1), _FAR)
        a, b = (torch.cat([flat.t()[:, order], far], 1) for flat in (one, other))
        # a group of one needs no search: its particle is its own partner
        for power in range(1, math.ceil(math.log2(max(longest, 1))) + 1):
            size = 2**power
            chosen = ((lengths > size // 2) & (lengths <= size)).nonzero()[:, 0]
            if not len(chosen):
                continue
            slot, first = torch.arange(size, device=start.device), start[chosen][:, None]
            real = slot < lengths[chosen][:, None]
            place = torch.where(real, first + slot, len(order))  # (group, slot)
            x, y = (flat[:, place].permute(1, 2, 0) for flat in (a, b))
            apart = distance(x[:, :, None], y[:, None])  # (group, slot of one, slot of other)
            # what is not finite may be further than far: any partner then, the loss says it
            forward, backward = (
                (first + apart.argmin(d)).clamp(max=len(order) - 1) for d in (2, 1)
            )
            to_other[place[real]] = order[forward[real]]
            to_one[place[real]] = order[backward[real]]
        by_one, by_other = torch.empty_like(order), torch.empty_like(order)
        by_one[order] = to_other
        by_other[order] = to_one
        return by_one, by_other

    def _groups(
        self, types: Int64[Tensor, " row"] | None, n_types: int
    ) -> tuple[Int64[Tensor, " row"], Int64[Tensor, " group"]]:
        """Return the particles group by group, in file order within each, and the groups' lengths.

        A group is the particles of one event and, with types, of one type; none is empty.
        """
        if types is None:
            return self.identity, self.lengths[self.lengths > 0]
        key = self.owner * n_types + types
        lengths = torch.bincount(key, minlength=len(self) * n_types)
        return key.argsort(stable=True), lengths[lengths > 0]

    def hardest(
        self,
        flat: Float[Tensor, "row feature"],
        momentum: Float[Tensor, " row"],
        count: int,
    ) -> Float[Tensor, "event constituent feature"]:
        """Return the `count` particles of largest momentum of each event, zeros behind them."""
        rank = self.ranks(momentum)
        kept = rank < count
        padded = flat.new_zeros(len(self), count, flat.shape[1])
        padded[self.owner[kept], rank[kept]] = flat[kept]
        return padded

    def ranks(self, momentum: Float[Tensor, " row"]) -> Int64[Tensor, " row"]:
        """Return each particle's place in its event by falling momentum, from 0."""
        order = momentum.argsort(descending=True, stable=True)
        order = order[self.owner[order].argsort(stable=True)]
        return torch.empty_like(order).scatter_(0, order, self.position)

    def lowest(
        self,
        ranking: Float[Tensor, " event"],
        fraction: float,
        weight: Float[Tensor, " event"],
    ) -> tuple[Int64[Tensor, " kept"], Float[Tensor, " kept"]]:
        """Return the `fraction` of events that rank lowest, at least one, and their weights."""
        index = ranking.topk(max(1, int(len(ranking) * fraction)), largest=False).indices
        return index, weight[index]


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


def _bag_sum(flat: Tensor, first: Tensor, identity: Tensor) -> Tensor:
    # embedding_bag over the identity index is the fastest segment sum that torch has on CPU:
    # 3 times a sparse product, 15 times segment_reduce.
    return functional.embedding_bag(identity, flat, first, mode="sum")


def _lengthened(owner: Tensor, rows: int) -> Tensor:
    """Return the owner of `rows` rows; those behind the last are lent to the first event."""
    extra = rows - owner.shape[0]
    return functional.pad(owner, (0, extra)) if extra else owner
