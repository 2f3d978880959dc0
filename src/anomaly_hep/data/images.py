"""Detector images as batches of non-zero pixels, rotated and mirrored in training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Int64

from anomaly_hep.data.augment import rotated_and_mirrored
from anomaly_hep.data.batch import ImageBatch, JaggedBatch
from anomaly_hep.data.reading import Counts, Reading
from anomaly_hep.types import Events

_PIXELS = ("hit_channel", "hit_row", "hit_column", "hit_energy")


@dataclass(frozen=True, kw_only=True)
class ImageReading(Reading):
    """Detector images of three channels: tracker, ECAL and HCAL.

    augmentation: whether training images are rotated in phi and mirrored in eta. shape: (channels,
    rows of phi, columns of eta) of an image.
    """

    makes: ClassVar[type[JaggedBatch]] = ImageBatch
    augmentation: bool
    shape: tuple[int, int, int] = (3, 72, 58)

    @property
    def columns(self) -> list[str]:
        """Columns to read: the non-zero pixels, and those of the selection."""
        return [*_PIXELS, *self.cuts.columns]

    def augment(self, events: Events, rng: np.random.Generator) -> Events:
        """Return the images, each rotated and mirrored at random (`data.augment`)."""
        return rotated_and_mirrored(events, rng, self.shape[1:]) if self.augmentation else events

    def batch(
        self, events: Events, index: Int64[np.ndarray, " event"], path: Path | str
    ) -> tuple[ImageBatch, Counts]:
        """Return images as one batch of pixels."""
        del path  # nothing can fail here: the format has checked what it read
        _, rows, columns = self.shape
        hits = events.particles
        pixel = (hits["hit_channel"].astype(np.int64) * rows + hits["hit_row"]) * columns
        batch = ImageBatch(
            **self.of_events(events, index),
            shape=self.shape,
            pixel=torch.from_numpy(pixel + hits["hit_column"]),
            energy=torch.from_numpy(hits["hit_energy"]),
        )
        return batch, Counts(rows=len(pixel))

    def count_names(self, counts: Counts) -> dict[str, Any]:
        """Return the counts as plain numbers."""
        return {
            "events": counts.events,
            "rejected_by_selection": counts.rejected,
            "pixels": counts.rows,
        }
