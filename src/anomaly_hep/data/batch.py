"""Batches as the models see them: jagged, or slotted (every event with the same number of rows)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from anomaly_hep.errors import ConfigError

_Batch = TypeVar("_Batch", bound="JaggedBatch")
_FEWEST_SLOTS = 32


def _rounded_up(rows: int) -> int:
    """Return the smallest of 32, 64, 128 ... that is not below `rows`."""
    return max(_FEWEST_SLOTS, 2 ** max(rows - 1, 0).bit_length())


@dataclass(frozen=True, eq=False, kw_only=True)
class JaggedBatch(ABC):
    """Events as flat rows plus the number of rows of each event.

    `lengths` counts each event's rows, `index` is its position in the data set, `weight` its weight
    in every mean. `label` is the number of its class, 0 for the background, in a training phase
    that may see labels; None everywhere else, so that no label can reach a loss. The fields in
    `event_fields` have one value per event, other tensors one per row. The last `filling` events
    are padding: empty, with weight 0 and index -1. slots: None for a jagged batch. In a slotted
    one, the number of events and of slots fixes all shapes; each subclass defines its slots.
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
        """The number of events without the padding."""
        return len(self) - self.filling

    @abstractmethod
    def slots_needed(self) -> int:
        """Return how many slots the events need, rounded up so that few shapes occur."""

    @abstractmethod
    def _slots(self, events: int, slots: int) -> tuple[int, Int64[Tensor, " row"]]:
        """Return the number of rows of the slotted batch, and the new position of each row."""

    def slotted(self: _Batch, events: int | None = None, slots: int | None = None) -> _Batch:
        """Return a jagged batch in slots, padded with empty events to `events` of them.

        By default without padding, and with the slots that the events need. With `slots` given, the
        host does not wait for the device to know the lengths.
        """
        events, slots = events or len(self), slots or self.slots_needed()
        filling, (rows, new_row) = events - len(self), self._slots(events, slots)

        def padded(name: str, value: Tensor) -> Tensor:
            if name in self.event_fields:
                fill = -1 if name == "index" else 0
                return torch.cat([value, value.new_full((filling, *value.shape[1:]), fill)])
            return value.new_zeros(rows, *value.shape[1:]).index_copy_(0, new_row, value)

        return replace(self._mapped(padded), slots=slots, filling=filling)

    def part(self: _Batch, start: int, stop: int, first_row: int, last_row: int) -> _Batch:
        """Return events `start` to `stop`, whose rows are `first_row` to `last_row`, as views."""
        return self._mapped(
            lambda name, value: (
                value[start:stop] if name in self.event_fields else value[first_row:last_row]
            )
        )

    def to(self: _Batch, device: torch.device | str, non_blocking: bool = False) -> _Batch:
        """Return the same batch on `device`."""
        return self._mapped(lambda _, value: value.to(device, non_blocking=non_blocking))

    def pin_memory(self: _Batch) -> _Batch:
        """Return the same batch in page-locked memory."""
        return self._mapped(lambda _, value: value.pin_memory())

    def clone(self: _Batch) -> _Batch:
        """Return a copy that shares no memory with this batch."""
        return self._mapped(lambda _, value: value.clone())

    def copy_(self: _Batch, other: _Batch) -> None:
        """Copy the values of a batch with the same shapes into this one."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                value.copy_(getattr(other, name), non_blocking=True)

    def record_stream(self, stream: torch.cuda.Stream) -> None:
        """Keep memory that another stream allocated from being reused while `stream` needs it."""
        for value in vars(self).values():
            if isinstance(value, Tensor):
                value.record_stream(stream)

    def _owner(self, rows: int) -> Int64[Tensor, " row"]:
        """Return the event of each of the `rows` rows of a jagged batch."""
        events = torch.arange(len(self), device=self.lengths.device)
        return torch.repeat_interleave(events, self.lengths, output_size=rows)

    def _mapped(self: _Batch, change: Callable[[str, Tensor], Tensor]) -> _Batch:
        """Return the batch with `change(name, tensor)` in place of each of its tensors."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        tensors = {n: change(n, v) for n, v in values.items() if isinstance(v, Tensor)}
        return type(self)(**(values | tensors))


@dataclass(frozen=True, eq=False, kw_only=True)
class ParticleBatch(JaggedBatch):
    """Events as particles: scaled continuous features, and the type of each particle.

    A type is an index (0 to 7) of `data.features.PARTICLE_TYPES`; `types` is None for data without
    them. `context` holds quantities of the whole event, such as its missing momentum. In a slotted
    batch every event has `slots` rows: its particles, then zeros.
    """

    event_fields: ClassVar[tuple[str, ...]] = (*JaggedBatch.event_fields, "context")
    features: Float32[Tensor, "particle feature"]
    types: Int64[Tensor, " particle"] | None = None
    context: Float32[Tensor, "event quantity"] | None = None

    def slots_needed(self) -> int:
        """Return the smallest of 32, 64, 128 ... rows that holds the longest event."""
        return _rounded_up(int(self.lengths.max()) if len(self) else 0)

    def _slots(self, events: int, slots: int) -> tuple[int, Tensor]:
        rows = len(self.features)
        owner, row = self._owner(rows), torch.arange(rows, device=self.lengths.device)
        first = self.lengths.cumsum(0) - self.lengths
        return events * slots, owner * slots + row - first[owner]

    @property
    def known_types(self) -> Int64[Tensor, " particle"]:
        """The types; raises ConfigError for data without them."""
        if self.types is None:
            raise ConfigError(
                "these data have no particle types, which the model needs. Cure: a model without "
                "them, or data with types"
            )
        return self.types


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageBatch(JaggedBatch):
    """Detector images as lists of their non-zero pixels.

    `pixel` is (channel * rows + row) * columns + column, `energy` is in GeV. `shape` of the dense
    image is (channel, row, column). A slotted batch has `slots` pixels, the last of them padding.
    """

    pixel: Int64[Tensor, " hit"]
    energy: Float32[Tensor, " hit"]
    shape: tuple[int, int, int]

    def slots_needed(self) -> int:
        """Return the smallest power of two, from 32 on, that holds all pixels of the batch."""
        return _rounded_up(len(self.pixel))

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
        # the padding after the last event's pixels goes into one more image, which is dropped
        dense = self.energy.new_zeros((len(self) + 1) * size)
        dense[owner * size + self.pixel] = self.energy
        return dense[:-size].view(len(self), channels, rows, columns)

    def mask(self) -> Float32[Tensor, "event 1 row column"]:
        """Return 1 where the first channel, the tracker, has energy: arXiv:2306.12955 sec. 4.1."""
        return (self.energies()[:, :1] > 0).float()


@dataclass(frozen=True, eq=False, kw_only=True)
class VectorBatch(JaggedBatch):
    """Events as one vector each, which a frozen part of a network computed; they have no rows."""

    event_fields: ClassVar[tuple[str, ...]] = (*JaggedBatch.event_fields, "vectors")
    vectors: Float32[Tensor, "event component"]

    def slots_needed(self) -> int:
        """Return 1: all batches have the same shape."""
        return 1

    def _slots(self, events: int, slots: int) -> tuple[int, Int64[Tensor, " row"]]:
        del events, slots
        return 0, self.lengths[:0]

    def take(self, index: Int64[Tensor, " chosen"]) -> VectorBatch:
        """Return the events `index`, in that order."""
        return self._mapped(lambda _, value: value[index])

    @staticmethod
    def joined(parts: Sequence[VectorBatch]) -> VectorBatch:
        """Return the events of all parts, in order."""
        return parts[0]._mapped(lambda name, _: torch.cat([getattr(part, name) for part in parts]))
