"""What a model says of events: scores with their titles and units, columns, reconstructions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np
from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class ScoreDescription:
    """How a score is called in tables, and the unit of its axis."""

    title: str
    unit: str = "dimensionless"


@dataclass(frozen=True, eq=False)
class EventOutputs:
    """All that one pass through a network says of each event.

    Scores are larger for stranger events. `columns` stand beside them in the table of scores;
    `embeddings` are vectors that fitted scores are computed from. All are deterministic.
    """

    scores: Mapping[str, Float[Tensor, " event"]]
    columns: Mapping[str, Float[Tensor, " event"]] = field(default_factory=dict)
    embeddings: Mapping[str, Float[Tensor, "event component"]] = field(default_factory=dict)

    def first(self, events: int) -> EventOutputs:
        """Return what is said of the first events: the others only filled a batch up."""
        parts = (self.scores, self.columns, self.embeddings)
        return EventOutputs(*({n: v[:events] for n, v in part.items()} for part in parts))


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Events and what a model gives back for them, for a figure."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the fields as arrays, by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value.cpu().numpy() for name, value in values.items() if value is not None}


@dataclass(frozen=True, eq=False)
class ParticleReconstruction(Reconstruction):
    """Particles (10 pT/pT_jet, delta eta, delta phi) as they are and as they are decoded."""

    lengths: Int64[Tensor, " event"]
    types: Int64[Tensor, " particle"] | None
    truth: Float[Tensor, "particle 3"]
    reconstructed: Float[Tensor, "particle 3"]


@dataclass(frozen=True, eq=False)
class ImageReconstruction(Reconstruction):
    """Mask images, and the probability or expected number of hits in each pixel."""

    truth: Float[Tensor, "image row column"]
    reconstructed: Float[Tensor, "image row column"]


def weighted_mean(
    values: Float[Tensor, " event"], weight: Float[Tensor, " event"]
) -> Float[Tensor, ""]:
    """Return the mean of the values by weight; NaN where no event has a weight."""
    return (values * weight).sum() / weight.sum()
