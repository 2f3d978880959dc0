"""Batches as the models see them: events jagged, never padded."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar, TypeVar

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

_Batch = TypeVar("_Batch", bound="JaggedBatch")


@dataclass(frozen=True, eq=False)
class JaggedBatch:
    """Events as flat rows plus the number of rows of each event.

    `lengths` counts each event's rows, `index` says which event of the data set it is. The fields
    that a subclass names in `event_fields` have one value per event, all others one per row.
    There is no label here, so none can reach a loss.
    """

    event_fields: ClassVar[tuple[str, ...]] = ("lengths", "index")
    lengths: Int64[Tensor, " event"]
    index: Int64[Tensor, " event"]

    def __len__(self) -> int:
        return len(self.lengths)

    def part(self: _Batch, start: int, stop: int, first_row: int, last_row: int) -> _Batch:
        """Return events `start` to `stop`, whose rows are `first_row` to `last_row`, as views."""
        return type(self)(
            **{
                f.name: getattr(self, f.name)[start:stop]
                if f.name in self.event_fields
                else getattr(self, f.name)[first_row:last_row]
                for f in fields(self)
            }
        )

    def to(self: _Batch, device: torch.device | str, non_blocking: bool = False) -> _Batch:
        """Return the same batch on `device`."""
        return type(self)(
            **{
                f.name: getattr(self, f.name).to(device, non_blocking=non_blocking)
                for f in fields(self)
            }
        )

    def pin_memory(self: _Batch) -> _Batch:
        """Return the same batch in page-locked memory."""
        return type(self)(**{f.name: getattr(self, f.name).pin_memory() for f in fields(self)})


@dataclass(frozen=True, eq=False)
class ParticleBatch(JaggedBatch):
    """Jets as particles: scaled continuous features, and the type of each particle.

    A type is 0 to 7, see `data.features.PARTICLE_TYPES`.
    """

    features: Float32[Tensor, "particle feature"]
    types: Int64[Tensor, " particle"]


@dataclass(frozen=True, eq=False)
class ImageBatch(JaggedBatch):
    """Detector images as their pixels that are not zero.

    `pixel` is (channel * rows + row) * columns + column, `energy` is in GeV. `shape` of the dense
    image is (channel, row, column): tracker, ECAL and HCAL, phi, eta.
    """

    shape: ClassVar[tuple[int, int, int]] = (3, 72, 58)
    pixel: Int64[Tensor, " hit"]
    energy: Float32[Tensor, " hit"]

    def energies(self) -> Float32[Tensor, "event 3 72 58"]:
        """Return the dense images in GeV."""
        channels, rows, columns = self.shape
        size = channels * rows * columns
        events = torch.arange(len(self), device=self.pixel.device)
        event = torch.repeat_interleave(events, self.lengths)
        dense = self.energy.new_zeros(len(self) * size)
        dense[event * size + self.pixel] = self.energy
        return dense.view(len(self), channels, rows, columns)

    def mask(self) -> Float32[Tensor, "event 1 72 58"]:
        """Return 1 where the tracker has energy, 0 elsewhere: arXiv:2306.12955 section 4.1."""
        return (self.energies()[:, :1] > 0).float()


@dataclass(frozen=True, eq=False)
class LabelledImageBatch(ImageBatch):
    """Images with the number of their class: 0 background, 1, 2, ... the groups of signals.

    Only the training and validation of a supervised model makes such batches.
    """

    event_fields: ClassVar[tuple[str, ...]] = (*ImageBatch.event_fields, "label")
    label: Int64[Tensor, " event"]
