"""Particles of jets as batches: which features a network sees, and of how many particles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from anomaly_hep.bounds import Count
from anomaly_hep.data.batch import JaggedBatch, ParticleBatch
from anomaly_hep.data.constituents import ConstituentReading
from anomaly_hep.data.features import PARTICLE_TYPES, FeatureList
from anomaly_hep.data.reading import Counts
from anomaly_hep.data.summaries import largest, summed
from anomaly_hep.types import Events

_MOMENTUM, _PT = ("part_px", "part_py"), "part_pt"


@dataclass(frozen=True, kw_only=True)
class ParticleReading(ConstituentReading):
    """Particles of jets.

    features: {name: {center, scale, clip, column}}, see `data.features`. max_particles: only so
    many of an event are used, those of highest pT. particle_types: whether types are read, from
    their flags.
    """

    makes: ClassVar[type[JaggedBatch]] = ParticleBatch
    features: Mapping[str, Mapping[str, Any] | None]
    max_particles: Count
    particle_types: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.feature_list  # refuses features that do not exist

    @cached_property
    def feature_list(self) -> FeatureList:
        """The features, checked."""
        return FeatureList(self.features, types=self.particle_types)

    @property
    def has_types(self) -> bool:
        """Whether the particles have types."""
        return self.particle_types

    @property
    def type_names(self) -> Sequence[str]:
        """The types of particles, if they have any."""
        return PARTICLE_TYPES if self.has_types else ()

    @property
    def feature_names(self) -> Sequence[str]:
        """Names in the order of the batch's columns."""
        return self.feature_list.names

    @property
    def columns(self) -> list[str]:
        """Branches to read."""
        return list(dict.fromkeys([*self.feature_list.columns, *self.cuts.columns]))

    def batch(
        self, events: Events, index: Int64[np.ndarray, " event"], path: Path | str
    ) -> tuple[ParticleBatch, Counts]:
        """Return events as one batch of particles."""
        events, truncated = self.truncate(events)
        inputs = self.feature_list.compute(events, path)
        batch = ParticleBatch(
            **self.of_events(events, index),
            features=torch.from_numpy(inputs.features),
            types=None if inputs.types is None else torch.from_numpy(inputs.types),
        )
        rows = len(inputs.features)
        return batch, Counts(truncated=truncated, rows=rows, clipped=inputs.clipped)

    @property
    def summary_names(self) -> Sequence[str]:
        """The number of particles, that of each type, and four quantities of each feature."""
        types = [f"number_{name}" for name in PARTICLE_TYPES] if self.has_types else []
        kinds = ("sum", "mean", "std", "max")
        return ["particles", *types, *(f"{k}_{n}" for k in kinds for n in self.feature_names)]

    def summary(self, batch: ParticleBatch) -> Float64[Tensor, "event component"]:
        """Return `summary_names` of each event, of the features as a network sees them.

        std is the standard deviation within the event.
        """
        lengths, features = batch.lengths, batch.features.double()
        number = lengths.double()[:, None]
        parts = [number]
        if self.has_types:
            flags = torch.nn.functional.one_hot(batch.known_types, len(PARTICLE_TYPES))
            parts.append(summed(flags.double(), lengths))
        total = summed(features, lengths)
        mean = total / number.clamp_min(1)
        residual = features - mean.repeat_interleave(lengths, 0)
        variance = summed(residual.square(), lengths) / number.clamp_min(1)
        parts += [total, mean, variance.sqrt(), largest(features, lengths)]
        return torch.cat(parts, 1)

    def truncate(self, events: Events) -> tuple[Events, int]:
        """Return the events cut to `max_particles` particles, and the number of events cut.

        The particles of highest pT are kept, in their order; where no momenta are read, the first.
        """
        momentum = events.particles.get(_PT)
        if momentum is None and {*_MOMENTUM} <= {*events.particles}:
            momentum = np.hypot(*(events.particles[name] for name in _MOMENTUM))
        return truncated(events, self.max_particles, momentum)

    def count_names(self, counts: Counts) -> dict[str, Any]:
        """Return the counts as plain numbers; clipped values per feature."""
        return {
            "events": counts.events,
            "rejected_by_selection": counts.rejected,
            "jets_truncated": counts.truncated,
            "particles": counts.rows,
            "values_clipped": counts.clipped_by(self.feature_names),
        }


def truncated(
    events: Events, most: int, momentum: Float[np.ndarray, " particle"] | None
) -> tuple[Events, int]:
    """Return the events cut to `most` particles, and the number of events cut.

    Those of highest momentum are kept, in their order; without momenta, the first.
    """
    long = events.lengths > most
    excess = int(long.sum())
    if excess == 0:
        return events, 0
    event = np.repeat(np.arange(len(events)), events.lengths)
    kept = np.arange(events.offsets[-1]) - events.offsets[event] < most
    if momentum is not None:
        kept[long[event]] = _hardest(momentum[long[event]], events.lengths[long], most)
    particles = {name: column[kept] for name, column in events.particles.items()}
    return Events(np.minimum(events.lengths, most), particles, events.events), excess


def _hardest(
    momentum: Float[np.ndarray, " particle"], lengths: Int64[np.ndarray, " event"], most: int
) -> Bool[np.ndarray, " particle"]:
    """Return which particles are among the `most` of highest momentum of their events.

    Every event has more than that; of equal momenta the first are kept.
    """
    slot = np.arange(int(lengths.max())) < lengths[:, None]
    padded = np.full(slot.shape, -np.inf, momentum.dtype)
    padded[slot] = momentum
    lowest = np.partition(padded, -most, axis=1)[:, -most, None]
    above, equal = padded > lowest, padded == lowest
    wanted = most - above.sum(1, keepdims=True)
    kept: np.ndarray = above | (equal & (np.cumsum(equal, axis=1) <= wanted))
    return kept[slot]
