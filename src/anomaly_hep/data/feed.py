"""Batches brought to the device of the network; an accelerator copies the next while it works."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from anomaly_hep.data.batch import JaggedBatch

Batch = TypeVar("Batch", bound=JaggedBatch)


@dataclass(frozen=True)
class Feed:
    """Bring batches to a device, in the slotted layout if `slotted`.

    events: the number of events of every slotted batch; a shorter one is padded with empty events.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    slotted: bool = False
    events: int | None = None

    def __call__(self, batch: Batch) -> Batch:
        """Return one batch on the device; the copy may still be in progress."""
        # computed before the copy: on the device it would force a synchronisation
        slots = batch.slots_needed() if self.slotted else None
        cuda = self.device.type == "cuda"
        moved = (batch.pin_memory() if cuda else batch).to(self.device, non_blocking=cuda)
        return moved if slots is None else moved.slotted(self.events, slots)

    def ahead(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches on the device; the next is copied while the current one is computed.

        The copies run on a CUDA stream of their own.
        """
        if self.device.type != "cuda":
            yield from map(self, batches)
            return
        copying = torch.cuda.Stream(self.device)
        pending = None
        for batch in batches:
            with torch.cuda.stream(copying):
                following = self(batch), copying.record_event()
            if pending is not None:
                yield _arrived(*pending)
            pending = following
        if pending is not None:
            yield _arrived(*pending)


def _arrived(batch: Batch, copied: Any) -> Batch:
    """Let the current stream wait for a copied batch, and keep its memory while it uses it."""
    computing = torch.cuda.current_stream()
    computing.wait_event(copied)
    batch.record_stream(computing)
    return batch
