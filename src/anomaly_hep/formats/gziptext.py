"""Text files that may be plain, gzip or zip; provenance in the comment of a gzip header."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats.checks import FETCH_AGAIN, refusing

MAGIC = b"\x1f\x8b"
_COMMENT = 16  # flag of the header, RFC 1952
_HEADER = struct.Struct("<2sBBIBB")
_LONGEST = 2**20  # bytes of a comment that is read


def texts(archive: zipfile.ZipFile) -> list[str]:
    """Return the members of a zip archive that are text by their names."""
    return [name for name in archive.namelist() if name.endswith((".csv", ".txt"))]


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """Open the text of a file for reading bytes; whatever is raised inside means a damaged file.

    Raises BadFileError for a zip archive that does not hold exactly one text.
    """
    with refusing(path, "the file is damaged", cure=FETCH_AGAIN):
        with path.open("rb") as plain:
            head = plain.read(4)
        if head.startswith(MAGIC):
            with gzip.open(path) as file:
                yield file
        elif head.startswith(b"PK"):
            with zipfile.ZipFile(path) as archive:
                members = texts(archive)
                if len(members) != 1:
                    raise BadFileError(
                        path,
                        f"the archive holds {len(members)} texts",
                        cure="unpack it, or pack each text into an archive of its own",
                    )
                with archive.open(members[0]) as member:
                    yield member
        else:
            with path.open("rb") as plain:
                yield plain


def comment(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in the comment of a gzip header; None if there is none."""
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
        if not head.startswith(MAGIC) or len(head) < _HEADER.size or head[3] != _COMMENT:
            return None
        text, _, rest = file.read(_LONGEST).partition(b"\0")
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if rest and isinstance(found, dict) else None


@contextmanager
def writer(path: Path, provenance: Mapping[str, Any] | None) -> Iterator[Callable[[bytes], None]]:
    """Yield a function that appends bytes to a gzip file; the same bytes give the same file."""
    about = b"" if provenance is None else json.dumps(provenance, sort_keys=True).encode("ascii")
    compressor = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    size, check = 0, 0
    with path.open("wb") as file:
        # no time and no name, so that the bytes depend on the content alone; 255: any system
        file.write(_HEADER.pack(MAGIC, 8, _COMMENT if about else 0, 0, 0, 255))
        if about:
            file.write(about + b"\0")

        def put(content: bytes) -> None:
            nonlocal size, check
            size, check = size + len(content), zlib.crc32(content, check)
            file.write(compressor.compress(content))

        yield put
        file.write(compressor.flush() + struct.pack("<II", check, size % 2**32))
