"""The layout that a batch has."""

from __future__ import annotations

from anomaly_hep.data.batch import ParticleBatch
from anomaly_hep.models.layers.jagged import Jagged
from anomaly_hep.models.layers.segments import Segments
from anomaly_hep.models.layers.slotted import Slotted


def segments_of(batch: ParticleBatch) -> Segments:
    """Return which rows of a batch are whose."""
    if batch.slots is None:
        return Jagged(batch.lengths)
    return Slotted(batch.lengths, batch.slots, batch.index >= 0)
