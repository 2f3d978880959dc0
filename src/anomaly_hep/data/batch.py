"""Batches as the models see them: events jagged, or each with as many rows as the others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from anomaly_hep.errors import ConfigError

_Batch = TypeVar("_Batch", bound="JaggedBatch")
_FEWEST_SLOTS = 32


def _round(rows: int) -> int:
    """Return the smallest of 32, 64, 128 ... that is not below `rows`."""
    return max(_FEWEST_SLOTS, 2 ** max(rows - 1, 0).bit_length())


@dataclass(frozen=True, eq=False, kw_only=True)
class JaggedBatch(ABC):
    """Events as flat rows plus the number of rows of each event.

    `lengths` counts each event's rows, `index` says which event of the data set it is, `weight` is
    the event's share in every mean. `label` is the number of its class, 0 the background, in a
    phase of training that may see labels; None everywhere else, so that none can reach a loss. The
    fields that `event_fields` names have one value per event, other tensors one per row. The last
    `filling` events fill a batch up: they are empty, with weight 0 and index -1. slots: None where
    each event has as many rows as it needs; else the batch is slotted, its shapes are those of
    other batches of so many events and slots, and what the slots are says its kind.
    """

    event_fields: ClassVar[tuple[str, ...]] = ("lengths", "index", "weight", "label")
    lengths: Int64[Tensor, " event"]
    index: Int64[Tensor, " event"]
    weight: Float32[Tensor, " event"]
    label: Int64[Tensor, " event"] | None = None
    filling: int = 0
    slots: int | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def events(self) -> int:
        """How many events there are, without those that only fill the batch up."""
        return len(self) - self.filling

    @abstractmethod
    def slots_needed(self) -> int:
        """Return how many slots the events need, one of few numbers."""

    @abstractmethod
    def _slots(self, events: int, slots: int) -> tuple[int, Int64[Tensor, " row"]]:
        """Return the number of rows of a slotted batch, and the one that each row goes to."""

    def slotted(self: _Batch, events: int | None = None, slots: int | None = None) -> _Batch:
        """Return a jagged batch as one of `events` events, the last of them to fill it up.

        By default as many events as there are, with the slots that they need. With `slots` given,
        nothing waits for the values of the batch.
        """
        events, slots = events or len(self), slots or self.slots_needed()
        filling, (rows, place) = events - len(self), self._slots(events, slots)

        def changed(name: str, value: Tensor) -> Tensor:
            if name in self.event_fields:
                fill = -1 if name == "index" else 0
                return torch.cat([value, value.new_full((filling, *value.shape[1:]), fill)])
            return value.new_zeros(rows, *value.shape[1:]).index_copy_(0, place, value)

        return replace(self._changed(changed), slots=slots, filling=filling)

    def part(self: _Batch, start: int, stop: int, first_row: int, last_row: int) -> _Batch:
        """Return events `start` to `stop`, whose rows are `first_row` to `last_row`, as views."""
        return self._changed(
            lambda name, value: (
                value[start:stop] if name in self.event_fields else value[first_row:last_row]
            )
        )

    def to(self: _Batch, device: torch.device | str, non_blocking: bool = False) -> _Batch:
        """Return the same batch on `device`."""
        return self._changed(lambda _, value: value.to(device, non_blocking=non_blocking))

    def pin_memory(self: _Batch) -> _Batch:
        """Return the same batch in page-locked memory."""
        return self._changed(lambda _, value: value.pin_memory())

    def clone(self: _Batch) -> _Batch:
        """Return the same batch in memory of its own."""
        return self._changed(lambda _, value: value.clone())

    def copy_(self: _Batch, other: _Batch) -> None:
        """Take the values of a batch with the same shapes."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                value.copy_(getattr(other, name), non_blocking=True)

    def record_stream(self, stream: torch.cuda.Stream) -> None:
        """Keep the memory, which was allocated on another stream, while `stream` uses it."""
        for value in vars(self).values():
            if isinstance(value, Tensor):
                value.record_stream(stream)

    def _owner(self, rows: int) -> Int64[Tensor, " row"]:
        """Return the event of each of the `rows` rows of a jagged batch."""
        events = torch.arange(len(self), device=self.lengths.device)
        return torch.repeat_interleave(events, self.lengths, output_size=rows)

    def _changed(self: _Batch, change: Callable[[str, Tensor], Tensor]) -> _Batch:
        """Return the batch with `change(name, tensor)` in place of each of its tensors."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        tensors = {n: change(n, v) for n, v in values.items() if isinstance(v, Tensor)}
        return type(self)(**(values | tensors))


@dataclass(frozen=True, eq=False, kw_only=True)
class ParticleBatch(JaggedBatch):
    """Events as particles: scaled continuous features, and the type of each particle.

    A type is 0 to 7, see `data.features.PARTICLE_TYPES`; None where the data know none. `context`
    are numbers of the whole event, such as its missing momentum. Slotted, every event has `slots`
    rows, its particles first and zeros behind.
    """

    event_fields: ClassVar[tuple[str, ...]] = (*JaggedBatch.event_fields, "context")
    features: Float32[Tensor, "particle feature"]
    types: Int64[Tensor, " particle"] | None = None
    context: Float32[Tensor, "event quantity"] | None = None

    def slots_needed(self) -> int:
        """Return the smallest of 32, 64, 128 ... rows that holds the longest event."""
        return _round(int(self.lengths.max()) if len(self) else 0)

    def _slots(self, events: int, slots: int) -> tuple[int, Tensor]:
        rows = len(self.features)
        owner, row = self._owner(rows), torch.arange(rows, device=self.lengths.device)
        first = self.lengths.cumsum(0) - self.lengths
        return events * slots, owner * slots + row - first[owner]

    @property
    def known_types(self) -> Int64[Tensor, " particle"]:
        """The types; raises ConfigError where the data know none."""
        if self.types is None:
            raise ConfigError(
                "these data know no types of particles, which the model asks for. Cure: a model "
                "without them, or data with types"
            )
        return self.types


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageBatch(JaggedBatch):
    """Detector images as their pixels that are not zero.

    `pixel` is (channel * rows + row) * columns + column, `energy` is in GeV. `shape` of the dense
    image is (channel, row, column). Slotted, there are `slots` pixels, the last ones in no image.
    """

    pixel: Int64[Tensor, " hit"]
    energy: Float32[Tensor, " hit"]
    shape: tuple[int, int, int]

    def slots_needed(self) -> int:
        """Return the smallest power of two, from 32 on, that holds all pixels of the batch."""
        return _round(len(self.pixel))

    def _slots(self, events: int, slots: int) -> tuple[int, Tensor]:
        del events
        return slots, torch.arange(len(self.pixel), device=self.pixel.device)

    def energies(self) -> Float32[Tensor, "event channel row column"]:
        """Return the dense images in GeV."""
        channels, rows, columns = self.shape
        size = channels * rows * columns
        if self.slots is None:
            owner = self._owner(len(self.pixel))
        else:
            slot = torch.arange(self.slots, device=self.pixel.device)
            owner = torch.searchsorted(self.lengths.cumsum(0), slot, right=True)
        # slots behind the last event's pixels go into an image of their own
        dense = self.energy.new_zeros((len(self) + 1) * size)
        dense[owner * size + self.pixel] = self.energy
        return dense[:-size].view(len(self), channels, rows, columns)

    def mask(self) -> Float32[Tensor, "event 1 row column"]:
        """Return 1 where the first channel, the tracker, has energy: arXiv:2306.12955 sec. 4.1."""
        return (self.energies()[:, :1] > 0).float()
