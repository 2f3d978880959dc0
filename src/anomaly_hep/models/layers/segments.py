"""What layers know of events: which rows of a flat tensor are whose, whatever the layout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

# of rows (..., feature) and rows (..., feature): the distance of each pair
Distance = Callable[[Tensor, Tensor], Tensor]


class Segments(ABC):
    """The rows of each event in a flat tensor; an event may be empty.

    `models.layers.jagged` has events of any length one behind the other, `models.layers.slotted`
    gives every event the same number of rows. Rows without a particle, which both may have, hold
    any value and reach nothing: `sum`, `mean` and `pad` leave them out.
    """

    def __init__(self, lengths: Int64[Tensor, " event"]) -> None:
        self.lengths = lengths
        self.inverse_lengths: Float32[Tensor, " event"] = 1.0 / lengths.clamp(min=1).float()

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    @abstractmethod
    def rows(self) -> int:
        """How many rows a flat tensor has at least."""

    @property
    @abstractmethod
    def position(self) -> Int64[Tensor, " row"]:
        """Position of each particle inside its event, from 0; 0 where there is none."""

    @property
    @abstractmethod
    def shares(self) -> Float32[Tensor, " row"]:
        """What each row counts in the mean over its event: 1/n, and 0 without a particle."""

    @abstractmethod
    def sum(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "event feature"]:
        """Return the sum over the particles of each event; 0 for an empty event."""

    def mean(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "event feature"]:
        """Return the mean over the particles of each event; 0 for an empty event."""
        return self.sum(flat) * self.inverse_lengths[:, None].to(flat.dtype)

    @abstractmethod
    def spread(
        self, values: Float[Tensor, "event feature"], rows: int | None = None
    ) -> Float[Tensor, "row feature"]:
        """Return each event's value in each of its rows; rows up to `rows` hold any value."""

    @abstractmethod
    def lengthened(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "row2 feature"]:
        """Return `flat` with as many rows as matrix products like; the new ones are zero."""

    @abstractmethod
    def filled(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "row feature"]:
        """Return `flat` with zeros in the rows without a particle."""

    @abstractmethod
    def pad(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "event slot feature"]:
        """Return the particles in a rectangle, zeros behind those of each event."""

    @abstractmethod
    def unpad(self, padded: Float[Tensor, "event slot feature"]) -> Float[Tensor, "row feature"]:
        """Return the particles of a rectangle made by `pad`, flat again."""

    @abstractmethod
    def of_size(self, rows: int) -> Segments:
        """Return the same events with `rows` rows each."""

    @abstractmethod
    def counts_so_far(
        self, types: Int64[Tensor, " row"], n_types: int
    ) -> Int64[Tensor, "row type"]:
        """Return how many particles of each type the event has up to and including each one."""

    @abstractmethod
    def nearest(
        self,
        distance: Distance,
        one: Float[Tensor, "row feature"],
        other: Float[Tensor, "row feature"],
        types: Int64[Tensor, " row"] | None,
        n_types: int,
    ) -> tuple[Int64[Tensor, " row"], Int64[Tensor, " row"]]:
        """Return for each row of `one` the nearest of `other`, and the reverse, by row.

        Both are of one event and, with `types` (0 to `n_types` - 1), of one type; of two that are
        equally near it is the first. Nothing is differentiated.
        """

    @abstractmethod
    def hardest(
        self,
        flat: Float[Tensor, "row feature"],
        momentum: Float[Tensor, " row"],
        count: int,
    ) -> Float[Tensor, "event constituent feature"]:
        """Return the `count` particles of largest momentum of each event, zeros behind them."""

    @abstractmethod
    def lowest(
        self,
        ranking: Float[Tensor, " event"],
        fraction: float,
        weight: Float[Tensor, " event"],
    ) -> tuple[Int64[Tensor, " kept"], Float[Tensor, " kept"]]:
        """Return the `fraction` of events that rank lowest, at least one, and their weights.

        The fraction is one of events, whatever they weigh; others may follow with weight 0.
        """


def one_hot(types: Int64[Tensor, " row"], n_types: int) -> Int64[Tensor, "row type"]:
    """Return 1 at each particle's type and 0 elsewhere, without a look at the values.

    torch's own waits for the device to see whether they are in range.
    """
    return (types[:, None] == torch.arange(n_types, device=types.device)).long()
