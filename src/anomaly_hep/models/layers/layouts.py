"""Choose the Segments for the layout of a batch."""

from __future__ import annotations

from anomaly_hep.data.batch import ParticleBatch
from anomaly_hep.models.layers.jagged import Jagged
from anomaly_hep.models.layers.segments import Segments
from anomaly_hep.models.layers.slotted import Slotted


def segments_of(batch: ParticleBatch) -> Segments:
    """Return the assignment of a batch's rows to events."""
    if batch.slots is None:
        return Jagged(batch.lengths)
    return Slotted(batch.lengths, batch.slots, batch.index >= 0)
