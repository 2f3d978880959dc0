"""The columns of a format and their types; what leaves or enters a file has exactly these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats.checks import check_events
from anomaly_hep.types import Events


@dataclass(frozen=True)
class Layout:
    """Columns that hold a list per event, and columns that hold one value per event."""

    particles: Mapping[str, np.dtype[Any]]
    events: Mapping[str, np.dtype[Any]]

    def check_shape(self, path: Path, name: str, jagged: bool) -> None:
        """Refuse a list where the format has one value per event, and the reverse."""
        if jagged and name in self.events:
            problem, cure = "it holds a list, not one number per jet", "store one number per entry"
        elif not jagged and name in self.particles:
            problem, cure = "it holds one number per jet, not a list", "store a list per entry"
        else:
            return
        raise BadFileError(path, problem, branch=name, cure=cure)

    def convert(
        self, path: Path, name: str, values: Shaped[np.ndarray, " value"]
    ) -> Shaped[np.ndarray, " value"]:
        """Return the values in the format's type; a name it does not know keeps the file's type.

        Floats may lose digits; anything else must stay what it is or is refused.
        """
        wanted = self.particles.get(name, self.events.get(name))
        if wanted is None or values.dtype == wanted:
            return values
        with np.errstate(invalid="ignore", over="ignore"):
            converted = values.astype(wanted)
        if wanted.kind != "f" and not np.array_equal(converted, values):
            problem = f"the values are {values.dtype} and do not fit {wanted}"
            raise BadFileError(path, problem, branch=name, cure=f"store {wanted} values")
        return converted

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
            check_events(path, part, entries)
            entries += len(part)
            yield part


def _check_columns(
    path: Path,
    columns: Mapping[str, np.ndarray],
    wanted: Mapping[str, np.dtype[Any]],
    rows: int,
) -> None:
    for name in sorted(set(wanted) ^ set(columns)):
        problem = "is missing" if name in wanted else "is not one of the format's"
        cure = f"write exactly these: {', '.join(wanted)}"
        raise BadFileError(path, f"the column to write {problem}", branch=name, cure=cure)
    for name, dtype in wanted.items():
        column = columns[name]
        if column.dtype.kind != dtype.kind:
            problem, cure = f"cannot write {column.dtype} as {dtype}", f"convert it to {dtype}"
            raise BadFileError(path, problem, branch=name, cure=cure)
        if column.shape != (rows,):
            problem = f"the column to write has shape {column.shape}, the lengths say ({rows},)"
            cure = "make all columns describe the same jets"
            raise BadFileError(path, problem, branch=name, cure=cure)
