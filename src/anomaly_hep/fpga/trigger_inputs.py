"""Jets as a trigger sees them, with the score that a trained model gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, Shaped
from torch import Tensor, nn
from torch.nn import functional

from anomaly_hep.data.batch import ParticleBatch
from anomaly_hep.data.features import PARTICLE_TYPES
from anomaly_hep.data.particles import ParticleReading
from anomaly_hep.data.plan import Slice
from anomaly_hep.data.reading import Reading
from anomaly_hep.errors import BadFileError, ConfigError
from anomaly_hep.evaluate.scores import usable
from anomaly_hep.fpga.integers import Port
from anomaly_hep.models.layers.jagged import Jagged
from anomaly_hep.models.layers.trigger import FLAG_RANGE
from anomaly_hep.types import Events

_CHUNK = 4096  # events read at a time


@runtime_checkable
class FirmwareModel(Protocol):
    """A model whose encoder can become firmware (its `firmware_refusal` is None)."""

    title: ClassVar[str]
    encoder: nn.Module
    use_pid: bool  # whether the types of the particles are inputs

    def encoder_score(self, batch: ParticleBatch) -> Float[Tensor, " jet"]:
        """Return the score that needs the encoder alone."""

    def parameter_counts(self) -> dict[str, int]:
        """Return the trainable parameters of the 'encoder'."""


@dataclass(frozen=True, eq=False)
class Jets:
    """Jets as a trigger sees them, and their score from all and from the hardest particles alone.

    Inputs are features in the network's scaled units, then flags for the particle types; they are
    zero where a jet has no more particles. The mass, in GeV, is NaN where none was asked for.
    """

    labels: Shaped[np.ndarray, " event"]
    inputs: Float[np.ndarray, "event constituent port"]
    score: Float[np.ndarray, " event"]
    score_of_hardest: Float[np.ndarray, " event"]
    mass: Float[np.ndarray, " event"]

    def __len__(self) -> int:
        return len(self.labels)

    def shuffled(self) -> Jets:
        """Return the jets in a fixed random order, so that any first part holds all classes."""
        order = shuffled_order(len(self))
        return Jets(**{f.name: getattr(self, f.name)[order] for f in fields(Jets)})


def shuffled_order(events: int) -> Int64[np.ndarray, " event"]:
    """Return the fixed random order in which test events are kept."""
    return np.random.default_rng(0).permutation(events)


def chip_inputs(reading: Reading) -> dict[str, float]:
    """Return the features that data.features has for firmware, by the limits of their values."""
    assert isinstance(reading, ParticleReading)
    features = reading.feature_list.features
    if found := {f.name: float(f.chip) for f in features if f.chip is not None}:
        return found
    raise ConfigError(
        "no feature of these data says what its values stay below on a chip. Cure: "
        f"fpga.inputs={{{features[0].name}: 8, ...}}, powers of two"
    )


def input_ports(reading: Reading, ranges: Mapping[str, float], *, types: bool) -> tuple[Port, ...]:
    """Return the inputs of a constituent: features by their ranges, then a flag for each type.

    Raises ConfigError for a feature that the model never saw.
    """
    assert isinstance(reading, ParticleReading)
    known = {feature.name: feature for feature in reading.feature_list.features}
    unknown = sorted(set(ranges) - set(known))
    if unknown:
        raise ConfigError(
            f"fpga.inputs.{unknown[0]} is no input of the trained model. Cure: choose from "
            f"{', '.join(known)}"
        )
    flags = PARTICLE_TYPES if types else ()
    return (
        *(
            Port(name, float(limit), False, known[name].center, known[name].scale)
            for name, limit in ranges.items()
        ),
        *(Port(name, FLAG_RANGE, True) for name in flags),
    )


def read_jets(
    model: FirmwareModel,
    reading: Reading,
    parts: Sequence[tuple[str, Slice]],
    ports: Sequence[Port],
    constituents: int,
    mass: str | None,
) -> Jets:
    """Return the jets in labelled parts of files that pass the model's selection.

    `mass` is the event column with their masses in GeV, None where these are not needed. Raises
    BadFileError for a mass that is not finite.
    """
    assert isinstance(reading, ParticleReading)
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
            with torch.inference_mode():
                full = model.encoder_score(batch)
                hardest = model.encoder_score(with_hardest(batch, constituents))
            inputs = _inputs(batch, reading.feature_list.names, ports, constituents)
            labels = np.full(len(kept), label)
            masses = _masses(events, kept, piece, mass)
            chunks.append((labels, inputs.numpy(), full.numpy(), hardest.numpy(), masses))
    return Jets(*(np.concatenate(columns) for columns in zip(*chunks, strict=True)))


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


def with_hardest(batch: ParticleBatch, count: int) -> ParticleBatch:
    """Return the jets with no more than their `count` hardest particles."""
    kept = Jagged(batch.lengths).ranks(batch.features[:, 0]) < count
    return replace(
        batch,
        lengths=batch.lengths.clamp(max=count),
        features=batch.features[kept],
        types=None if batch.types is None else batch.types[kept],
    )


def _inputs(
    batch: ParticleBatch, names: Sequence[str], ports: Sequence[Port], constituents: int
) -> Float[Tensor, "event constituent port"]:
    columns = [batch.features[:, list(names).index(p.name)] for p in ports if not p.flag]
    parts = [torch.stack(columns, dim=1)]
    if any(port.flag for port in ports):
        parts.append(functional.one_hot(batch.known_types, len(PARTICLE_TYPES)).float())
    momentum = batch.features[:, 0]
    return Jagged(batch.lengths).hardest(torch.cat(parts, dim=1), momentum, constituents)
