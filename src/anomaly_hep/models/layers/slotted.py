"""Events that own the same number of rows each: static shapes, and no wait for the device."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Float32, Int64, Shaped
from torch import Tensor
from torch.nn import functional

from anomaly_hep.models.layers.segments import Distance, Segments, one_hot


class Slotted(Segments):
    """`slots` rows for each event, of which its particles take the first.

    present: which events are there; the others only fill the batch up. None: all.
    """

    def __init__(
        self,
        lengths: Int64[Tensor, " event"],
        slots: int,
        present: Bool[Tensor, " event"] | None = None,
    ) -> None:
        super().__init__(lengths)
        self.slots = slots
        self.present = lengths >= 0 if present is None else present
        self.slot = torch.arange(slots, device=lengths.device)
        self.taken: Bool[Tensor, "event slot"] = self.slot < lengths[:, None]

    @property
    def rows(self) -> int:
        """How many rows there are, with a particle or without."""
        return len(self) * self.slots

    @property
    def position(self) -> Int64[Tensor, " row"]:
        """Position of each particle inside its event, from 0; 0 where there is none."""
        return (self.slot * self.taken).flatten()

    @property
    def shares(self) -> Float32[Tensor, " row"]:
        """What each row counts in the mean over its event: 1/n, and 0 without a particle."""
        return (self.inverse_lengths[:, None] * self.taken).flatten()

    def sum(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "event feature"]:
        """Return the sum over the particles of each event; 0 for an empty event."""
        return self.pad(flat).sum(1)

    def spread(
        self, values: Float[Tensor, "event feature"], rows: int | None = None
    ) -> Float[Tensor, "row feature"]:
        """Return each event's value in each of its rows."""
        del rows  # there are never more
        return values[:, None].expand(-1, self.slots, -1).flatten(0, 1)

    def lengthened(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "row2 feature"]:
        """Return `flat`: the number of rows is a round one already."""
        return flat

    def filled(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "row feature"]:
        """Return `flat` with zeros in the rows without a particle."""
        return self.pad(flat).flatten(0, 1)

    def pad(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "event slot feature"]:
        """Return the rows as a rectangle, zeros behind the particles of each event."""
        # unlike a product with 0, this holds back what is not finite, and its gradient too
        return self._rectangle(flat).masked_fill(~self.taken[..., None], 0.0)

    def _rectangle(self, flat: Shaped[Tensor, "row ..."]) -> Shaped[Tensor, "event slot ..."]:
        return flat.unflatten(0, (len(self), self.slots))

    def unpad(self, padded: Float[Tensor, "event slot feature"]) -> Float[Tensor, "row feature"]:
        """Return the rows of a rectangle."""
        return padded.flatten(0, 1)

    def of_size(self, rows: int) -> Slotted:
        """Return the same events with `rows` rows each, all of them taken."""
        return Slotted(torch.full_like(self.lengths, rows), rows, self.present)

    def counts_so_far(
        self, types: Int64[Tensor, " row"], n_types: int
    ) -> Int64[Tensor, "row type"]:
        """Return how many particles of each type the event has up to and including each row."""
        counted = self._rectangle(one_hot(types, n_types)) * self.taken[..., None]
        return counted.cumsum(1).flatten(0, 1)

    def nearest(
        self,
        distance: Distance,
        one: Float[Tensor, "row feature"],
        other: Float[Tensor, "row feature"],
        types: Int64[Tensor, " row"] | None,
        n_types: int,
    ) -> tuple[Int64[Tensor, " row"], Int64[Tensor, " row"]]:
        """Return for each row of `one` the nearest of `other`, and the reverse, by row.

        A row without a particle gets one of its event's.
        """
        del n_types
        alike = self.taken[:, :, None] & self.taken[:, None]
        if types is not None:
            own = self._rectangle(types)
            alike = alike & (own[:, :, None] == own[:, None])
        one, other = (self._rectangle(flat.detach()) for flat in (one, other))
        # (event, slot of one, slot of other)
        apart = distance(one[:, :, None], other[:, None]).masked_fill(~alike, math.inf)
        first = torch.arange(len(self), device=self.slot.device)[:, None] * self.slots
        return (first + apart.argmin(2)).flatten(), (first + apart.argmin(1)).flatten()

    def hardest(
        self,
        flat: Float[Tensor, "row feature"],
        momentum: Float[Tensor, " row"],
        count: int,
    ) -> Float[Tensor, "event constituent feature"]:
        """Return the `count` particles of largest momentum of each event, zeros behind them."""
        falling = self._rectangle(momentum).masked_fill(~self.taken, -math.inf)
        order = falling.argsort(dim=1, descending=True, stable=True)[:, :count]
        kept = self.pad(flat).gather(1, order[..., None].expand(-1, -1, flat.shape[1]))
        return functional.pad(kept, (0, 0, 0, count - order.shape[1]))

    def lowest(
        self,
        ranking: Float[Tensor, " event"],
        fraction: float,
        weight: Float[Tensor, " event"],
    ) -> tuple[Int64[Tensor, " kept"], Float[Tensor, " kept"]]:
        """Return all events by rising rank, and the weights of the `fraction` that ranks lowest.

        At least one has its weight; events that only fill the batch up are last and have none.
        """
        index = ranking.masked_fill(~self.present, math.inf).argsort()
        # in double precision, as for one batch of so many events
        count = (self.present.sum().double() * fraction).floor().clamp(min=1)
        place = torch.arange(len(self), device=self.slot.device)
        return index, weight[index] * (place < count)
