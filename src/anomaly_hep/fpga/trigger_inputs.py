"""Events as a trigger sees them, with the score that a trained model gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64, Shaped
from torch import Tensor, nn
from torch.nn import functional

from anomaly_hep.data.batch import ParticleBatch
from anomaly_hep.data.constituents import ConstituentReading
from anomaly_hep.data.plan import Slice
from anomaly_hep.errors import BadFileError, ConfigError, NonFiniteError
from anomaly_hep.evaluate.scores import usable
from anomaly_hep.fpga.integers import Port
from anomaly_hep.models.layers.jagged import Jagged
from anomaly_hep.models.layers.trigger import FLAG_RANGE
from anomaly_hep.models.outputs import ScoreDescription
from anomaly_hep.types import Events

_CHUNK = 4096  # events read at a time


@runtime_checkable
class FirmwareModel(Protocol):
    """A model whose encoder can become firmware (its `firmware_refusal` is None)."""

    title: ClassVar[str]
    encoder: nn.Module
    needs_types: bool  # whether the types of the constituents are inputs
    score_names: tuple[str, ...]

    @classmethod
    def score_descriptions(cls) -> Mapping[str, ScoreDescription]:
        """Return the title of every score."""

    def encoder_score(self, batch: ParticleBatch) -> Float[Tensor, " jet"]:
        """Return the score that needs the encoder alone."""

    def scores(self, batch: ParticleBatch) -> Mapping[str, Float[Tensor, " jet"]]:
        """Return all scores, which may need the whole network."""

    def parameter_counts(self) -> dict[str, int]:
        """Return the trainable parameters of the 'encoder'."""


@dataclass(frozen=True, eq=False)
class Jets:
    """Events as a trigger sees them, and the score of all and of the hardest constituents alone.

    Inputs are features in the network's scaled units, then flags for the types; they are zero where
    an event has no more constituents. `context` are quantities of the whole event, in the same
    units. The mass, in GeV, is NaN where none was asked for.
    """

    labels: Shaped[np.ndarray, " event"]
    inputs: Float[np.ndarray, "event constituent port"]
    score: Float[np.ndarray, " event"]
    score_of_hardest: Float[np.ndarray, " event"]
    mass: Float[np.ndarray, " event"]
    context: Float[np.ndarray, "event quantity"]

    def __len__(self) -> int:
        return len(self.labels)

    def shuffled(self) -> Jets:
        """Return the jets in a fixed random order, so that any first part holds all classes."""
        order = np.random.default_rng(0).permutation(len(self))
        return Jets(**{f.name: getattr(self, f.name)[order] for f in fields(Jets)})


def chip_inputs(reading: ConstituentReading) -> dict[str, float]:
    """Return the features that data.features has for firmware, by the limits of their values."""
    features = reading.feature_list.features
    if found := {f.name: float(f.chip) for f in features if f.chip is not None}:
        return found
    raise ConfigError(
        "no feature of these data says what its values stay below on a chip. Cure: "
        f"fpga.inputs={{{features[0].name}: 8, ...}}, powers of two"
    )


def input_ports(
    reading: ConstituentReading, ranges: Mapping[str, float], *, types: bool
) -> tuple[Port, ...]:
    """Return the inputs of a constituent: features by their ranges, then a flag for each type.

    Raises ConfigError for a feature that the model never saw.
    """
    known = {feature.name: feature for feature in reading.feature_list.features}
    unknown = sorted(set(ranges) - set(known))
    if unknown:
        raise ConfigError(
            f"fpga.inputs.{unknown[0]} is no input of the trained model. Cure: choose from "
            f"{', '.join(known)}"
        )
    flags = reading.type_names if types else ()
    return (
        *(
            Port(name, float(limit), False, known[name].center, known[name].scale)
            for name, limit in ranges.items()
        ),
        *(Port(name, FLAG_RANGE, True) for name in flags),
    )


def context_ports(reading: ConstituentReading, ranges: Mapping[str, float]) -> tuple[Port, ...]:
    """Return the event-level inputs: those that the data have of the features in `ranges`."""
    known = {feature.name: feature for feature in reading.feature_list.features}
    return tuple(
        Port(name, float(ranges[feature]), False, known[feature].center, known[feature].scale)
        for name, feature in reading.event_features.items()
        if feature in ranges
    )


def read_jets(
    model: FirmwareModel,
    reading: ConstituentReading,
    parts: Sequence[tuple[str, Slice]],
    ports: Sequence[Port],
    constituents: int,
    mass: str | None,
    *,
    context: Sequence[Port] = (),
    teacher: str | None = None,
) -> Jets:
    """Return the jets in labelled parts of files that pass the model's selection.

    `mass` is the event column with their masses in GeV, None where these are not needed. `teacher`
    is one of the model's scores, None for that of its encoder. Raises BadFileError for a mass that
    is not finite, NonFiniteError for a score that is not.
    """
    if not parts:
        raise ConfigError(
            "no events were asked for. Cure: fpga.training_events and fpga.test_events above 0"
        )
    chunks: list[tuple[np.ndarray, ...]] = []
    for label, part in parts:
        for start in range(part.start, part.stop, _CHUNK):
            piece = Slice(part.file, start, min(start + _CHUNK, part.stop), start)
            events = reading.read(piece, [] if mass is None else [mass])
            kept = np.flatnonzero(usable(reading, events))
            batch, _ = reading.batch(events.take(kept), kept, part.path)
            few = with_hardest(batch, reading, constituents)
            scores = [_scores(model, teacher, given, piece, kept) for given in (batch, few)]
            inputs = _inputs(batch, reading, ports, constituents)
            masses = _masses(events, kept, piece, mass)
            quantities = _context(batch, reading, context)
            chunks.append((
                np.full(len(kept), label), inputs.numpy(), *scores, masses, quantities.numpy()
            ))  # fmt: skip
    return Jets(*(np.concatenate(columns) for columns in zip(*chunks, strict=True)))


def _scores(
    model: FirmwareModel,
    teacher: str | None,
    batch: ParticleBatch,
    piece: Slice,
    kept: Int64[np.ndarray, " kept"],
) -> Float[np.ndarray, " kept"]:
    """Return the teacher's scores of the events of a piece that are kept."""
    with torch.inference_mode():
        scores = model.encoder_score(batch) if teacher is None else model.scores(batch)[teacher]
    bad = np.flatnonzero(~np.isfinite(scores.numpy()))
    if len(bad):
        entry = int(piece.file.numbers(piece.start, piece.stop)[kept[bad[0]]])
        raise NonFiniteError(
            f"the {teacher or 'encoder'} score of {piece.path}, entry {entry} is "
            f"{scores[bad[0]].item()}, which no encoder can learn ({len(bad)} of {len(kept)} "
            "events there). Cure: another fpga.teacher, or train again with a lower learning rate"
        )
    return scores.numpy()


def _masses(
    events: Events, kept: Int64[np.ndarray, " kept"], piece: Slice, column: str | None
) -> Float64[np.ndarray, " kept"]:
    """Return the masses of the events that are kept; NaN without a column."""
    if column is None:
        return np.full(len(kept), np.nan)
    masses = events.events[column][kept].astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(masses))
    if len(bad):
        raise BadFileError(
            piece.path,
            f"the mass is {masses[bad[0]]}, so no threshold belongs to it",
            cure=f"a finite {column} for every event, or fpga.decorrelate=null",
            branch=column,
            entry=int(piece.file.numbers(piece.start, piece.stop)[kept[bad[0]]]),
        )
    return masses


def with_hardest(batch: ParticleBatch, reading: ConstituentReading, count: int) -> ParticleBatch:
    """Return the events with no more than their `count` hardest constituents.

    A row that stands for the whole event stays.
    """
    rows = reading.constituents(batch)
    momentum = _momentum(batch, reading).where(rows, -torch.inf)
    return _selected(batch, ~rows | (Jagged(batch.lengths).ranks(momentum) < count))


def _selected(batch: ParticleBatch, rows: Bool[Tensor, " row"]) -> ParticleBatch:
    """Return the events with some of their rows alone."""
    owner = Jagged(batch.lengths).owner
    return replace(
        batch,
        lengths=torch.zeros_like(batch.lengths).index_add_(0, owner, rows.long()),
        features=batch.features[rows],
        types=None if batch.types is None else batch.types[rows],
    )


def _momentum(batch: ParticleBatch, reading: ConstituentReading) -> Float[Tensor, " row"]:
    """Return what orders the constituents; raises ConfigError if it is no feature."""
    names = list(reading.feature_list.names)
    if reading.momentum not in names:
        raise ConfigError(
            f"the model was trained without {reading.momentum}, by which a trigger finds the "
            "hardest constituents. Cure: train it with this feature in data.features"
        )
    return batch.features[:, names.index(reading.momentum)]


def _inputs(
    batch: ParticleBatch, reading: ConstituentReading, ports: Sequence[Port], constituents: int
) -> Float[Tensor, "event constituent port"]:
    alone, names = _selected(batch, reading.constituents(batch)), list(reading.feature_list.names)
    columns = [alone.features[:, names.index(port.name)] for port in ports if not port.flag]
    parts = [torch.stack(columns, dim=1)]
    if any(port.flag for port in ports):
        parts.append(functional.one_hot(alone.known_types, len(reading.type_names)).float())
    momentum = _momentum(alone, reading)
    return Jagged(alone.lengths).hardest(torch.cat(parts, dim=1), momentum, constituents)


def _context(
    batch: ParticleBatch, reading: ConstituentReading, ports: Sequence[Port]
) -> Float[Tensor, "event quantity"]:
    """Return the features of the row that stands for each event."""
    names = list(reading.feature_list.names)
    columns = [names.index(reading.event_features[port.name]) for port in ports]
    if not columns:
        return batch.features.new_zeros(len(batch), 0)
    return batch.features[~reading.constituents(batch)][:, columns]
