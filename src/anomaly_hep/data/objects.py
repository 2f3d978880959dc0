"""Reconstructed objects of events as batches: jets, leptons, photons, and missing momentum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Int64

from anomaly_hep.bounds import Count
from anomaly_hep.data.batch import JaggedBatch, ParticleBatch
from anomaly_hep.data.features import FeatureList
from anomaly_hep.data.particles import truncated
from anomaly_hep.data.reading import Counts, Reading
from anomaly_hep.types import Events

OBJECT_TYPES = (
    "jet", "b_jet", "electron_minus", "electron_plus", "muon_minus", "muon_plus", "photon",
    "missing_momentum",
)  # fmt: skip
_MISSING = OBJECT_TYPES.index("missing_momentum")
_COLUMNS = ("obj_type", "obj_energy", "obj_pt", "obj_eta", "obj_phi", "met", "met_phi")


@dataclass(frozen=True, kw_only=True)
class ObjectReading(Reading):
    """Objects of events, the first of which is the missing momentum: E = 0, eta = 0, pT = MET.

    features: {name: {center, scale, clip}}, see `data.features`. max_particles: only so many
    objects besides the missing momentum are used, those of highest pT.
    """

    makes: ClassVar[type[JaggedBatch]] = ParticleBatch
    features: Mapping[str, Mapping[str, Any] | None]
    max_particles: Count

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.feature_list  # refuses features that do not exist

    @cached_property
    def feature_list(self) -> FeatureList:
        """The features, checked."""
        return FeatureList(self.features, types=False)

    @property
    def has_types(self) -> bool:
        """Objects have types."""
        return True

    @property
    def feature_names(self) -> Sequence[str]:
        """Names in the order of the batch's columns."""
        return self.feature_list.names

    @property
    def columns(self) -> list[str]:
        """Columns to read."""
        needed = [name for name in self.feature_list.columns if name not in _COLUMNS]
        return list(dict.fromkeys([*_COLUMNS, *needed, *self.cuts.columns]))

    def batch(
        self, events: Events, index: Int64[np.ndarray, " event"], path: Path | str
    ) -> tuple[ParticleBatch, Counts]:
        """Return events as one batch; types are the positions in `OBJECT_TYPES`."""
        events, cut = truncated(events, self.max_particles, events.particles["obj_pt"])
        events = with_missing_momentum(events)
        inputs = self.feature_list.compute(events, path)
        batch = ParticleBatch(
            **self.of_events(events, index),
            features=torch.from_numpy(inputs.features),
            types=torch.from_numpy(events.particles["obj_type"] - 1),
        )
        rows = len(inputs.features)
        return batch, Counts(truncated=cut, rows=rows, clipped=inputs.clipped)

    def count_names(self, counts: Counts) -> dict[str, Any]:
        """Return the counts as plain numbers; clipped values per feature."""
        names = self.feature_list.names
        clipped = np.broadcast_to(np.asarray(counts.clipped), len(names)).tolist()
        return {
            "events": counts.events,
            "rejected_by_selection": counts.rejected,
            "events_truncated": counts.truncated,
            "objects": counts.rows,
            "values_clipped": dict(zip(names, clipped, strict=True)),
        }


def with_missing_momentum(events: Events) -> Events:
    """Return the events with their missing momentum as the first object."""
    first = events.offsets[:-1]
    values = {
        "obj_type": np.full(len(events), _MISSING + 1),
        "obj_pt": events.events["met"],
        "obj_phi": events.events["met_phi"],
    }
    particles = {
        name: np.insert(column, first, values.get(name, 0))
        for name, column in events.particles.items()
    }
    return Events(events.lengths + 1, particles, events.events)
