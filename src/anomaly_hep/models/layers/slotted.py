"""Events with equal numbers of rows: static shapes, and no waiting for the device."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Float32, Int64, Shaped
from torch import Tensor
from torch.nn import functional

from anomaly_hep.models.layers.segments import Distance, Segments, one_hot


class Slotted(Segments):
    """`slots` rows for each event: its particles, then empty rows.

    present: the real events, as opposed to the padding of the batch; None: all.
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
        """The number of rows, with and without a particle."""
        return len(self) * self.slots

    @property
    def position(self) -> Int64[Tensor, " row"]:
        """The position of each particle in its event, from 0; 0 in empty rows."""
        return (self.slot * self.taken).flatten()

    @property
    def shares(self) -> Float32[Tensor, " row"]:
        """The weight of each row in the mean over its event: 1/n, and 0 in empty rows."""
        return (self.inverse_lengths[:, None] * self.taken).flatten()

    def sum(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "event feature"]:
        """Return the sum over the particles of each event; 0 for an empty event."""
        return self.pad(flat).sum(1)

    def spread(
        self, values: Float[Tensor, "event feature"], rows: int | None = None
    ) -> Float[Tensor, "row feature"]:
        """Return each event's value in each of its rows."""
        del rows  # slotted tensors are never lengthened
        return values[:, None].expand(-1, self.slots, -1).flatten(0, 1)

    def lengthened(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "row2 feature"]:
        """Return `flat`: its number of rows is fixed."""
        return flat

    def filled(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "row feature"]:
        """Return `flat` with zeros in the rows without a particle."""
        return self.pad(flat).flatten(0, 1)

    def pad(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "event slot feature"]:
        """Return the rows as (event, slot, feature), zero-padded after each event's particles."""
        # unlike a product with 0, this also removes values that are not finite, and their gradient
        return self._rectangle(flat).masked_fill(~self.taken[..., None], 0.0)

    def _rectangle(self, flat: Shaped[Tensor, "row ..."]) -> Shaped[Tensor, "event slot ..."]:
        return flat.unflatten(0, (len(self), self.slots))

    def unpad(self, padded: Float[Tensor, "event slot feature"]) -> Float[Tensor, "row feature"]:
        """Return the rows of a padded tensor."""
        return padded.flatten(0, 1)

    def of_size(self, rows: int) -> Slotted:
        """Return the same events with `rows` rows each, none of them empty."""
        return Slotted(torch.full_like(self.lengths, rows), rows, self.present)

    def counts_so_far(
        self, types: Int64[Tensor, " row"], n_types: int
    ) -> Int64[Tensor, "row type"]:
        """Return the running number of particles of each type in the event, each row included."""
        flags = self._rectangle(one_hot(types, n_types)) * self.taken[..., None]
        return flags.cumsum(1).flatten(0, 1)

    def nearest(
        self,
        distance: Distance,
        one: Float[Tensor, "row feature"],
        other: Float[Tensor, "row feature"],
        types: Int64[Tensor, " row"] | None,
        n_types: int,
    ) -> tuple[Int64[Tensor, " row"], Int64[Tensor, " row"]]:
        """Return for each row of `one` the row of the nearest of `other`, and vice versa.

        An empty row gets any row of its event.
        """
        del n_types
        comparable = self.taken[:, :, None] & self.taken[:, None]
        if types is not None:
            by_event = self._rectangle(types)
            comparable = comparable & (by_event[:, :, None] == by_event[:, None])
        one, other = (self._rectangle(flat.detach()) for flat in (one, other))
        # (event, slot of one, slot of other)
        distances = distance(one[:, :, None], other[:, None]).masked_fill(~comparable, math.inf)
        first = torch.arange(len(self), device=self.slot.device)[:, None] * self.slots
        return (first + distances.argmin(2)).flatten(), (first + distances.argmin(1)).flatten()

    def hardest(
        self,
        flat: Float[Tensor, "row feature"],
        momentum: Float[Tensor, " row"],
        count: int,
    ) -> Float[Tensor, "event constituent feature"]:
        """Return the `count` particles of largest momentum of each event, zero-padded."""
        by_event = self._rectangle(momentum).masked_fill(~self.taken, -math.inf)
        order = by_event.argsort(dim=1, descending=True, stable=True)[:, :count]
        kept = self.pad(flat).gather(1, order[..., None].expand(-1, -1, flat.shape[1]))
        return functional.pad(kept, (0, 0, 0, count - order.shape[1]))

    def lowest(
        self,
        ranking: Float[Tensor, " event"],
        fraction: float,
        weight: Float[Tensor, " event"],
    ) -> tuple[Int64[Tensor, " kept"], Float[Tensor, " kept"]]:
        """Return all events by rising rank, with weight 0 beyond the `fraction` that ranks lowest.

        At least one event keeps its weight; padding events are last and have weight 0.
        """
        index = ranking.masked_fill(~self.present, math.inf).argsort()
        # in double precision, as the jagged layout counts with Python floats
        count = (self.present.sum().double() * fraction).floor().clamp(min=1)
        rank = torch.arange(len(self), device=self.slot.device)
        return index, weight[index] * (rank < count)
