"""The columns of a format: types, units and bounds, checked in reading and writing."""

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
    """One column: its type in memory, its unit ("" if it has none), and its allowed values.

    least, most: inclusive bounds; above: exclusive lower bound; floats must be finite. truth:
    whether it is simulation truth, which no detector measures.
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
        """Return a mask of the values that are out of bounds, None if there are none."""
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
    """Columns with a list per event (`particles`) and columns with one value per event (`events`).

    multiplicity: the column with the number of particles of an event.
    """

    particles: Mapping[str, Column]
    events: Mapping[str, Column]
    multiplicity: str | None = None

    def __getitem__(self, name: str) -> Column:
        return self.particles[name] if name in self.particles else self.events[name]

    @property
    def names(self) -> tuple[str, ...]:
        """All names, those of particles first."""
        return (*self.particles, *self.events)

    def measured(self, names: Iterable[str]) -> list[str]:
        """Return those of the names that hold one value per event and are not truth."""
        return [name for name in names if name in self.events and not self.events[name].truth]

    def check_shape(self, path: Path, name: str, jagged: bool) -> None:
        """Refuse a list where the format has one value per event, and vice versa."""
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
        """Return the values in the format's type; an unknown column keeps the file's type.

        Floats may lose precision; other values that would change are refused.
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
        """Refuse impossible values; `first_entry` is the position of the first event in the file.

        These are floats that are not finite (also in unknown columns), values out of their column's
        bounds, and a multiplicity that differs from the number of particles.
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
        stated = events.events[self.multiplicity]
        if np.array_equal(stated, events.lengths):
            return
        row = int(np.flatnonzero(stated != events.lengths)[0])
        raise BadFileError(
            path,
            f"says {stated[row]:g} particles, the particle branches hold {events.lengths[row]}",
            branch=self.multiplicity,
            entry=first_entry + row,
            cure=FIX_VALUES,
        )

    def checked(self, path: Path, parts: Iterable[Events]) -> Iterator[Events]:
        """Yield the parts to be written; refuses wrong columns and values that `read` refuses."""
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
    path: Path, arrays: Mapping[str, np.ndarray], wanted: Mapping[str, Column], rows: int
) -> None:
    for name in sorted(set(wanted) ^ set(arrays)):
        problem = "is missing" if name in wanted else "is not one of the format's"
        cure = f"write exactly these: {', '.join(wanted)}"
        raise BadFileError(path, f"the column to write {problem}", branch=name, cure=cure)
    for name, column in wanted.items():
        values, dtype = arrays[name], column.dtype
        if values.dtype.kind != dtype.kind:
            problem, cure = f"cannot write {values.dtype} as {dtype}", f"convert it to {dtype}"
            raise BadFileError(path, problem, branch=name, cure=cure)
        if values.shape != (rows,):
            problem = f"the column to write has shape {values.shape}, the lengths say ({rows},)"
            cure = "make all columns describe the same events"
            raise BadFileError(path, problem, branch=name, cure=cure)
