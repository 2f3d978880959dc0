"""The numbers of rows and values that the footer of a Parquet file declares.

pyarrow has them too, but asking it about a damaged column ends the process in C++
(`RowGroupMetaData.column`, seen in pyarrow 25). The footer is a Thrift structure in the compact
protocol; its fields are those of parquet.thrift.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# types of the compact protocol; 11 is a map, which Parquet does not have
_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET = range(11)
_STRUCT = 12
_ROW_GROUPS = 4  # of FileMetaData
_COLUMNS, _ROWS = 1, 3  # of RowGroup
_META_DATA = 3  # of ColumnChunk
_PATH, _VALUES = 3, 5  # of ColumnMetaData


@dataclass(frozen=True)
class Declared:
    """A column in a group of rows: its name, and how many rows and values there are."""

    name: str
    rows: int
    values: int


def declared(path: Path) -> list[Declared]:
    """Return what the footer of a file declares; a damaged one raises any exception."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(size - 8)
        length = int.from_bytes(file.read(4), "little")
        if not 0 < length <= size - 8:
            raise ValueError(f"the footer has {length} bytes")
        file.seek(size - 8 - length)
        footer = _Footer(file.read(length))
    found: list[Declared] = []
    for field, kind in footer.fields():
        if field == _ROW_GROUPS:
            for _ in footer.items():
                found += _row_group(footer)
        else:
            footer.skip(kind)
    return found


def _row_group(footer: _Footer) -> list[Declared]:
    columns: list[tuple[str, int]] = []
    rows = 0
    for field, kind in footer.fields():
        if field == _COLUMNS:
            columns += [_column(footer) for _ in footer.items()]
        elif field == _ROWS:
            rows = footer.integer()
        else:
            footer.skip(kind)
    return [Declared(name, rows, values) for name, values in columns]


def _column(footer: _Footer) -> tuple[str, int]:
    name, values = "", 0
    for field, kind in footer.fields():
        if field != _META_DATA:
            footer.skip(kind)
            continue
        for inner, inner_kind in footer.fields():
            if inner == _PATH:
                parts = [footer.binary().decode("utf-8", "replace") for _ in footer.items()]
                name = ".".join(parts).split(".")[0]
            elif inner == _VALUES:
                values = footer.integer()
            else:
                footer.skip(inner_kind)
    return name, values


class _Footer:
    """Thrift's compact protocol, read from the front; its bytes bound every loop."""

    def __init__(self, content: bytes) -> None:
        self._content, self._place = content, 0

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._content[self._place]
            self._place += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def integer(self) -> int:
        """Return a signed integer."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def binary(self) -> bytes:
        """Return bytes, or a text."""
        length = self._varint()
        self._place += length
        if self._place > len(self._content):
            raise ValueError("the footer ends early")
        return self._content[self._place - length : self._place]

    def fields(self) -> Iterator[tuple[int, int]]:
        """Yield number and type of each field of a structure; each must be read or skipped."""
        number = 0
        while (head := self._content[self._place]) != _STOP:
            self._place += 1
            number = number + (head >> 4) if head >> 4 else self.integer()
            yield number, head & 0x0F
        self._place += 1

    def items(self) -> Iterator[int]:
        """Yield the type of each item of a list; each must be read or skipped."""
        head = self._content[self._place]
        self._place += 1
        number = head >> 4 if head >> 4 < 15 else self._varint()
        if number > len(self._content) - self._place:
            raise ValueError(f"the footer has a list of {number} items")
        for _ in range(number):
            yield head & 0x0F

    def skip(self, kind: int, *, in_list: bool = False) -> None:
        """Skip a value of a type."""
        if kind in (_TRUE, _FALSE):
            self._place += in_list  # in a structure, the type is the value
        elif kind == _BYTE:
            self._place += 1
        elif kind in (_I16, _I32, _I64):
            self._varint()
        elif kind == _DOUBLE:
            self._place += 8
        elif kind == _BINARY:
            self.binary()
        elif kind in (_LIST, _SET):
            for item in self.items():
                self.skip(item, in_list=True)
        elif kind == _STRUCT:
            for _, field in self.fields():
                self.skip(field)
        else:
            raise ValueError(f"the footer has a value of type {kind}")
