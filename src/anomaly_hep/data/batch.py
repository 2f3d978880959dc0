"""Batches as the models see them: events jagged, or each with as many rows as the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from anomaly_hep.errors import ConfigError

_Batch = TypeVar("_Batch", bound="JaggedBatch")
_FEWEST_SLOTS = 32


@dataclass(frozen=True, eq=False, kw_only=True)
class JaggedBatch:
    """Events as flat rows plus the number of rows of each event.

    `lengths` counts each event's rows, `index` says which event of the data set it is, `weight` is
    the event's share in every mean. `label` is the number of its class, 0 the background, in a
    phase of training that may see labels; None everywhere else, so that none can reach a loss. The
    fields that `event_fields` names have one value per event, other tensors one per row. The last
    `filling` events fill a batch up: they are empty, with weight 0 and index -1.
    """

    event_fields: ClassVar[tuple[str, ...]] = ("lengths", "index", "weight", "label")
    lengths: Int64[Tensor, " event"]
    index: Int64[Tensor, " event"]
    weight: Float32[Tensor, " event"]
    label: Int64[Tensor, " event"] | None = None
    filling: int = 0

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def events(self) -> int:
        """How many events there are, without those that only fill the batch up."""
        return len(self) - self.filling

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

    def _changed(self: _Batch, change: Callable[[str, Tensor], Tensor]) -> _Batch:
        """Return the batch with `change(name, tensor)` in place of each of its tensors."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        tensors = {n: change(n, v) for n, v in values.items() if isinstance(v, Tensor)}
        return type(self)(**(values | tensors))


@dataclass(frozen=True, eq=False, kw_only=True)
class ParticleBatch(JaggedBatch):
    """Events as particles: scaled continuous features, and the type of each particle.

    A type is 0 to 7, see `data.features.PARTICLE_TYPES`; None where the data know none. `context`
    are numbers of the whole event, such as its missing momentum. slots: how many rows every event
    has, its particles first and zeros behind; None: jagged, each event has as many as it needs.
    """

    event_fields: ClassVar[tuple[str, ...]] = (*JaggedBatch.event_fields, "context")
    features: Float32[Tensor, "particle feature"]
    types: Int64[Tensor, " particle"] | None = None
    context: Float32[Tensor, "event quantity"] | None = None
    slots: int | None = None

    def slots_needed(self) -> int:
        """Return the smallest of 32, 64, 128 ... rows that holds the longest event."""
        longest = int(self.lengths.max()) if len(self) else 0
        return max(_FEWEST_SLOTS, 2 ** max(longest - 1, 0).bit_length())

    def slotted(self, events: int | None = None, slots: int | None = None) -> ParticleBatch:
        """Return a jagged batch as `events` events of `slots` rows each.

        By default as many events as there are, with the rows that are needed. With `slots`, no
        value on the batch's device is looked at.
        """
        events, slots = events or len(self), slots or self.slots_needed()
        filling, rows = events - len(self), len(self.features)
        device = self.lengths.device
        owner = torch.repeat_interleave(
            torch.arange(len(self), device=device), self.lengths, output_size=rows
        )
        first = self.lengths.cumsum(0) - self.lengths
        # where each particle goes: its event's first slot, and its position in the event
        place = owner * slots + torch.arange(rows, device=device) - first[owner]

        def changed(name: str, value: Tensor) -> Tensor:
            if name not in self.event_fields:
                return value.new_zeros(events * slots, *value.shape[1:]).index_copy_(
                    0, place, value
                )
            fill = -1 if name == "index" else 0
            return torch.cat([value, value.new_full((filling, *value.shape[1:]), fill)])

        return replace(self._changed(changed), slots=slots, filling=filling)

    @property
    def known_types(self) -> Int64[Tensor, " particle"]:
        """The types; raises ConfigError where the data know none."""
        if self.types is None:
            raise ConfigError(
                "these data know no types of particles, which the model asks for. Cure: "
                "model.use_pid=false, or data with types"
            )
        return self.types


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageBatch(JaggedBatch):
    """Detector images as their pixels that are not zero.

    `pixel` is (channel * rows + row) * columns + column, `energy` is in GeV. `shape` of the dense
    image is (channel, row, column).
    """

    pixel: Int64[Tensor, " hit"]
    energy: Float32[Tensor, " hit"]
    shape: tuple[int, int, int]

    def energies(self) -> Float32[Tensor, "event channel row column"]:
        """Return the dense images in GeV."""
        channels, rows, columns = self.shape
        size = channels * rows * columns
        events = torch.arange(len(self), device=self.pixel.device)
        event = torch.repeat_interleave(events, self.lengths, output_size=len(self.pixel))
        dense = self.energy.new_zeros(len(self) * size)
        dense[event * size + self.pixel] = self.energy
        return dense.view(len(self), channels, rows, columns)

    def mask(self) -> Float32[Tensor, "event 1 row column"]:
        """Return 1 where the first channel, the tracker, has energy: arXiv:2306.12955 sec. 4.1."""
        return (self.energies()[:, :1] > 0).float()
