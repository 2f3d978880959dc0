"""Frames that pandas keeps in HDF5 in its table format, without pandas, pytables or unpickling.

A frame is a group with one compound data set `table`: a row has the field `index`, and fields
`values_block_0`, ... with the values of several columns of one type, or one field for one column.
The attribute FIELD_kind names the columns of a field, in their order, as the text of a pickle of
protocol 0. That text is only searched for names: nothing in it is executed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Shaped

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import hdf5, pandasio
from anomaly_hep.formats.checks import FETCH_AGAIN, check_range, missing_branch, refusing
from anomaly_hep.formats.chunks import whole_chunks

TABLE = "frame_table"  # the kind of such a frame
_AS_TABLE = "pandas.read_hdf(FILE, '{0}').to_hdf(NEW, key='{0}', format='table')"
# a list of texts as Python 2 and 3 pickle it: (lp0, then each text, its number and an a, then a dot
_LIST = re.compile(r"\(lp\d+\n(?:(?:V[^\n\\]*|S'[^\n\\']*')\n(?:p\d+\n)?a)*\.\Z")
_TEXT = re.compile(r"(?:V([^\n\\]*)|S'([^\n\\']*)')\n(?:p\d+\n)?a")


@dataclass(frozen=True)
class Table:
    """A frame in an open file: its number of rows, and where each column is: field and position."""

    path: Path
    key: str
    rows: int
    places: Mapping[str, tuple[str, int]]
    values: Any

    def read(self, start: int, stop: int) -> Shaped[np.ndarray, " row"]:
        """Return whole rows `start` to `stop` (exclusive), each with all fields."""
        check_range(self.path, start, stop, self.rows)
        with refusing(
            self.path, f"entries {start} to {stop} are damaged", branch=self.key, cure=FETCH_AGAIN
        ):
            return np.asarray(self.values[start:stop])

    def columns(
        self, rows: Shaped[np.ndarray, " row"], names: Sequence[str]
    ) -> Float64[np.ndarray, "row column"]:
        """Return columns of rows that `read` returned; raises BadFileError for a missing one."""
        found = np.empty((len(rows), len(names)))
        wanted: dict[str, list[tuple[int, int]]] = {}
        for number, name in enumerate(names):
            if name not in self.places:
                raise missing_branch(self.path, name, self.places)
            field, position = self.places[name]
            wanted.setdefault(field, []).append((number, position))
        for field, pairs in wanted.items():
            numbers, positions = zip(*pairs, strict=True)
            values = rows[field] if rows[field].ndim == 2 else rows[field][:, None]
            found[:, list(numbers)] = values[:, list(positions)]
        return found

    def slices(self, start: int, stop: int, rows: int) -> Iterator[tuple[int, int]]:
        """Return pieces of `start` to `stop` of about so many rows, whole chunks of the file."""
        return whole_chunks(start, stop, rows, hdf5.rows_per_chunk(self.values))


def tables(file: Any) -> dict[str, set[str]]:
    """Return the frames of this format at the top of an open file, with the names of columns.

    Of a frame whose names cannot be read, none.
    """
    found = {}
    for key, kind in pandasio.frames(file).items():
        if kind == TABLE:
            values = file[key].get("table")
            fields = values.dtype.names if values is not None and values.dtype.names else ()
            lists = [_names(values.attrs.get(f"{field}_kind")) for field in fields]
            found[key] = {name for names in lists if names for name in names}
    return found


@contextmanager
def opened(path: Path, key: str) -> Iterator[tuple[Any, Table]]:
    """Open a file and its frame `key`; raises BadFileError for anything else."""
    with hdf5.opened(path) as file:
        there = pandasio.frames(file)
        if key not in there:
            raise pandasio.other_keys(path, key, [str(name) for name in file])
        if there[key] != TABLE:
            problem = f"the frame is stored as {there[key]}, not in pandas' table format"
            raise BadFileError(path, problem, branch=key, cure=_AS_TABLE.format(key))
        yield file, _table(path, file, key)


def _table(path: Path, file: Any, key: str) -> Table:
    values = hdf5.dataset(path, file, f"{key}/table")
    if values.ndim != 1 or not values.dtype.names:
        problem = f"the shape is {values.shape}, type {values.dtype}, not rows of fields"
        raise BadFileError(path, problem, branch=f"{key}/table", cure=FETCH_AGAIN)
    places: dict[str, tuple[str, int]] = {}
    for field in values.dtype.names:
        if field == "index":
            continue
        names = _names(values.attrs.get(f"{field}_kind"))
        width = int(np.prod(values.dtype[field].shape, dtype=np.int64))
        base = values.dtype[field].base
        if names is None or len(names) != width:
            said = "unknown" if names is None else f"{len(names)}"
            problem = f"the names of its {width} columns are {said}"
            cure = "store the frame again with plain names: " + _AS_TABLE.format(key)
            raise BadFileError(path, problem, branch=f"{key}/table/{field}", cure=cure)
        if base.kind not in "biuf":
            continue  # texts of other columns do no harm
        places |= {name: (field, position) for position, name in enumerate(names)}
    hdf5.check_whole(path, f"{key}/table", values)
    return Table(path, key, len(values), places, values)


def _names(text: Any) -> list[str] | None:
    """Return the names in the text of a pickled list of texts; None for anything else."""
    if not isinstance(text, bytes | str):
        return None
    plain = text.decode("ascii", "replace") if isinstance(text, bytes) else str(text)
    if not _LIST.match(plain):
        return None
    return [one or other for one, other in _TEXT.findall(plain)]
