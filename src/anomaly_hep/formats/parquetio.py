"""Read and write Parquet files of numbers and lists as flat arrays, in constant memory."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64, Shaped

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats.checks import (
    FETCH_AGAIN,
    FIX_VALUES,
    check_file,
    check_lengths,
    check_range,
    missing_branch,
    refusing,
)
from anomaly_hep.formats.kept import Kept
from anomaly_hep.formats.layout import Layout
from anomaly_hep.formats.memory import check_declared, check_fits
from anomaly_hep.formats.parquetfooter import declared
from anomaly_hep.types import Events

MAGIC = b"PAR1"
ROWS_PER_BATCH = 1000
READ_BUFFER_BYTES = 2**16
CHECKSUM = "anomaly_hep_checksum"
_VALUE_BYTES = 8  # of a decoded number, at most
_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
_TEXTS = (pa.types.is_string, pa.types.is_large_string)


class RowStream:
    """Some columns of one file, decoded batch by batch; going back restarts a row group."""

    def __init__(self, path: Path, columns: tuple[str, ...], *, numbers: bool = True) -> None:
        """`numbers`: whether all columns must hold numbers, or lists of numbers."""
        check_file(path, MAGIC, "Parquet")
        self.path, self.columns = path, columns
        with refusing(path, "the file is damaged or truncated", cure=FETCH_AGAIN):
            # A read-ahead buffer would hold whole column chunks of a row group.
            self._file = pq.ParquetFile(
                path,
                buffer_size=READ_BUFFER_BYTES,
                pre_buffer=False,
                page_checksum_verification=True,
            )
            self.schema = self._file.schema_arrow
            groups = map(self._file.metadata.row_group, range(self._file.num_row_groups))
            rows = [group.num_rows for group in groups]
            self._check_metadata()
            self._check_columns(columns, numbers)
            self._check_sizes()
        self._edges = np.cumsum([0, *rows])
        self.rows = int(self._edges[-1])
        self._seek(0)

    def _check_metadata(self) -> None:
        """Refuse damaged names and texts of our own files: Parquet has no checksum for them."""
        texts = dict(self.schema.metadata or {})
        written = texts.pop(CHECKSUM.encode(), None)
        names = self.schema.names
        # with columns more or less it is a user's file, made from one of ours
        if written is None or written.split(b":")[0] != str(len(names)).encode():
            return
        if written.decode("ascii", "replace") != _checksum(names, texts):
            problem = "the checksum of its names and texts does not fit them"
            raise BadFileError(self.path, problem, cure=FETCH_AGAIN)

    def _check_columns(self, columns: Sequence[str], numbers: bool) -> None:
        names = self.schema.names
        for name in columns:
            if name not in names:
                raise missing_branch(self.path, name, names)
            if names.count(name) > 1:
                problem = "there are several columns of this name"
                raise BadFileError(self.path, problem, branch=name, cure="give them other names")
            if numbers:
                _check_type(self.path, name, self.schema.field(name).type)

    def _check_sizes(self) -> None:
        """Refuse columns whose decoded values would not fit: a few bytes can stand for millions."""
        for chunk in declared(self.path):
            if chunk.name in self.columns:
                size = chunk.values * _VALUE_BYTES
                check_declared(self.path, size, chunk.name)
                rows = min(ROWS_PER_BATCH, chunk.rows)
                check_fits(self.path, size * rows // max(chunk.rows, 1), chunk.name)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def json_object(self, key: str) -> dict[str, Any] | None:
        """Return the JSON object in the file's metadata under `key`, None if there is none."""
        text = (self.schema.metadata or {}).get(key.encode())
        with refusing(self.path, f"'{key}' is damaged", cure=FETCH_AGAIN):
            return None if text is None else dict(json.loads(text))

    def batches(self, start: int, stop: int) -> Iterator[pa.RecordBatch]:
        """Yield rows `start` to `stop` as record batches, in order."""
        in_later_group = self._group(start) > self._group(self._first + self._batch.num_rows)
        if start < self._first or in_later_group:
            self._seek(self._group(start))
        while start < stop:
            skip = start - self._first
            if skip >= self._batch.num_rows:
                self._advance()
                continue
            batch = self._batch.slice(skip, stop - start)
            start += batch.num_rows
            yield batch

    def _group(self, row: int) -> int:
        return int(np.searchsorted(self._edges, row, side="right")) - 1

    def _seek(self, group: int) -> None:
        groups = range(group, self._file.num_row_groups)
        self._first, self._batch = int(self._edges[group]), pa.RecordBatch.from_pylist([])
        self._stream = self._file.iter_batches(
            ROWS_PER_BATCH, row_groups=groups, columns=list(self.columns), use_threads=False
        )

    def _advance(self) -> None:
        self._first += self._batch.num_rows
        with refusing(self.path, f"the data from row {self._first} are damaged", cure=FETCH_AGAIN):
            self._batch = next(self._stream)


def _checksum(names: Sequence[str], texts: Mapping[bytes, bytes]) -> str:
    """Return the number of columns and a CRC-32 of their names and of the file's own texts."""
    ours = sorted((key, text) for key, text in texts.items() if key != b"ARROW:schema")
    return f"{len(names)}:{zlib.crc32(repr((list(names), ours)).encode())}"


# Each stream holds the decoders of its columns, some MB.
_streams = Kept[RowStream](limit=4, close=RowStream.close)


def describe(path: Path, metadata_key: str) -> tuple[int, dict[str, Any] | None, tuple[str, ...]]:
    """Return the number of rows, the JSON object under the metadata key, and all column names."""
    with _streams.use(path, (), make=lambda: RowStream(path, ())) as stream:
        return stream.rows, stream.json_object(metadata_key), tuple(stream.schema.names)


def read_events(
    path: Path, start: int, stop: int, columns: Sequence[str], layout: Layout
) -> Events:
    """Return rows `start` to `stop` of `columns`, in the types of `layout`.

    Raises BadFileError with the column and the absolute row for content that is no such column.
    """
    wanted = tuple(columns)
    if not any(name in layout.particles for name in wanted):
        wanted = (*wanted, next(iter(layout.particles)))  # only for the lengths
    with _streams.use(path, wanted, make=lambda: RowStream(path, wanted)) as stream:
        check_range(path, start, stop, stream.rows)
        batches = list(stream.batches(start, stop))
        table = pa.Table.from_batches(batches, pa.schema([stream.schema.field(n) for n in wanted]))
    particles: dict[str, Shaped[np.ndarray, " particle"]] = {}
    events: dict[str, Shaped[np.ndarray, " event"]] = {}
    lengths: dict[str, Int64[np.ndarray, " event"]] = {}
    for name in wanted:
        values, own_lengths = _column(path, name, table[name].combine_chunks(), start)
        layout.check_shape(path, name, own_lengths is not None)
        values = layout.convert(path, name, values)
        if own_lengths is None:
            events[name] = values
        else:
            particles[name], lengths[name] = values, own_lengths
    check_lengths(path, lengths, start)
    return Events(
        next(iter(lengths.values())), {n: v for n, v in particles.items() if n in columns}, events
    )


def stored(path: Path, start: int, stop: int, columns: Sequence[str]) -> dict[str, pa.Array]:
    """Return rows of those columns that have one number or text each, as stored, also nulls."""
    with _streams.use(path, (), make=lambda: RowStream(path, ())) as described:
        names = described.schema.names
        once = [name for name in columns if names.count(name) == 1]
        plain = tuple(n for n in once if _is_plain(described.schema.field(n).type))
    if not plain:
        return {}
    make = partial(RowStream, path, plain, numbers=False)
    with _streams.use(path, plain, "stored", make=make) as stream:
        schema = pa.schema([stream.schema.field(name) for name in plain])
        table = pa.Table.from_batches(list(stream.batches(start, stop)), schema)
    found = {name: table[name].combine_chunks() for name in plain}
    return {
        name: c.dictionary_decode() if pa.types.is_dictionary(c.type) else c
        for name, c in found.items()
    }


def _is_plain(dtype: pa.DataType) -> bool:
    """Return whether a column holds one number or text per row."""
    kind = dtype.value_type if pa.types.is_dictionary(dtype) else dtype
    return any(test(kind) for test in (*_NUMBERS, *_TEXTS))


def _column(
    path: Path, name: str, column: pa.Array, first_row: int
) -> tuple[Shaped[np.ndarray, " value"], Int64[np.ndarray, " event"] | None]:
    jagged = _is_list(column.type)
    content = column.flatten() if jagged else column
    if column.null_count or content.null_count:
        row = _first_null(column) if column.null_count else _first_null_list(column)
        raise BadFileError(
            path, "the value is null", branch=name, entry=first_row + row, cure=FIX_VALUES
        )
    values = content.to_numpy(zero_copy_only=False).copy()  # writable, for callers that change it
    lengths = np.diff(column.offsets.to_numpy()).astype(np.int64) if jagged else None
    return values, lengths


def _first_null(column: pa.Array) -> int:
    return int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))


def _first_null_list(column: pa.Array) -> int:
    edges = column.offsets.to_numpy() - column.offsets[0].as_py()
    return int(np.searchsorted(edges, _first_null(column.flatten()), side="right")) - 1


def _is_list(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_list(dtype) or pa.types.is_large_list(dtype))


def _check_type(path: Path, name: str, dtype: pa.DataType) -> None:
    content = dtype.value_type if _is_list(dtype) else dtype
    if pa.types.is_fixed_size_list(dtype):
        raise BadFileError(
            path,
            f"all its lists have the length {dtype.list_size}: events are padded or cut",
            branch=name,
            cure="store each event's own particles, as lists of their number",
        )
    if not any(test(content) for test in _NUMBERS):
        raise BadFileError(
            path,
            f"its type is {dtype}, which is neither a number nor a list of numbers",
            branch=name,
            cure="store float, int or bool, or a list of them",
        )


def write_events(
    path: Path, parts: Iterable[Events], layout: Layout, metadata: Mapping[str, str]
) -> int:
    """Write each part as one row group, with page checksums; return the number of rows."""
    fields = [
        pa.field(
            name, pa.list_(pa.field("item", pa.from_numpy_dtype(c.dtype), nullable=False)), False
        )
        for name, c in layout.particles.items()
    ] + [
        pa.field(n, pa.from_numpy_dtype(c.dtype), nullable=False) for n, c in layout.events.items()
    ]
    names = [field.name for field in fields]
    check = _checksum(names, {key.encode(): text.encode() for key, text in metadata.items()})
    schema = pa.schema(fields, metadata={**metadata, CHECKSUM: check})
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        for part in parts:
            edges = pa.array(part.offsets.astype(np.int32))
            columns = [
                pa.ListArray.from_arrays(
                    edges, pa.array(part.particles[n].astype(c.dtype)), type=schema.field(n).type
                )
                for n, c in layout.particles.items()
            ] + [pa.array(part.events[n].astype(c.dtype)) for n, c in layout.events.items()]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            rows += len(part)
    return rows
