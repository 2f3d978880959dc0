"""How the events of a data set become batches: the base class of all readings."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from anomaly_hep.data.batch import JaggedBatch
from anomaly_hep.data.plan import Slice
from anomaly_hep.data.selection import Selection
from anomaly_hep.errors import ConfigError
from anomaly_hep.plugins import named
from anomaly_hep.types import Events

Labels = Mapping[str, int]  # class numbers, in a training phase that may see them
# columns that come from the sample, not from the file
_LABEL, _WEIGHT = "sample.label", "sample.weight"


@dataclass
class Counts:
    """Numbers of events and rows read for a network, and of losses on the way.

    `rejected` are the events that the selection rejects, `bad` impossible ones, `rows` particles or
    pixels, `truncated` the events that lost some, `clipped` the clipped values per feature.
    """

    events: int = 0
    rejected: int = 0
    bad: int = 0
    truncated: int = 0
    rows: int = 0
    clipped: Int64[np.ndarray, " feature"] | int = 0

    def add(self, other: Counts) -> None:
        """Add the counts of more events."""
        self.events += other.events
        self.rejected += other.rejected
        self.bad += other.bad
        self.truncated += other.truncated
        self.rows += other.rows
        self.clipped = self.clipped + other.clipped

    def clipped_by(self, features: Sequence[str]) -> dict[str, int]:
        """Return the number of clipped values of each feature."""
        clipped = np.broadcast_to(np.asarray(self.clipped), len(features)).tolist()
        return dict(zip(features, clipped, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """Return the counts as plain numbers and lists, for a checkpoint."""
        return vars(self) | {"clipped": np.asarray(self.clipped).tolist()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the counts that `state_dict` returned."""
        clipped = np.asarray(state["clipped"], np.int64)
        vars(self).update({**state, "clipped": clipped if clipped.ndim else int(clipped)})


@dataclass(frozen=True, kw_only=True)
class Reading(ABC):
    """Which columns are read, which events are kept, and what a network sees of them.

    The fields of a subclass are its keys below `data` in the yaml, with the yaml's plain values.
    selection: inclusive bounds on event columns, {column: {min: a, max: b}}.
    """

    makes: ClassVar[type[JaggedBatch]]  # the class of its batches
    selection: Mapping[str, Mapping[str, float]]

    def __post_init__(self) -> None:
        _ = self.cuts  # refuses invalid bounds

    @cached_property
    def cuts(self) -> Selection:
        """The selection, checked."""
        return Selection(self.selection)

    @property
    def has_types(self) -> bool:
        """Whether the events' particles have types."""
        return False

    @property
    def feature_names(self) -> Sequence[str]:
        """Names of the features of a particle, if events have particles."""
        return ()

    def check(self, model: Any) -> None:
        """Raise ConfigError for a model that cannot take these data."""
        if not issubclass(self.makes, model.accepts):
            raise ConfigError(
                f"{type(model).__name__} takes {model.accepts.__name__}, but these data give "
                f"{self.makes.__name__}. Cure: choose a model and data that belong together"
            )
        if model.needs_types and not self.has_types:
            raise ConfigError(
                f"{model.title} takes types of particles, which these data do not have. Cure: "
                "model.use_pid=false, or data with types"
            )
        names = self.feature_names
        if model.features is not None and tuple(model.features) != tuple(names):
            raise ConfigError(
                f"model.features are {', '.join(model.features)}, but data.features are "
                f"{', '.join(names)}. Cure: leave model.features out: it follows data.features"
            )

    @property
    @abstractmethod
    def columns(self) -> list[str]:
        """Columns to read, never a label."""

    @abstractmethod
    def batch(
        self, events: Events, index: Int64[np.ndarray, " event"], path: Path | str
    ) -> tuple[JaggedBatch, Counts]:
        """Return events as one batch, and the counts of what was cut; `path` is for errors."""

    @property
    def summary_names(self) -> Sequence[str]:
        """Names of the components of `summary`."""
        return ("rows",)

    def summary(self, batch: Any) -> Float64[Tensor, "event component"]:
        """Return a vector of each event of a jagged batch, made without a model.

        Here it is the number of rows, the only one that all events have.
        """
        return batch.lengths.double()[:, None]

    @abstractmethod
    def count_names(self, counts: Counts) -> dict[str, Any]:
        """Return counts as plain numbers, named as this kind of data calls them."""

    def augment(self, events: Events, rng: np.random.Generator) -> Events:
        """Return the events, augmented at random if configured; only training calls this."""
        del rng
        return events

    def read(
        self,
        piece: Slice,
        extra: Sequence[str] = (),
        *,
        labels: Labels | None = None,
        judged: bool = True,
    ) -> Events:
        """Return the events of a slice, with `extra` columns beside the needed ones.

        An impossible event is refused if the events are `judged`. `labels` are given for training
        phases that may see them, never for scoring.
        """
        sample = piece.file.sample
        weight = () if sample.weight is None else (sample.weight,)
        columns = list(dict.fromkeys([*self.columns, *extra, *weight]))
        read = piece.file.read if judged else piece.file.read_unjudged
        events = read(piece.start, piece.stop, columns)
        added: dict[str, np.ndarray] = {}
        if sample.weight is not None:
            added[_WEIGHT] = events.events[sample.weight].astype(np.float32)
        if labels is not None:
            added[_LABEL] = np.full(len(events), labels[sample.label], np.int64)
        return replace(events, events={**events.events, **added}) if added else events

    def resample(
        self, events: Events, rng: np.random.Generator
    ) -> tuple[Events, Int64[np.ndarray, " event"]]:
        """Return as many events, drawn by their weights, with the mean of the weights; and which.

        An event of n times the mean weight is drawn n times, rounded up or down at random.
        """
        weight = events.events.get(_WEIGHT)
        if weight is None or not len(weight) or not weight.sum() > 0:
            return events, np.arange(len(events))
        chosen = drawn_by_weight(weight, rng)
        drawn = events.take(chosen)
        mean = np.full(len(events), weight.mean(), np.float32)
        return replace(drawn, events={**drawn.events, _WEIGHT: mean}), chosen

    def of_events(self, events: Events, index: Int64[np.ndarray, " event"]) -> dict[str, Any]:
        """Return the fields that every batch has: lengths, index, weight and, if known, label."""
        label, weight = events.events.get(_LABEL), events.events.get(_WEIGHT)
        return {
            "lengths": torch.from_numpy(events.lengths),
            "index": torch.from_numpy(index),
            "weight": torch.ones(len(events)) if weight is None else torch.from_numpy(weight),
            "label": None if label is None else torch.from_numpy(label),
        }


def drawn_by_weight(
    weight: Float[np.ndarray, " event"], rng: np.random.Generator
) -> Int64[np.ndarray, " event"]:
    """Return as many events as there are, drawn by their weights, in a random order.

    An event of n times the mean weight is drawn n times, rounded up or down at random.
    """
    edges = np.cumsum(weight, dtype=np.float64)
    marks = (np.arange(len(weight)) + rng.random()) / len(weight) * edges[-1]
    chosen = rng.permutation(np.searchsorted(edges, marks, side="right"))
    return np.minimum(chosen, len(weight) - 1)


def reading_class(path: str) -> type[Reading]:
    """Return the Reading class at a dotted path; raises ConfigError for anything else."""
    found = named(path, "data")
    if not (isinstance(found, type) and issubclass(found, Reading)):
        raise ConfigError(
            f"data.reading={path} is no reading. Cure: name a class such as "
            "anomaly_hep.data.particles.ParticleReading, or announce your own module by an "
            "entry point 'anomaly_hep.data'"
        )
    return found


def reading_of(path: str, inputs: Mapping[str, Any]) -> Reading:
    """Return the Reading at a dotted path with its keys; raises ConfigError for unknown ones."""
    chosen = reading_class(path)
    known = {f.name: f for f in fields(chosen)}
    for key in inputs:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise ConfigError(
                f"data.{key} does not exist.{hint} Cure: besides the keys of all data, "
                f"{chosen.__name__} takes {', '.join(known)}"
            )
    for key, field in known.items():
        if key not in inputs and field.default is field.default_factory is MISSING:
            raise ConfigError(f"data.{key} is missing. Cure: {chosen.__name__} needs it")
    return chosen(**inputs)
