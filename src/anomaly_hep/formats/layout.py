"""The columns of a format: types, units, bounds, and the relations between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from anomaly_hep.errors import BadFileError
from anomaly_hep.types import Events


@dataclass(frozen=True)
class Column:
    """One column: its type in memory, its unit ("" if it has none), and its allowed values.

    least, most: inclusive bounds; above: exclusive lower bound; floats must be finite. slack: a
    value this little below `least` or above `most` is a rounding, and is read as the bound. truth:
    whether it is simulation truth, which no detector measures. hint: what a value out of bounds may
    come from, in words.
    """

    dtype: np.dtype[Any]
    unit: str = ""
    least: float | None = None
    above: float | None = None
    most: float | None = None
    slack: float = 0.0
    truth: bool = False
    hint: str = ""

    @property
    def rule(self) -> str:
        """The bounds in words."""
        unit = f" {self.unit}" if self.unit else ""
        if self.above is not None:
            below = "" if self.most is None else f" and at most {self.most:g}"
            return f"above {self.above:g}{below}{unit}"
        if self.most is None:
            return f"not below {self.least:g}{unit}"
        return f"{self.least:g} to {self.most:g}{unit}"

    def rounded(self, values: Shaped[np.ndarray, " row"]) -> Shaped[np.ndarray, " row"]:
        """Return the values, those that only a rounding puts out of bounds moved to the bound."""
        if not self.slack or not len(values):
            return values
        least = -np.inf if self.least is None else self.least
        most = np.inf if self.most is None else self.most
        if values.min() >= least and values.max() <= most:
            return values
        within = (values >= least - self.slack) & (values <= most + self.slack)
        return np.where(within, np.clip(values, least, most), values).astype(values.dtype)

    def bad(self, values: Shaped[np.ndarray, " row"]) -> Bool[np.ndarray, " row"] | None:
        """Return a mask of the values that are not finite or out of bounds, None if none are."""
        bad = np.zeros(len(values), bool)
        if values.dtype.kind == "f" and not (finite := np.isfinite(values)).all():
            bad |= ~finite
        if len(values) and self.least is not None and not values.min() >= self.least:
            bad |= values < self.least
        if len(values) and self.above is not None and not values.min() > self.above:
            bad |= values <= self.above
        if len(values) and self.most is not None and not values.max() <= self.most:
            bad |= values > self.most
        return bad if bad.any() else None


def alike(dtype: np.dtype[Any], unit: str, *names: str, truth: bool = False) -> dict[str, Column]:
    """Return columns of one type and unit without bounds."""
    return dict.fromkeys(names, Column(dtype, unit, truth=truth))


@dataclass(frozen=True)
class Rule:
    """A relation between columns that every event of a format satisfies.

    needs: the columns it takes; it is applied wherever all of them were read. broken: a mask of the
    events that violate it. problem: the violation in words. hint: what it may come from.
    """

    needs: tuple[str, ...]
    broken: Callable[[Events], Bool[np.ndarray, " event"]]
    problem: str
    hint: str = ""


@dataclass(frozen=True)
class Layout:
    """Columns with a list per event (`particles`) and columns with one value per event (`events`).

    multiplicity: the column with the number of particles of an event. rules: relations between
    columns that every event satisfies. stored: what the file calls a column, where it is not the
    column's own name.
    """

    particles: Mapping[str, Column]
    events: Mapping[str, Column]
    multiplicity: str | None = None
    rules: tuple[Rule, ...] = ()
    stored: Mapping[str, str] = field(default_factory=dict)

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
        if name not in self.names:
            return values
        column = self[name]
        if values.dtype == column.dtype:
            return column.rounded(values)
        with np.errstate(invalid="ignore", over="ignore"):
            converted = values.astype(column.dtype)
        if column.dtype.kind != "f" and not np.array_equal(converted, values):
            problem = f"the values are {values.dtype} and do not fit {column.dtype}"
            raise BadFileError(path, problem, branch=name, cure=f"store {column.dtype} values")
        return column.rounded(converted)
