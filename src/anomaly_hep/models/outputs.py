"""The outputs of models: scores with titles and units, further columns, reconstructions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np
from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class ScoreDescription:
    """A score's title in tables, and the unit of its axis."""

    title: str
    unit: str = "dimensionless"


@dataclass(frozen=True, eq=False)
class EventOutputs:
    """All outputs of one pass through a network, per event.

    Scores are larger for more anomalous events. `columns` are written to the table of scores too;
    `embeddings` are vectors from which fitted scores are computed. All are deterministic.
    """

    scores: Mapping[str, Float[Tensor, " event"]]
    columns: Mapping[str, Float[Tensor, " event"]] = field(default_factory=dict)
    embeddings: Mapping[str, Float[Tensor, "event component"]] = field(default_factory=dict)

    def first(self, events: int) -> EventOutputs:
        """Return the outputs of the first `events`, without those that pad a batch."""
        parts = (self.scores, self.columns, self.embeddings)
        return EventOutputs(*({n: v[:events] for n, v in part.items()} for part in parts))


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Events and their reconstructions, for a figure."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the fields as arrays, by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value.cpu().numpy() for name, value in values.items() if value is not None}


@dataclass(frozen=True, eq=False)
class ParticleReconstruction(Reconstruction):
    """True and reconstructed particles, as (10 pT/pT_jet, delta eta, delta phi)."""

    lengths: Int64[Tensor, " event"]
    types: Int64[Tensor, " particle"] | None
    truth: Float[Tensor, "particle 3"]
    reconstructed: Float[Tensor, "particle 3"]


@dataclass(frozen=True, eq=False)
class JetReconstruction(Reconstruction):
    """Constituents before and after, as (pT/pT_jet, eta, phi) about the jet axis; 0 where none."""

    truth: Float[Tensor, "event slot 3"]
    reconstructed: Float[Tensor, "event slot 3"]


@dataclass(frozen=True, eq=False)
class ImageReconstruction(Reconstruction):
    """Mask images, and the probability or expected number of hits in each pixel."""

    truth: Float[Tensor, "image row column"]
    reconstructed: Float[Tensor, "image row column"]


def weighted_mean(
    values: Float[Tensor, " event"], weight: Float[Tensor, " event"]
) -> Float[Tensor, ""]:
    """Return the weighted mean; NaN if all weights are 0."""
    return (values * weight).sum() / weight.sum()
