"""The few data types that every room shares. Units: GeV, mm, radians."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped


def members(
    lengths: Int64[np.ndarray, " group"], index: Int64[np.ndarray, " chosen"]
) -> tuple[Int64[np.ndarray, " chosen"], Int64[np.ndarray, " row"]]:
    """Return the sizes of the groups `index`, and the rows of their members, group after group.

    Groups follow each other in the rows; `lengths` holds their sizes.
    """
    sizes = lengths[index]
    first = (np.cumsum(lengths) - lengths)[index]
    # position of each member inside its group, added to where that group begins
    inside = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return sizes, np.repeat(first, sizes) + inside


@dataclass(frozen=True, eq=False)
class Events:
    """Consecutive events with jagged particles: flat columns plus each event's number of particles.

    `particles` maps a branch name to values of all particles of all events, in file order; `events`
    maps a branch name to one value per event. Names and units are the file format's.
    """

    lengths: Int64[np.ndarray, " event"]
    particles: Mapping[str, Shaped[np.ndarray, " particle"]]
    events: Mapping[str, Shaped[np.ndarray, " event"]]

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def offsets(self) -> Int64[np.ndarray, " edge"]:
        """Index of each event's first particle, and one past the last: length event + 1."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.lengths)])

    def take(self, index: Int64[np.ndarray, " chosen"]) -> Events:
        """Return the events `index`, in that order."""
        lengths, flat = members(self.lengths, index)
        return Events(
            lengths,
            {name: column[flat] for name, column in self.particles.items()},
            {name: column[index] for name, column in self.events.items()},
        )

    @staticmethod
    def concatenate(parts: Sequence[Events]) -> Events:
        """Return the events of all parts, in order; the parts hold the same columns."""
        head = parts[0]
        return Events(
            np.concatenate([part.lengths for part in parts]),
            {n: np.concatenate([part.particles[n] for part in parts]) for n in head.particles},
            {n: np.concatenate([part.events[n] for part in parts]) for n in head.events},
        )


@dataclass(frozen=True)
class Sample:
    """The events of one class in one split, as a data set's yaml lists them.

    files: patterns below the directory of the split. where: inclusive bounds on columns that select
    events, {column: {min: a, max: b}}. entries: first and last edge of the part of the selected
    events to use, as fractions of their number in file order. weight: the column of event weights,
    None if each event counts once. optional: whether the class is left out where it has no files.
    """

    label: str
    files: tuple[str, ...]
    where: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    entries: tuple[float, float] = (0.0, 1.0)
    weight: str | None = None
    optional: bool = False


@dataclass(frozen=True)
class FileDescription:
    """The description of a data file, made without reading its events.

    `provenance` is what our simulation wrote into the file (generator, version, settings, seed),
    None for any other file. `columns` names every column of the file.
    """

    path: Path
    format: str
    entries: int
    provenance: Mapping[str, Any] | None = None
    columns: tuple[str, ...] = ()
