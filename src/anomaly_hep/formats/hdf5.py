"""Open HDF5 files whose content is all their own, and check that they hold what they declare."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 (importing it registers filters such as Blosc)
import numpy as np

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats.checks import FETCH_AGAIN, check_file, missing_branch, refusing
from anomaly_hep.formats.memory import check_fits

MAGIC = b"\x89HDF\r\n\x1a\n"
PROVENANCE = "anomaly_hep_provenance"  # attribute of a file that a simulation wrote


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open an h5py.File; whatever is raised inside means a damaged file."""
    check_file(path, MAGIC, "HDF5")
    with refusing(path, "the file is damaged", cure=FETCH_AGAIN), h5py.File(path, "r") as file:
        yield file


def keys(path: Path) -> str:
    """Return the names at the top of a file, to quote in a message."""
    with opened(path) as file:
        return ", ".join(file) or "none"


def dataset(path: Path, file: Any, key: str) -> Any:
    """Return a data set of numbers; raises BadFileError unless all its content is in this file.

    External links, external storage and virtual data sets would read other files, which no checksum
    covers.
    """
    with refusing(path, "the file is damaged", branch=key, cure=FETCH_AGAIN):
        if key not in file and file.get(key, getlink=True) is None:
            raise missing_branch(path, key, file)
        parts = key.split("/")
        for depth in range(len(parts)):
            link = file.get("/".join(parts[: depth + 1]), getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise _elsewhere(path, key, "a link to another file")
        found = file[key]
        if not isinstance(found, h5py.Dataset):
            raise BadFileError(path, "it is a group", branch=key, cure="store an array there")
        if found.external or found.is_virtual:
            raise _elsewhere(path, key, "a view of other files")
        _check_filters(path, key, found)
        chunk = found.chunks or (1, *(found.shape or ())[1:])
        check_fits(path, math.prod(chunk) * found.dtype.itemsize, key)
    return found


def rows(path: Path, file: Any, key: str, least: tuple[int, ...], columns: str) -> Any:
    """Return a data set of numbers with a row per event, each of at least the shape `least`.

    Raises BadFileError for another one, with the keys that are there, or with the `columns` to
    store.
    """
    parent, _, name = key.rpartition("/")
    group = file[parent] if parent else file
    if name not in group and group.get(name, getlink=True) is None:
        place = f" in {parent}" if parent else ""
        problem = f"it has no key '{key}'; its keys{place} are {', '.join(group) or 'none'}"
        raise BadFileError(path, problem, cure=f"give a file that has it: {columns}")
    found = dataset(path, file, key)
    shape = found.shape or ()
    pairs = zip(shape[1:], least, strict=False)
    fits = len(shape) == 1 + len(least) and all(here >= wanted for here, wanted in pairs)
    if not fits or found.dtype.kind not in "fiu":
        problem = f"the shape is {shape}, type {found.dtype}"
        raise BadFileError(path, problem, branch=key, cure=f"store numbers: {columns}")
    return found


def check_as_long(path: Path, key: str, found: Any, other: str, rows: int) -> None:
    """Refuse a data set of another number of rows than that of `other`."""
    if len(found) != rows:
        problem = f"it has {len(found):,} rows, {other} has {rows:,}"
        raise BadFileError(path, problem, branch=key, cure=FETCH_AGAIN)


def rows_per_chunk(found: Any) -> int:
    """Return the number of rows that are compressed together; 1 where nothing is."""
    return int(found.chunks[0]) if found.chunks else 1


def check_whole(path: Path, key: str, found: Any) -> None:
    """Refuse a data set of which parts were never written: they would be read as zeros."""
    if not found.size:
        return
    with refusing(path, "the file is damaged", branch=key, cure=FETCH_AGAIN):
        if found.chunks:
            grid = zip(found.shape, found.chunks, strict=True)
            declared = math.prod(-(-extent // chunk) for extent, chunk in grid)
            held = found.id.get_num_chunks()
        else:
            declared, held = found.nbytes, found.id.get_storage_size()
    if held < declared:
        unit = "chunks" if found.chunks else "bytes"
        problem = f"it declares {declared:,} {unit} and holds {held:,}"
        raise BadFileError(path, problem, branch=key, cure=FETCH_AGAIN)


def one_value_each(file: Any, entries: int, known: tuple[str, ...]) -> list[str]:
    """Return the data sets, besides the known ones, with one number or text per event."""
    found = []
    for key in file:
        link = file.get(key, getlink=True)
        if key in known or not isinstance(link, h5py.HardLink):
            continue
        values = file[key]
        if isinstance(values, h5py.Dataset) and values.shape in ((entries,), (entries, 1)):
            text = h5py.check_string_dtype(values.dtype) is not None
            if (text or values.dtype.kind in "biuf") and not (values.external or values.is_virtual):
                found.append(str(key))
    return found


def plain_values(path: Path, file: Any, key: str, start: int, stop: int) -> np.ndarray:
    """Return entries of such a data set as they are; texts as str."""
    found = dataset(path, file, key)
    with refusing(path, f"entries {start} to {stop} are damaged", branch=key, cure=FETCH_AGAIN):
        if h5py.check_string_dtype(found.dtype) is not None:
            found = found.asstr(errors="replace")
        return np.asarray(found[start:stop]).reshape(stop - start)


def provenance(path: Path, file: Any) -> dict[str, Any] | None:
    """Return the JSON object that `keep_provenance` wrote; None if there is none."""
    if PROVENANCE not in file.attrs:
        return None
    with refusing(path, "the provenance is no JSON", branch=PROVENANCE, cure=FETCH_AGAIN):
        parsed = json.loads(file.attrs[PROVENANCE])
    if not isinstance(parsed, dict):
        problem = f"the provenance is {type(parsed).__name__}, not an object"
        raise BadFileError(path, problem, branch=PROVENANCE, cure=FETCH_AGAIN)
    return parsed


def keep_provenance(file: Any, about: Mapping[str, Any]) -> None:
    """Write the provenance (JSON types) into an open file."""
    file.attrs[PROVENANCE] = json.dumps(about, sort_keys=True)


def _elsewhere(path: Path, key: str, what: str) -> BadFileError:
    cure = "copy the content into one file, for example with h5repack"
    return BadFileError(path, f"it is {what}", branch=key, cure=cure)


def _check_filters(path: Path, key: str, found: Any) -> None:
    settings = found.id.get_create_plist()
    for number in range(settings.get_nfilters()):
        code, _, _, name = settings.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            label = name.decode(errors="replace").strip("\0 ") or "without a name"
            raise BadFileError(
                path,
                f"it is compressed with filter {code} ({label}), which is not installed",
                branch=key,
                cure="install the filter (pip install hdf5plugin), or store the file with gzip",
            )
