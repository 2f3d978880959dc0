"""Frames that pandas keeps in HDF5 in its fixed format, without pandas, pytables or pickle.

A frame is a group: `axis0` names its columns, `axis1` its rows, and `block0_values` (rows, columns)
with `block0_items` holds numbers of one type; columns of other types are further blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from jaxtyping import Float64

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import hdf5
from anomaly_hep.formats.checks import FETCH_AGAIN, check_range, missing_branch, refusing
from anomaly_hep.formats.chunks import whole_chunks

Names = tuple[int, ...] | tuple[str, ...]
KIND = "pandas_type"  # attribute of a group that is a frame
FIXED = ("frame", "wide")
# Fastest of the shapes and compressors tried: slices of 512 events are whole chunks of about 1 MB.
ROWS_PER_CHUNK = 64
_AXES = 8192  # names or rows in a chunk
_AS_FIXED = "pandas.read_hdf(FILE, '{0}').to_hdf(NEW, key='{0}', format='fixed')"


@dataclass(frozen=True)
class Block:
    """Columns of one type: the data set that holds them, and their positions in the frame."""

    values: Any
    columns: tuple[int, ...]

    @property
    def chunk(self) -> int:
        """The number of rows that are compressed together; 1 where nothing is."""
        return int(self.values.chunks[0]) if self.values.chunks else 1


@dataclass(frozen=True)
class Frame:
    """A frame in an open file: its number of rows, the names of its columns, and its blocks."""

    path: Path
    key: str
    rows: int
    names: Names
    blocks: tuple[Block, ...]

    def read(
        self, start: int, stop: int, columns: Sequence[int] | None = None
    ) -> Float64[np.ndarray, "row column"]:
        """Return rows `start` to `stop` (exclusive) of the columns at these positions, or of all.

        Whole rows are read, so that a file without compression is read in one piece.
        """
        check_range(self.path, start, stop, self.rows)
        wanted = range(len(self.names)) if columns is None else columns
        for block in self.blocks:
            if tuple(wanted) == block.columns[: len(wanted)]:
                return self._rows(block, start, stop)[:, : len(wanted)]
        found = np.empty((stop - start, len(wanted)))
        for block in self.blocks:
            place = {column: i for i, column in enumerate(block.columns)}
            here = [i for i, column in enumerate(wanted) if column in place]
            if here:
                found[:, here] = self._rows(block, start, stop)[:, [place[wanted[i]] for i in here]]
        return found

    def _rows(self, block: Block, start: int, stop: int) -> Float64[np.ndarray, "row column"]:
        with refusing(
            self.path, f"entries {start} to {stop} are damaged", branch=self.key, cure=FETCH_AGAIN
        ):
            return np.asarray(block.values[start:stop], np.float64)

    def slices(self, start: int, stop: int, rows: int) -> Iterator[tuple[int, int]]:
        """Return pieces of `start` to `stop` of about so many rows, whole chunks of the file."""
        chunk = max(block.chunk for block in self.blocks)
        return whole_chunks(start, stop, rows, chunk)


def frames(file: Any) -> dict[str, str]:
    """Return the frames at the top of an open file, with their kinds: frame, frame_table, ..."""
    found = {}
    for key in file:
        if isinstance(file.get(key, getlink=True), h5py.HardLink) and KIND in file[key].attrs:
            found[str(key)] = _text(file[key].attrs[KIND])
    return found


def names_are_numbers(file: Any, key: str) -> bool:
    """Return whether the columns of a frame have numbers as names, as far as the file says."""
    axis = _axis(file, key)
    return axis is not None and axis.dtype.kind in "iu"


def names(file: Any, key: str) -> set[str]:
    """Return the names of the columns of a frame that are texts, as far as the file says."""
    axis = _axis(file, key)
    return {*map(_text, axis[:].tolist())} if axis is not None and axis.dtype.kind == "S" else set()


def _axis(file: Any, key: str) -> Any:
    axis = file[key].get("axis0") if isinstance(file[key], h5py.Group) else None
    # sizes of names that a frame may have
    known = isinstance(axis, h5py.Dataset) and axis.ndim == 1 and axis.nbytes < 2**20
    return axis if known else None


@contextmanager
def opened(path: Path, key: str) -> Iterator[tuple[Any, Frame]]:
    """Open a file and its frame `key`; raises BadFileError for anything else."""
    with hdf5.opened(path) as file:
        yield file, frame(path, file, key)


def frame(path: Path, file: Any, key: str) -> Frame:
    """Return a frame of an open file; raises BadFileError for anything else."""
    there = frames(file)
    if key not in there:
        raise other_keys(path, key, [str(name) for name in file])
    if there[key] not in FIXED:
        problem = f"the frame is stored as {there[key]}, not in pandas' fixed format"
        raise BadFileError(path, problem, branch=key, cure=_AS_FIXED.format(key))
    return _frame(path, file, key)


def other_keys(path: Path, key: str, there: Sequence[str]) -> BadFileError:
    """Return the error for a file without the key, which says those that it has."""
    if len(there) != 1:
        has = ", ".join(there) or "none"
        return BadFileError(
            path, f"it has no key '{key}'; its keys are {has}", cure="give a file that has it"
        )
    return BadFileError(
        path,
        f"it has no key '{key}'; its keys are {there[0]}",
        cure=f"if that holds the events: h5py.File(FILE, 'a').move('{there[0]}', '{key}')",
    )


def _frame(path: Path, file: Any, key: str) -> Frame:
    group = file[key]
    names = _names(path, file, f"{key}/axis0")
    place = {name: i for i, name in enumerate(names)}
    blocks, rows = [], set()
    for number in range(_number_of_blocks(path, group, key)):
        values = hdf5.dataset(path, file, f"{key}/block{number}_values")
        if "shape" in values.attrs:  # pandas' way to say that there is nothing
            rows.add(0)
            continue
        items = _names(path, file, f"{key}/block{number}_items")
        if values.dtype.kind not in "biuf" or values.ndim != 2 or values.shape[1] != len(items):
            problem = f"the shape is {values.shape}, type {values.dtype}, for {len(items)} columns"
            raise BadFileError(
                path, problem, branch=f"{key}/block{number}_values", cure="store a frame of numbers"
            )
        if unknown := {*items} - place.keys():
            raise missing_branch(path, str(unknown.pop()), map(str, names))
        hdf5.check_whole(path, f"{key}/block{number}_values", values)
        rows.add(values.shape[0])
        blocks.append(Block(values, tuple(map(place.__getitem__, items))))
    held = [column for block in blocks for column in block.columns]
    if len(rows) != 1 or len(held) != len(names) or len({*held}) != len(names):
        counts = " and ".join(map(str, sorted(rows))) or "no"
        problem = f"its blocks hold {len({*held})} of {len(names)} columns and {counts} rows"
        raise BadFileError(path, problem, branch=key, cure=FETCH_AGAIN)
    return Frame(path, key, rows.pop(), names, tuple(blocks))


def _number_of_blocks(path: Path, group: Any, key: str) -> int:
    number = group.attrs.get("nblocks") if isinstance(group, h5py.Group) else None
    if not isinstance(number, int | np.integer) or not 0 < number <= 100:
        problem = f"the attribute nblocks is {number!r}"
        raise BadFileError(path, problem, branch=key, cure=FETCH_AGAIN)
    return int(number)


def _names(path: Path, file: Any, key: str) -> Names:
    """Return the names of columns; raises BadFileError for pickled ones, which are not read."""
    axis = hdf5.dataset(path, file, key)
    if axis.ndim != 1 or axis.dtype.kind not in "iuS":
        raise BadFileError(
            path,
            f"the names of columns are {axis.dtype}, perhaps pickled Python objects, which could "
            "run any code when read",
            branch=key,
            cure="name columns by numbers or by texts alone, and store the frame again",
        )
    names = axis[:].tolist()
    if axis.dtype.kind == "S":
        names = [_text(name) for name in names]
    if len({*names}) != len(names):
        problem = "several columns have one name"
        raise BadFileError(path, problem, branch=key, cure="name each column otherwise")
    return tuple(names)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


# ---- writing


class Writer:
    """Appends rows to a new frame of float64 columns, in the layout that pandas.read_hdf reads."""

    def __init__(self, file: Any, key: str, names: Names) -> None:
        self._group = group = file.create_group(key)
        _set(file, CLASS="GROUP", VERSION="1.0", PYTABLES_FORMAT_VERSION="2.1")
        _set(group, CLASS="GROUP", VERSION="1.0", **_FRAME)
        self._values = _array(group, "block0_values", (0, len(names)), np.float64, ROWS_PER_CHUNK)
        for axis in ("axis0", "block0_items"):
            self._axis(axis, np.array(names) if isinstance(names[0], int) else np.array(names, "S"))

    def append(self, rows: Float64[np.ndarray, "row column"]) -> None:
        """Write more rows."""
        before = len(self._values)
        self._values.resize(before + len(rows), axis=0)
        self._values[before:] = rows

    def close(self) -> None:
        """Write the numbers of the rows, which pandas needs."""
        self._axis("axis1", np.arange(len(self._values)))

    def _axis(self, name: str, values: np.ndarray) -> None:
        dataset = _array(self._group, name, values.shape, values.dtype, _AXES)
        dataset[:] = values
        _set(dataset, kind="string" if values.dtype.kind == "S" else "integer")


_FRAME: Mapping[str, str | int] = {
    **dict.fromkeys(("axis0_variety", "axis1_variety", "block0_items_variety"), "regular"),
    "encoding": "UTF-8",
    "errors": "strict",
    "nblocks": 1,
    "ndim": 2,
    KIND: "frame",
    "pandas_version": "0.15.2",  # of the layout, the same since
}


def _set(node: Any, **attributes: str | int) -> None:
    """Write attributes; texts of fixed length in UTF-8, which pytables takes for str."""
    for name, value in attributes.items():
        dtype = h5py.string_dtype(length=len(value)) if isinstance(value, str) else np.int64
        node.attrs.create(name, value, dtype=dtype)


def _array(group: Any, name: str, shape: tuple[int, ...], dtype: Any, rows: int) -> Any:
    dataset = group.create_dataset(
        name,
        shape,
        dtype,
        maxshape=(None, *shape[1:]),
        chunks=(rows, *shape[1:]),
        compression=hdf5plugin.Blosc(cname="lz4", clevel=5, shuffle=hdf5plugin.Blosc.SHUFFLE),
    )
    _set(dataset, CLASS="CARRAY", VERSION="1.1", transposed=1)
    return dataset
