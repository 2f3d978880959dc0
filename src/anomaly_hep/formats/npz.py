"""Arrays of an npz archive, read without pickle and without trusting the sizes it declares."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import Shaped
from numpy.lib import format as npy

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats.checks import FETCH_AGAIN, check_file, refusing
from anomaly_hep.formats.memory import check_declared, check_fits

MAGIC = b"PK\x03\x04"


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the archive; whatever is raised inside means a damaged file."""
    check_file(path, MAGIC, "npz")
    with refusing(path, "cannot be read", cure=FETCH_AGAIN), zipfile.ZipFile(path) as archive:
        _check_members(path, archive)
        yield archive


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    """Raise BadZipFile for a damaged list of members, which has no checksum of its own.

    Each name stands twice, and opening a member compares both. Members follow each other without a
    gap in which one that is not listed could be; behind one may be a descriptor of 24 bytes.
    """
    end = 0
    with path.open("rb") as file:
        for member in sorted(archive.infolist(), key=lambda member: member.header_offset):
            archive.open(member).close()
            file.seek(member.header_offset + 26)
            name, extra = struct.unpack("<HH", file.read(4))
            if not end <= member.header_offset <= end + 24:
                raise zipfile.BadZipFile(f"there is a gap before {member.filename}")
            end = member.header_offset + 30 + name + extra + member.compress_size
    if archive.start_dir > end + 24:
        raise zipfile.BadZipFile("there is a gap before the list of members")


def names(archive: zipfile.ZipFile) -> list[str]:
    """Return the names of the arrays."""
    return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


@contextmanager
def array(
    path: Path, archive: zipfile.ZipFile, key: str
) -> Iterator[tuple[IO[bytes], tuple[int, ...], np.dtype[Any], bool]]:
    """Yield one array, open after its header, with shape, dtype and whether in Fortran order."""
    with archive.open(f"{key}.npy") as member:
        version = npy.read_magic(member)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = header(member)
        if dtype.hasobject:  # never unpickled
            raise BadFileError(
                path,
                "the array holds pickled Python objects, which could run any code when read",
                branch=key,
                cure="store numbers: np.savez_compressed of float arrays",
            )
        if any(extent < 0 for extent in shape):
            raise BadFileError(path, f"its shape is {shape}", branch=key, cure=FETCH_AGAIN)
        yield member, shape, dtype, fortran


def column(
    path: Path, archive: zipfile.ZipFile, key: str, entries: int
) -> Shaped[np.ndarray, " event"]:
    """Return an array with one value per event, of shape (entries,) or (entries, 1)."""
    with array(path, archive, key) as (member, shape, dtype, _):
        if shape not in ((entries,), (entries, 1)):
            raise BadFileError(
                path,
                f"shape {shape} for {entries} images",
                branch=key,
                cure="store one value an image",
            )
        check_declared(path, entries * dtype.itemsize, key)
        check_fits(path, entries * dtype.itemsize, key)
        content = member.read(entries * dtype.itemsize)
        left = member.read(1)  # zipfile compares the checksum at the end of the member
    if len(content) < entries * dtype.itemsize or left:
        raise BadFileError(path, "its size is not that of its shape", branch=key, cure=FETCH_AGAIN)
    return np.frombuffer(content, dtype)


def columns_of_events(
    path: Path, archive: zipfile.ZipFile, entries: int, known: Sequence[str]
) -> list[str]:
    """Return the arrays besides the known ones that have one value, number or text, per event."""
    found = []
    for key in names(archive):
        if key in known:
            continue
        with array(path, archive, key) as (_, shape, dtype, _):
            if shape in ((entries,), (entries, 1)) and dtype.kind in "biufU":
                found.append(key)
    return found
