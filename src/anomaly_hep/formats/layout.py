"""The columns of a format: types, units and bounds; what leaves or enters a file keeps to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats.checks import FIX_VALUES
from anomaly_hep.types import Events


@dataclass(frozen=True)
class Column:
    """One column: its type in memory, its unit ("" for numbers without one), and what it may hold.

    least, most: bounds that a value may have; above: one that it must exceed; floats must be
    finite. truth: whether only a simulation knows it, so that no detector measures it.
    """

    dtype: np.dtype[Any]
    unit: str = ""
    least: float | None = None
    above: float | None = None
    most: float | None = None
    truth: bool = False

    @property
    def rule(self) -> str:
        """The bounds in words."""
        if self.above is not None:
            return f"above {self.above:g}"
        return f"not below {self.least:g}" if self.most is None else f"{self.least} to {self.most}"

    def bad(self, values: Shaped[np.ndarray, " row"]) -> Bool[np.ndarray, " row"] | None:
        """Return which values are out of bounds, None where none is."""
        bad = np.zeros(len(values), bool)
        if len(values) and self.least is not None and values.min() < self.least:
            bad |= values < self.least
        if len(values) and self.above is not None and values.min() <= self.above:
            bad |= values <= self.above
        if len(values) and self.most is not None and values.max() > self.most:
            bad |= values > self.most
        return bad if bad.any() else None


def alike(dtype: np.dtype[Any], unit: str, *names: str, truth: bool = False) -> dict[str, Column]:
    """Return columns of one type and unit without bounds."""
    return dict.fromkeys(names, Column(dtype, unit, truth=truth))


@dataclass(frozen=True)
class Layout:
    """Columns that hold a list per event, and columns that hold one value per event.

    multiplicity: the column that says how many particles an event has.
    """

    particles: Mapping[str, Column]
    events: Mapping[str, Column]
    multiplicity: str | None = None

    def __getitem__(self, name: str) -> Column:
        return self.particles[name] if name in self.particles else self.events[name]

    @property
    def names(self) -> tuple[str, ...]:
        """All names, particles' first."""
        return (*self.particles, *self.events)

    def measured(self, names: Iterable[str]) -> list[str]:
        """Return those of the names that hold one value per event and are no truth."""
        return [name for name in names if name in self.events and not self.events[name].truth]

    def check_shape(self, path: Path, name: str, jagged: bool) -> None:
        """Refuse a list where the format has one value per event, and the reverse."""
        if jagged and name in self.events:
            problem, cure = (
                "it holds a list, not one number per event",
                "store one number per entry",
            )
        elif not jagged and name in self.particles:
            problem, cure = "it holds one number per event, not a list", "store a list per entry"
        else:
            return
        raise BadFileError(path, problem, branch=name, cure=cure)

    def convert(
        self, path: Path, name: str, values: Shaped[np.ndarray, " value"]
    ) -> Shaped[np.ndarray, " value"]:
        """Return the values in the format's type; a name it does not know keeps the file's type.

        Floats may lose digits; anything else must stay what it is or is refused.
        """
        if name not in self.names or values.dtype == self[name].dtype:
            return values
        wanted = self[name].dtype
        with np.errstate(invalid="ignore", over="ignore"):
            converted = values.astype(wanted)
        if wanted.kind != "f" and not np.array_equal(converted, values):
            problem = f"the values are {values.dtype} and do not fit {wanted}"
            raise BadFileError(path, problem, branch=name, cure=f"store {wanted} values")
        return converted

    def check(self, path: Path, events: Events, first_entry: int) -> None:
        """Refuse values that no event can have; `first_entry` is where `events` begin in the file.

        Refused are floats that are not finite, also in columns that the format does not know,
        values out of their column's bounds, and a multiplicity that is not the number of particles.
        """
        for name, values in events.particles.items():
            if (row := self._first_bad(name, values)) is not None:
                entry = int(np.searchsorted(events.offsets, row, side="right")) - 1
                raise self._bad_value(path, name, values[row], first_entry + entry)
        for name, values in events.events.items():
            if (row := self._first_bad(name, values)) is not None:
                raise self._bad_value(path, name, values[row], first_entry + row)
        if self.multiplicity in events.events:
            self._check_multiplicity(path, events, first_entry)

    def _first_bad(self, name: str, values: Shaped[np.ndarray, " row"]) -> int | None:
        if values.dtype.kind == "f" and not (finite := np.isfinite(values)).all():
            return int(np.argmin(finite))
        bad = self[name].bad(values) if name in self.names else None
        return None if bad is None else int(np.argmax(bad))

    def _bad_value(self, path: Path, name: str, value: Any, entry: int) -> BadFileError:
        finite = bool(np.isfinite(value))
        problem = (
            f"the value {value} must be {self[name].rule}" if finite else f"the value is {value}"
        )
        return BadFileError(path, problem, branch=name, entry=entry, cure=FIX_VALUES)

    def _check_multiplicity(self, path: Path, events: Events, first_entry: int) -> None:
        assert self.multiplicity is not None
        said = events.events[self.multiplicity]
        if np.array_equal(said, events.lengths):
            return
        row = int(np.flatnonzero(said != events.lengths)[0])
        raise BadFileError(
            path,
            f"says {said[row]:g} particles, the particle branches hold {events.lengths[row]}",
            branch=self.multiplicity,
            entry=first_entry + row,
            cure=FIX_VALUES,
        )

    def checked(self, path: Path, parts: Iterable[Events]) -> Iterator[Events]:
        """Yield the parts to be written, refusing what `read` would refuse or what does not fit."""
        entries = 0
        for part in parts:
            if len(part) and part.lengths.min() < 0:
                row = int(np.argmax(part.lengths < 0))
                problem = f"{part.lengths[row]} particles"
                raise BadFileError(path, problem, entry=entries + row, cure="count from 0 upwards")
            _check_columns(path, part.particles, self.particles, int(part.lengths.sum()))
            _check_columns(path, part.events, self.events, len(part))
            self.check(path, part, entries)
            entries += len(part)
            yield part


def _check_columns(
    path: Path, given: Mapping[str, np.ndarray], wanted: Mapping[str, Column], rows: int
) -> None:
    for name in sorted(set(wanted) ^ set(given)):
        problem = "is missing" if name in wanted else "is not one of the format's"
        cure = f"write exactly these: {', '.join(wanted)}"
        raise BadFileError(path, f"the column to write {problem}", branch=name, cure=cure)
    for name, column in wanted.items():
        values, dtype = given[name], column.dtype
        if values.dtype.kind != dtype.kind:
            problem, cure = f"cannot write {values.dtype} as {dtype}", f"convert it to {dtype}"
            raise BadFileError(path, problem, branch=name, cure=cure)
        if values.shape != (rows,):
            problem = f"the column to write has shape {values.shape}, the lengths say ({rows},)"
            cure = "make all columns describe the same events"
            raise BadFileError(path, problem, branch=name, cure=cure)
