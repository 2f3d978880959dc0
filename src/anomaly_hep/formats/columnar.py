"""A columnar copy of a text file, made once and kept beside it, with the hash of the text."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from anomaly_hep.atomic import atomic_path
from anomaly_hep.errors import ConfigError
from anomaly_hep.formats.kept import Kept
from anomaly_hep.formats.ledger import file_sha256

VERSION = 1  # of what parsers make of a text; another one makes copies anew
_KEY = b"anomaly_hep_source"
_ROWS = 20_000  # of a row group
_known = Kept[Path](limit=10_000)


def columnar(path: Path, parse: Callable[[], Iterable[pa.Table]], schema: pa.Schema) -> Path:
    """Return the columnar copy of a text file; `parse` gives its content where there is none yet.

    The copy is a hidden file beside the text, or, where nothing can be written there, one in the
    user's cache directory. It is used as long as it belongs to a text of the same SHA-256.
    """
    with _known.use(path, make=lambda: _made(path, parse, schema)) as copy:
        return copy if copy.exists() else _made(path, parse, schema)


def _made(path: Path, parse: Callable[[], Iterable[pa.Table]], schema: pa.Schema) -> Path:
    source = json.dumps([VERSION, file_sha256(path), schema.to_string()]).encode()
    places = (path.with_name(f".{path.name}.parquet"), _elsewhere(path))
    for copy in places:
        if _source(copy) == source:
            return copy
    refused: OSError | None = None
    for copy in places:
        try:
            with atomic_path(copy) as temporary:
                _write(temporary, parse(), schema.with_metadata({_KEY: source}))
            return copy
        except PermissionError as error:
            refused = error
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
            refused = error
    raise ConfigError(
        f"{path}: its columnar copy can be written neither beside it nor in {places[1].parent} "
        f"({refused}). Cure: set XDG_CACHE_HOME to a directory that can be written"
    )


_NOT_HERE = (30, 28, 122)  # read-only file system, no space, quota


def _elsewhere(path: Path) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    return cache / "anomaly_hep" / f"{name}-{path.name}.parquet"


def _source(copy: Path) -> bytes | None:
    """Return what a copy was made of; None if it is no copy, or damaged."""
    try:
        metadata: dict[bytes, bytes] = pq.read_schema(copy).metadata or {}
    except (OSError, ValueError, pa.ArrowException):
        return None
    return metadata.get(_KEY)


def _write(path: Path, tables: Iterable[pa.Table], schema: pa.Schema) -> None:
    # as quick to write as to read, at half of the text's size
    with pq.ParquetWriter(path, schema, compression="lz4", write_page_checksum=True) as writer:
        for table in tables:
            writer.write_table(table.cast(schema), row_group_size=_ROWS)
