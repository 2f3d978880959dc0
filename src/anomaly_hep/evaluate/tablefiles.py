"""Write a table of events piece by piece, in the format that the file's suffix names."""

from __future__ import annotations

import errno
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import uproot

from anomaly_hep.errors import ConfigError

TREE = "scores"
_MARGIN_BYTES = 2**20


class TableFile(ABC):
    """A file that tables of one schema are appended to. `remarks` says what it cannot hold."""

    title: ClassVar[str]
    holds_text: ClassVar[bool] = True

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.remarks = [
            f"column '{field.name}' is left out: a {self.title} file holds numbers alone here"
            for field in schema
            if not self._holds(field)
        ]
        self.names = [field.name for field in schema if self._holds(field)]
        self.schema = pa.schema([schema.field(name) for name in self.names])
        self._open(path)

    def _holds(self, field: pa.Field) -> bool:
        return self.holds_text or not _is_text(field.type)

    @abstractmethod
    def _open(self, path: Path) -> None:
        """Open the file for `self.schema`."""

    @abstractmethod
    def write(self, table: pa.Table) -> None:
        """Append a table that has the columns of the schema."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file."""


class ArrowTable(TableFile):
    """A format that Arrow writes: texts and missing values are kept as they are."""

    @abstractmethod
    def _writer_of(self, path: Path) -> Any:
        """Return Arrow's writer for `self.schema`."""

    def _open(self, path: Path) -> None:
        self._writer = self._writer_of(path)

    def write(self, table: pa.Table) -> None:
        """Append a table."""
        self._writer.write_table(table.select(self.names).cast(self.schema))

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


class ParquetTable(ArrowTable):
    """Parquet, with page checksums."""

    title: ClassVar[str] = "Parquet"

    def _writer_of(self, path: Path) -> Any:
        return pyarrow.parquet.ParquetWriter(path, self.schema, write_page_checksum=True)


class CsvTable(ArrowTable):
    """CSV with a line of names; missing values are empty."""

    title: ClassVar[str] = "CSV"

    def _writer_of(self, path: Path) -> Any:
        return pyarrow.csv.CSVWriter(path, self.schema)


class Hdf5Table(TableFile):
    """HDF5 with one data set per column; missing numbers become NaN."""

    title: ClassVar[str] = "HDF5"

    def _open(self, path: Path) -> None:
        self._path = path
        self._check_space(0)
        self._file = h5py.File(path, "w")
        for field in self.schema:
            kind: Any = h5py.string_dtype() if _is_text(field.type) else _number(field)
            self._file.create_dataset(
                field.name, (0,), kind, maxshape=(None,), chunks=(4096,), compression="gzip"
            )

    def write(self, table: pa.Table) -> None:
        """Append a table."""
        self._check_space(table.nbytes)
        for name in self.names:
            data = self._file[name]
            start = len(data)
            data.resize(start + len(table), axis=0)
            if len(table):
                data[start:] = _plain(name, table[name], data.dtype)

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    def _check_space(self, needed: int) -> None:
        """Raise OSError before the disk is full: HDF5 would end the process in C."""
        if shutil.disk_usage(self._path.parent).free < needed + _MARGIN_BYTES:
            raise OSError(errno.ENOSPC, "No space left on device", str(self._path))


class RootTable(TableFile):
    """A TTree 'scores', to be the friend of the tree that was scored; it holds numbers alone."""

    title: ClassVar[str] = "ROOT"
    holds_text: ClassVar[bool] = False

    def _open(self, path: Path) -> None:
        self._file = uproot.recreate(path)
        self._kinds = {field.name: _number(field) for field in self.schema}
        self._tree = self._file.mktree(TREE, self._kinds)

    def write(self, table: pa.Table) -> None:
        """Append a table."""
        if len(table):
            self._tree.extend({n: _plain(n, table[n], k) for n, k in self._kinds.items()})

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


WRITERS: dict[str, type[TableFile]] = {
    ".parquet": ParquetTable,
    ".csv": CsvTable,
    ".h5": Hdf5Table,
    ".hdf5": Hdf5Table,
    ".root": RootTable,
}


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _number(field: pa.Field) -> np.dtype[Any]:
    """Return the numpy type of a column."""
    return np.dtype(field.type.to_pandas_dtype())


def _plain(name: str, column: pa.ChunkedArray, kind: np.dtype[Any]) -> np.ndarray:
    """Return a column as numpy; a missing float is NaN, and a missing integer refused."""
    if _is_text(column.type):
        texts = [value or "" for value in column.to_pylist()]
        if any("\0" in text for text in texts):
            raise ConfigError(
                f"a text of column '{name}' has a zero byte, which HDF5 cannot hold. Cure: "
                "output=NAME.parquet, or choose the columns with carry=[...]"
            )
        return np.array(texts, object)
    if column.null_count and kind.kind != "f":
        raise ConfigError(
            f"column '{name}' has missing values, which this format cannot say of {kind}. Cure: "
            "output=NAME.parquet, or choose the columns with carry=[...]"
        )
    values: np.ndarray = column.to_numpy()
    return values.astype(kind)
