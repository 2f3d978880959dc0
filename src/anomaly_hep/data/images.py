"""Detector images as batches of non-zero pixels, rotated and mirrored in training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from anomaly_hep.data.augment import rotated_and_mirrored
from anomaly_hep.data.batch import ImageBatch, JaggedBatch
from anomaly_hep.data.reading import Counts, Reading
from anomaly_hep.data.summaries import summed
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

    @property
    def summary_names(self) -> Sequence[str]:
        """Four quantities of each channel."""
        kinds = ("hits", "energy", "row_spread", "column_spread")
        return [f"{kind}_{channel}" for kind in kinds for channel in range(self.shape[0])]

    def summary(self, batch: ImageBatch) -> Float64[Tensor, "event component"]:
        """Return `summary_names` of each image: GeV, and spreads weighted by energy.

        Rows go round in phi, and their spread is the circular variance, 0 to 1, which no rotation
        changes. That of columns is a standard deviation, in columns.
        """
        channels, rows, columns = self.shape
        channel = batch.pixel // (rows * columns)
        phi = 2 * math.pi / rows * (batch.pixel // columns % rows).double()
        column = (batch.pixel % columns).double()
        energy = batch.energy.double()
        moments = torch.stack(
            [torch.ones_like(energy), energy, energy * phi.cos(), energy * phi.sin(),
             energy * column, energy * column.square()]
        )  # fmt: skip
        here = torch.nn.functional.one_hot(channel, channels).double()
        sums = [summed(moment[:, None] * here, batch.lengths) for moment in moments]
        hits, total = sums[:2]
        # without energy all moments are 0, and so are the spreads
        x, y, first, second = (moment / total.clamp_min(1e-12) for moment in sums[2:])
        round_phi = torch.where(total > 0, 1 - torch.hypot(x, y), 0).clamp_min(0)
        along_eta = (second - first.square()).clamp_min(0).sqrt()
        return torch.cat([hits, total, round_phi, along_eta], 1)

    def count_names(self, counts: Counts) -> dict[str, Any]:
        """Return the counts as plain numbers."""
        return {
            "events": counts.events,
            "rejected_by_selection": counts.rejected,
            "pixels": counts.rows,
        }
