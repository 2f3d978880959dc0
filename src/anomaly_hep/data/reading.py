"""How the events of a data set become inputs of a network."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Int64

from anomaly_hep.bounds import Count
from anomaly_hep.data.augment import rotated_and_mirrored
from anomaly_hep.data.batch import (
    ImageBatch,
    JaggedBatch,
    ParticleBatch,
)
from anomaly_hep.data.features import FeatureList
from anomaly_hep.data.plan import Slice
from anomaly_hep.data.selection import Selection
from anomaly_hep.errors import ConfigError
from anomaly_hep.formats.files import format_of
from anomaly_hep.types import Events


@dataclass
class Counts:
    """What happened to events on their way to a network, for the ledger.

    `rows` counts particles or pixels, `truncated` the events that lost some, `clipped` the values
    that met their clip, by feature.
    """

    events: int = 0
    rejected: int = 0
    truncated: int = 0
    rows: int = 0
    clipped: Int64[np.ndarray, " feature"] | int = 0

    def add(self, other: Counts) -> None:
        """Add another part's counts."""
        self.events += other.events
        self.rejected += other.rejected
        self.truncated += other.truncated
        self.rows += other.rows
        self.clipped = self.clipped + other.clipped

    def state_dict(self) -> dict[str, Any]:
        """Return the counts as plain numbers and lists, for a checkpoint."""
        return vars(self) | {"clipped": np.asarray(self.clipped).tolist()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the counts that `state_dict` returned."""
        clipped = np.asarray(state["clipped"], np.int64)
        vars(self).update({**state, "clipped": clipped if clipped.ndim else int(clipped)})


_CLASS = "class_number"  # a column that no file has


@dataclass(frozen=True, kw_only=True)
class Reading(ABC):
    """Which columns are read, which events are kept, and what a network sees of them.

    class_of_file: the number of the class of a file's events, where the phase of the training may
    see labels; scoring never does.
    """

    makes: ClassVar[type[JaggedBatch]]  # the kind of batch
    selection: Selection
    class_of_file: Mapping[Path, int] | None = None

    @property
    @abstractmethod
    def columns(self) -> list[str]:
        """Columns to read; no label is among them."""

    @abstractmethod
    def batch(
        self, events: Events, index: Int64[np.ndarray, " event"], path: Path | str
    ) -> tuple[JaggedBatch, Counts]:
        """Return events as one batch, and what was cut on the way; `path` is for errors."""

    @abstractmethod
    def count_names(self, counts: Counts) -> dict[str, Any]:
        """Return counts as plain numbers under the names that belong to the data."""

    def augment(self, events: Events, rng: np.random.Generator) -> Events:
        """Return the events of one training epoch, changed at random where that is asked for."""
        del rng
        return events

    def read(self, piece: Slice, extra: tuple[str, ...] = ()) -> Events:
        """Return the events of a slice, checked, with `extra` columns beside the needed ones."""
        columns = list(dict.fromkeys([*self.columns, *extra]))
        events = format_of(piece.path).read(piece.path, piece.start, piece.stop, columns)
        if self.class_of_file is None:
            return events
        number = np.full(len(events), self.class_of_file[piece.path], np.int64)
        return replace(events, events={**events.events, _CLASS: number})

    def of_events(self, events: Events, index: Int64[np.ndarray, " event"]) -> dict[str, Any]:
        """Return what every kind of batch has: lengths, index, weight and, if known, label."""
        label = events.events.get(_CLASS)
        return {
            "lengths": torch.from_numpy(events.lengths),
            "index": torch.from_numpy(index),
            "weight": torch.ones(len(events)),
            "label": None if label is None else torch.from_numpy(label),
        }


@dataclass(frozen=True, kw_only=True)
class JetReading(Reading):
    """Jets: the features, the cut, and how many particles of a jet count."""

    makes: ClassVar[type[JaggedBatch]] = ParticleBatch
    features: FeatureList
    max_particles: int

    @property
    def columns(self) -> list[str]:
        """Branches to read."""
        return list(dict.fromkeys([*self.features.columns, *self.selection.columns]))

    def batch(
        self, events: Events, index: Int64[np.ndarray, " event"], path: Path | str
    ) -> tuple[ParticleBatch, Counts]:
        """Return jets as one batch of particles."""
        events, truncated = self.truncate(events)
        made = self.features.compute(events, path)
        batch = ParticleBatch(
            **self.of_events(events, index),
            features=torch.from_numpy(made.features),
            types=torch.from_numpy(made.types),
        )
        return batch, Counts(0, 0, truncated, len(made.types), made.clipped)

    def truncate(self, events: Events) -> tuple[Events, int]:
        """Return the events with their first `max_particles` particles, and how many were cut."""
        excess = int((events.lengths > self.max_particles).sum())
        if excess == 0:
            return events, 0
        inside = np.arange(events.offsets[-1]) - np.repeat(events.offsets[:-1], events.lengths)
        kept = inside < self.max_particles
        particles = {name: column[kept] for name, column in events.particles.items()}
        lengths = np.minimum(events.lengths, self.max_particles)
        return Events(lengths, particles, events.events), excess

    def count_names(self, counts: Counts) -> dict[str, Any]:
        """Return plain numbers; clipped values by feature."""
        names = self.features.names
        clipped = np.broadcast_to(np.asarray(counts.clipped), len(names)).tolist()
        return {
            "events": counts.events,
            "rejected_by_selection": counts.rejected,
            "jets_truncated": counts.truncated,
            "particles": counts.rows,
            "values_clipped": dict(zip(names, clipped, strict=True)),
        }


@dataclass(frozen=True, kw_only=True)
class ImageReading(Reading):
    """Detector images: the cut, and whether training sees them rotated and mirrored.

    shape: (channel, row, column) of an image: tracker, ECAL and HCAL, phi, eta.
    """

    makes: ClassVar[type[JaggedBatch]] = ImageBatch
    augmentation: bool
    shape: tuple[int, int, int] = (3, 72, 58)

    @property
    def columns(self) -> list[str]:
        """Columns to read: the pixels that are not zero."""
        pixels = ["hit_channel", "hit_row", "hit_column", "hit_energy"]
        return [*pixels, *self.selection.columns]

    def augment(self, events: Events, rng: np.random.Generator) -> Events:
        """Return the images, each rotated and mirrored by chance (`data.augment`)."""
        return rotated_and_mirrored(events, rng, self.shape[1:]) if self.augmentation else events

    def batch(
        self, events: Events, index: Int64[np.ndarray, " event"], path: Path | str
    ) -> tuple[ImageBatch, Counts]:
        """Return images as one batch of pixels."""
        del path  # what the format has read is complete
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
        """Return plain numbers."""
        return {
            "events": counts.events,
            "rejected_by_selection": counts.rejected,
            "pixels": counts.rows,
        }


def reading_of(settings: Mapping[str, Any]) -> Reading:
    """Return how events are read under a module's hyper-parameters, as a checkpoint keeps them."""
    make = reading_maker(settings["kind"])
    return make(**{name: settings[name] for name in inspect.signature(make).parameters})


def reading_maker(kind: str) -> Callable[..., Reading]:
    """Return what makes a reading; its parameters are what `data` has of this kind alone."""
    if kind not in _MAKERS:
        raise ConfigError(f"data.kind={kind} does not exist. Cure: choose {' or '.join(_MAKERS)}")
    return _MAKERS[kind]


def _jets(
    *,
    selection: Mapping[str, Mapping[str, float]],
    features: Mapping[str, Mapping[str, Any] | None],
    max_particles: Count,
) -> JetReading:
    return JetReading(
        selection=Selection(selection), features=FeatureList(features), max_particles=max_particles
    )


def _images(*, selection: Mapping[str, Mapping[str, float]], augmentation: bool) -> ImageReading:
    return ImageReading(selection=Selection(selection), augmentation=augmentation)


_MAKERS: Mapping[str, Callable[..., Reading]] = {"jets": _jets, "images": _images}
