"""The assignment of rows of a flat tensor to events, independent of the layout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

# maps two tensors (..., feature) to the distances of their pairs (...)
Distance = Callable[[Tensor, Tensor], Tensor]


class Segments(ABC):
    """The rows of each event in a flat tensor; an event may be empty.

    In `models.layers.jagged` events of any length follow one another, in `models.layers.slotted`
    every event has the same number of rows. Both may have empty rows (without a particle), whose
    values are arbitrary and have no effect: `sum`, `mean` and `pad` leave them out.
    """

    def __init__(self, lengths: Int64[Tensor, " event"]) -> None:
        self.lengths = lengths
        self.inverse_lengths: Float32[Tensor, " event"] = 1.0 / lengths.clamp(min=1).float()

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    @abstractmethod
    def rows(self) -> int:
        """The minimal number of rows of a flat tensor."""

    @property
    @abstractmethod
    def position(self) -> Int64[Tensor, " row"]:
        """The position of each particle in its event, from 0; 0 in empty rows."""

    @property
    @abstractmethod
    def shares(self) -> Float32[Tensor, " row"]:
        """The weight of each row in the mean over its event: 1/n, and 0 in empty rows."""

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
        """Return each event's value in each of its rows; further rows up to `rows` have any."""

    @abstractmethod
    def lengthened(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "row2 feature"]:
        """Return `flat` with zero rows added, to a number for which matrix products are fast."""

    @abstractmethod
    def filled(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "row feature"]:
        """Return `flat` with zeros in empty rows."""

    @abstractmethod
    def pad(self, flat: Float[Tensor, "row feature"]) -> Float[Tensor, "event slot feature"]:
        """Return the particles as (event, slot, feature), zero-padded."""

    @abstractmethod
    def unpad(self, padded: Float[Tensor, "event slot feature"]) -> Float[Tensor, "row feature"]:
        """Return the particles of a tensor padded by `pad`, flat again."""

    @abstractmethod
    def of_size(self, rows: int) -> Segments:
        """Return the same events with `rows` rows each."""

    @abstractmethod
    def counts_so_far(
        self, types: Int64[Tensor, " row"], n_types: int
    ) -> Int64[Tensor, "row type"]:
        """Return the running number of particles of each type in the event, each one included."""

    @abstractmethod
    def nearest(
        self,
        distance: Distance,
        one: Float[Tensor, "row feature"],
        other: Float[Tensor, "row feature"],
        types: Int64[Tensor, " row"] | None,
        n_types: int,
    ) -> tuple[Int64[Tensor, " row"], Int64[Tensor, " row"]]:
        """Return for each row of `one` the row of the nearest of `other`, and vice versa.

        Partners are in the same event and, with `types` (0 to `n_types` - 1), of the same type; of
        equally near ones the first is chosen. There is no gradient.
        """

    @abstractmethod
    def hardest(
        self,
        flat: Float[Tensor, "row feature"],
        momentum: Float[Tensor, " row"],
        count: int,
    ) -> Float[Tensor, "event constituent feature"]:
        """Return the `count` particles of largest momentum of each event, zero-padded."""

    @abstractmethod
    def lowest(
        self,
        ranking: Float[Tensor, " event"],
        fraction: float,
        weight: Float[Tensor, " event"],
    ) -> tuple[Int64[Tensor, " kept"], Float[Tensor, " kept"]]:
        """Return the `fraction` of events that rank lowest, at least one, and their weights.

        The fraction counts events, not weights; other events may follow with weight 0.
        """


def one_hot(types: Int64[Tensor, " row"], n_types: int) -> Int64[Tensor, "row type"]:
    """Return 1 at each particle's type and 0 elsewhere.

    Unlike torch's own function, it does not wait for the device to check the range of the types.
    """
    return (types[:, None] == torch.arange(n_types, device=types.device)).long()
