"""Reconstructed objects of events as batches: jets, leptons, photons, and missing momentum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from anomaly_hep.bounds import Count
from anomaly_hep.data.batch import JaggedBatch, ParticleBatch
from anomaly_hep.data.constituents import ConstituentReading
from anomaly_hep.data.features import FeatureList
from anomaly_hep.data.particles import truncated
from anomaly_hep.data.reading import Counts
from anomaly_hep.data.summaries import largest, summed
from anomaly_hep.types import Events

OBJECT_TYPES = (
    "jet", "b_jet", "electron_minus", "electron_plus", "muon_minus", "muon_plus", "photon",
    "missing_momentum",
)  # fmt: skip
_MISSING = OBJECT_TYPES.index("missing_momentum")
# objects whose momenta are looked at together
_KINDS = {"jet": [0], "b_jet": [1], "lepton": [2, 3, 4, 5], "photon": [6]}
_LOG_PT = "object_log10_pt"
# what a trigger is told of the missing momentum: its energy and eta are always 0
_OF_MISSING = {"missing_log10_pt": _LOG_PT, "missing_phi": "object_phi"}
_COLUMNS = ("obj_type", "obj_energy", "obj_pt", "obj_eta", "obj_phi", "met", "met_phi")


@dataclass(frozen=True, kw_only=True)
class ObjectReading(ConstituentReading):
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
    def type_names(self) -> Sequence[str]:
        """The types of objects besides the missing momentum."""
        return OBJECT_TYPES[:_MISSING]

    @property
    def momentum(self) -> str:
        """The feature with an object's momentum."""
        return _LOG_PT

    @property
    def event_features(self) -> Mapping[str, str]:
        """Size and direction of the missing momentum, where objects have these features."""
        return {name: f for name, f in _OF_MISSING.items() if f in self.feature_names}

    def constituents(self, batch: ParticleBatch) -> Bool[Tensor, " row"]:
        """Return which rows are not the missing momentum."""
        return batch.known_types != _MISSING

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

    @property
    def summary_names(self) -> Sequence[str]:
        """Missing momentum, numbers of objects, and their summed and largest momenta, by kind."""
        kinds = ("sum_pt", "max_pt")
        numbers = [f"number_{name}" for name in OBJECT_TYPES[:_MISSING]]
        return ["met", *numbers, *(f"{kind}_{name}" for kind in kinds for name in _KINDS)]

    def summary(self, batch: ParticleBatch) -> Float64[Tensor, "event component"]:
        """Return `summary_names` of each event: numbers, and log10 of 1 + momentum in GeV."""
        pt = 10.0 ** self._column(batch, _LOG_PT)
        flags = torch.nn.functional.one_hot(batch.known_types, len(OBJECT_TYPES)).double()
        by_type = flags * pt[:, None]
        by_kind = torch.stack([by_type[:, types].sum(1) for types in _KINDS.values()], 1)
        momenta = (
            torch.cat(
                [
                    summed(by_type[:, _MISSING:], batch.lengths),
                    summed(by_kind, batch.lengths),
                    largest(by_kind, batch.lengths),
                ],
                1,
            )
            .add(1)
            .log10()
        )
        numbers = summed(flags[:, :_MISSING], batch.lengths)
        return torch.cat([momenta[:, :1], numbers, momenta[:, 1:]], 1)

    def _column(self, batch: ParticleBatch, name: str) -> Float64[Tensor, " object"]:
        """Return a feature as it was before its scaling."""
        index = self.feature_list.names.index(name)
        feature = self.feature_list.features[index]
        return batch.features[:, index].double() / feature.scale + feature.center

    def count_names(self, counts: Counts) -> dict[str, Any]:
        """Return the counts as plain numbers; clipped values per feature."""
        return {
            "events": counts.events,
            "rejected_by_selection": counts.rejected,
            "events_truncated": counts.truncated,
            "objects": counts.rows,
            "values_clipped": counts.clipped_by(self.feature_names),
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
