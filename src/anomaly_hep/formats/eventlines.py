"""Lines of text with one event each, `a;b;c;d;e;type,E,pt,eta,phi;...`, to columns.

Both the five fields at the beginning of a line and an object have five values. So the text becomes
a table of five columns by the exchange of single bytes, which pyarrow then reads at once.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from jaxtyping import Bool, Int64, UInt8

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import gziptext
from anomaly_hep.formats.checks import FETCH_AGAIN

OBJECT = re.compile(r"[^;,\s]+")  # a type or the name of a process
_HEADER = re.compile(rb"([A-Za-z_]+);[A-Za-z_]")
_BLOCK_BYTES = 2**22
_LONGEST_LINE = 2**24  # bytes
_FIELDS = ("event", "process", "weight", "MET", "METphi")
_VALUES = ("type", "E", "pt", "eta", "phi")
_NEWLINE, _COMMA, _SEMICOLON = b"\n,;"
_WHERE = "mend that line, or leave the file out (data.on_bad_file=skip)"


def parsed(
    path: Path, types: Mapping[str, int], schema: pa.Schema, unit: float
) -> Iterator[pa.Table]:
    """Yield the events of a text in tables of the schema; momenta are divided by `unit`.

    `types` are the codes of object types. The schema has lists of type, energy, pT, eta and phi,
    then number, process, weight, missing momentum and its phi. Memory does not grow with the file.
    Raises BadFileError with the line, from 1 on, for one that is no event.
    """
    first, seen = 1, 0
    for block in _blocks(path):
        table = _Block(path, block, first).table(types, schema, unit)
        first += block.count(b"\n")
        seen += len(table)
        yield table
    if not seen:
        raise BadFileError(path, "it holds no event", cure=FETCH_AGAIN)


def _blocks(path: Path) -> Iterator[bytes]:
    """Yield the text in parts of whole lines, each with a single \\n at its end."""
    rest = b""
    with gziptext.opened(path) as file:
        while part := file.read(_BLOCK_BYTES):
            end = part.rfind(b"\n") + 1
            if not end and len(rest) > _LONGEST_LINE:
                break
            if end:
                yield _clean(rest + part[:end])
                rest = b""
            rest += part[end:]
    if rest.strip():
        what = f"begins {rest[:40].decode('ascii', 'replace')!r}"
        raise BadFileError(
            path,
            f"the last line has no end ({what}): the file is cut, or its last line end was lost",
            cure=f"fetch it again; if it is whole, add the line end: echo >> {path.name}",
        )


def _clean(text: bytes) -> bytes:
    """Return the text without blanks and Windows' line ends."""
    for blank in (b"\r", b" ", b"\t"):
        if blank in text:
            text = text.replace(blank, b"")
    return text


@dataclass(frozen=True, eq=False)
class _Block:
    """Whole lines of a text; `first` is the number of the first of them."""

    path: Path
    text: bytes
    first: int

    def table(self, types: Mapping[str, int], schema: pa.Schema, unit: float) -> pa.Table:
        if self.first == 1 and (name := _HEADER.match(self.text)):
            problem = f"event is {name[1].decode()!r}: it is a header"
            raise self._error(0, problem, "remove that line")
        data = np.frombuffer(self.text, np.uint8)
        signs = np.flatnonzero((data == _COMMA) | (data == _SEMICOLON) | (data == _NEWLINE))
        sign = data[signs]
        end = np.flatnonzero(sign != _COMMA)  # of each field or object
        ends, commas = signs[end], np.diff(end, prepend=-1) - 1
        last = sign[end] == _NEWLINE  # of its line
        number = np.flatnonzero(last)
        length = np.diff(number, prepend=-1)
        line = np.repeat(np.arange(len(length)), length)
        place = np.arange(len(end)) - np.repeat(number - length + 1, length)
        filled = np.diff(ends, prepend=-1) > 1
        # a line without any text is no event
        head = (place < len(_FIELDS)) & (filled | ~last | (place > 0))
        self._check(ends, commas, head, filled, line)
        objects = np.bincount(line[filled & ~head], minlength=len(length))
        objects = objects[np.bincount(line[head], minlength=len(length)) > 0]
        return self._events(self._read(data, ends, place), objects, types, schema, unit)

    def _check(
        self,
        ends: Int64[np.ndarray, " token"],
        commas: Int64[np.ndarray, " token"],
        head: Bool[np.ndarray, " token"],
        filled: Bool[np.ndarray, " token"],
        line: Int64[np.ndarray, " token"],
    ) -> None:
        """Refuse lines with too few fields, and objects with another number of values than five."""
        fields = np.bincount(line[head & filled], minlength=int(line[-1]) + 1)
        blank = np.bincount(line[head], minlength=len(fields)) == 0
        if (short := (fields < len(_FIELDS)) & ~blank).any():
            number = int(np.argmax(short))
            raise self._error(number, self._short(number, int(fields[number])))
        wrong = filled & (commas != np.where(head, 0, len(_VALUES) - 1))
        if wrong.any():
            token = int(np.argmax(wrong))
            begin = int(ends[token - 1]) + 1 if token else 0
            text = self.text[begin : ends[token]][:60].decode("ascii", "replace")
            problem = f"{text!r} has {commas[token] + 1} values"
            one = "one" if head[token] else f"the five {', '.join(_VALUES)}"
            raise self._error(int(line[token]), f"{problem} instead of {one}")

    def _short(self, number: int, fields: int) -> str:
        """Return what is wrong with a line of too few fields."""
        text = self.text.split(b"\n", number + 1)[number].decode("ascii", "replace")
        if fields == 1 and len(parts := re.split(r"[,|:]", text)) >= len(_FIELDS):
            sign = text[len(parts[0])]
            return f"its fields are separated by {sign!r} instead of ';' (and values by ',')"
        return f"it has {fields} of the fields {', '.join(_FIELDS)}"

    def _read(
        self,
        data: UInt8[np.ndarray, " byte"],
        ends: Int64[np.ndarray, " token"],
        place: Int64[np.ndarray, " token"],
    ) -> list[pa.Array]:
        """Return the five columns of the table that begins and objects of lines make."""
        rows = data.copy()
        inside = (place < len(_FIELDS) - 1) & (data[ends] == _SEMICOLON)
        rows[ends] = np.where(inside, _COMMA, _NEWLINE)
        names = [str(i) for i in range(len(_VALUES))]
        kinds = [pa.string(), pa.string(), *[pa.float64()] * 3]
        try:
            table = pa.csv.read_csv(
                io.BytesIO(rows.tobytes()),
                pa.csv.ReadOptions(
                    use_threads=True, block_size=max(len(rows) // 4, 2**20), column_names=names
                ),
                pa.csv.ParseOptions(quote_char=False, ignore_empty_lines=True),
                pa.csv.ConvertOptions(
                    column_types=dict(zip(names, kinds, strict=True)),
                    null_values=[],
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid as error:
            raise self._no_number() or self._error(0, str(error)) from error
        return [column.combine_chunks() for column in table.columns]

    def _events(
        self,
        columns: list[pa.Array],
        objects: Int64[np.ndarray, " event"],
        types: Mapping[str, int],
        schema: pa.Schema,
        unit: float,
    ) -> pa.Table:
        sizes = objects + 1
        is_head = np.zeros(int(sizes.sum()), bool)
        is_head[np.cumsum(sizes) - sizes] = True
        heads, rows = pa.array(np.flatnonzero(is_head)), pa.array(np.flatnonzero(~is_head))
        numbers, process, weight, met, met_phi = (column.take(heads) for column in columns)
        kind, energy, pt, eta, phi = (column.take(rows) for column in columns)
        code = pc.index_in(kind, pa.array(list(types)))
        if code.null_count or pc.any(pc.equal(kind, "")).as_py():
            raise self._unknown(types)
        codes = np.array(list(types.values()))[code.to_numpy(zero_copy_only=False)]
        try:
            energy, numbers = energy.cast(pa.float64()), numbers.cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise self._no_number() or self._error(0, str(error)) from error
        edges = pa.array(np.concatenate([np.zeros(1, np.int64), np.cumsum(objects)]), pa.int32())
        values = [pa.array(codes), *(_scaled(c, unit) for c in (energy, pt)), eta, phi]
        lists = [
            pa.ListArray.from_arrays(edges, column.cast(field.type.value_type), type=field.type)
            for column, field in zip(values, schema, strict=False)
        ]
        ones = [numbers, process, weight, _scaled(met, unit), met_phi]
        fields = list(schema)[len(lists) :]
        ones = [column.cast(field.type) for column, field in zip(ones, fields, strict=True)]
        return pa.Table.from_arrays([*lists, *ones], schema=schema)

    def _lines(self) -> Iterator[tuple[int, list[list[str]]]]:
        """Yield the lines as lists of the values of their fields, with their numbers from 0 on."""
        for number, text in enumerate(self.text.decode("ascii", "replace").splitlines()):
            tokens = text.split(";")
            if text:
                rest = [token.split(",") for token in tokens[len(_FIELDS) :] if token]
                yield number, [tokens[: len(_FIELDS)], *rest]

    def _no_number(self) -> BadFileError | None:
        """Return the error for the first value that is no number; None if all are."""
        for number, (head, *objects) in self._lines():
            named = [(_FIELDS[i], head[i]) for i in (0, 2, 3, 4)]
            named += [(_VALUES[i], values[i]) for values in objects for i in range(1, 5)]
            for name, text in named:
                try:
                    _ = int(text) if name == _FIELDS[0] else float(text)
                except ValueError:
                    return self._error(number, f"{name} is {text!r}, which is no number")
        return None

    def _unknown(self, types: Mapping[str, int]) -> BadFileError:
        for number, (_, *objects) in self._lines():
            for kind, *_ in objects:
                if kind not in types:
                    known = ", ".join(types)
                    return self._error(number, f"{kind!r} is no type of an object ({known})")
        return self._error(0, "an object has no type")

    def _error(self, number: int, problem: str, cure: str = _WHERE) -> BadFileError:
        return BadFileError(self.path, f"line {self.first + number}: {problem}", cure=cure)


def _scaled(column: pa.Array, unit: float) -> pa.Array:
    return pc.divide(column, unit)
