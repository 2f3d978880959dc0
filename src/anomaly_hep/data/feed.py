"""Batches where a network computes: on an accelerator in slots, copied while it is busy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from anomaly_hep.data.batch import JaggedBatch

Batch = TypeVar("Batch", bound=JaggedBatch)


@dataclass(frozen=True)
class Feed:
    """Bring batches to a device, in the slotted layout where that is asked for.

    events: how many every slotted batch has; a shorter one is filled up with empty events.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    slotted: bool = False
    events: int | None = None

    def __call__(self, batch: Batch) -> Batch:
        """Return one batch on the device, the copy possibly still on its way."""
        # looked up here: on the device it would be waited for
        slots = batch.slots_needed() if self.slotted else None
        cuda = self.device.type == "cuda"
        moved = (batch.pin_memory() if cuda else batch).to(self.device, non_blocking=cuda)
        return moved if slots is None else moved.slotted(self.events, slots)

    def ahead(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches on the device, the next one copied before the last one is needed.

        Copies run on a stream of their own, beside the step that computes.
        """
        if self.device.type != "cuda":
            yield from map(self, batches)
            return
        copying = torch.cuda.Stream(self.device)
        waiting = None
        for batch in batches:
            with torch.cuda.stream(copying):
                following = self(batch), copying.record_event()
            if waiting is not None:
                yield _arrived(*waiting)
            waiting = following
        if waiting is not None:
            yield _arrived(*waiting)


def _arrived(batch: Batch, copied: Any) -> Batch:
    """Let the current stream wait for a copied batch, whose memory it then owns too."""
    computing = torch.cuda.current_stream()
    computing.wait_event(copied)
    batch.record_stream(computing)
    return batch
