"""A table of results and how it is printed: no word is cut, however narrow the terminal."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from anomaly_hep.evaluate.cells import NOTHING, Cell

# row names are wrapped to this width, unless one of their words is longer
_NAME_WIDTH = 26
_ASCII = str.maketrans(
    {
        "±": "+-",
        "−": "-",
        "–": "-",
        "→": "->",
        "′": "'",
        "×": "x",
        "≤": "<=",
        "ℓ": "l",
        "ν": "nu",
        "β": "beta",
        "χ": "chi",
        "τ": "tau",
        "μ": "mu",
    }
)
_PLAIN_BOX = box.Box("    \n    \n -- \n    \n -- \n -- \n    \n    \n", ascii=True)


@dataclass(frozen=True)
class Column:
    """The column of a signal or group mean: key of its cells, heading in one line and in two."""

    key: str
    text: str
    heading: str


@dataclass(frozen=True)
class Row:
    """A line of the section 'scores', 'baselines' or 'published'; the `chosen` one is in bold.

    A published row `beside` another belongs to the score or baseline above it.
    """

    name: str
    section: str
    cells: Mapping[str, Cell]
    chosen: bool = False
    beside: bool = False


@dataclass(frozen=True)
class ResultTable:
    """A table of results; rich prints it, split where the terminal is too narrow.

    `blocks` are the columns that a terminal shows together; if there are several, numbers are in
    their compact form. `also` are further tables under the same remarks.
    """

    title: str
    blocks: Sequence[Sequence[Column]]
    rows: Sequence[Row]
    remarks: Sequence[str]
    also: Sequence[ResultTable] = ()

    @property
    def columns(self) -> list[Column]:
        """All columns in their order."""
        return [column for block in self.blocks for column in block]

    def section(self, index: int) -> str:
        """Return the section of a row; a row beside another belongs to the other's."""
        while self.rows[index].beside:
            index -= 1
        return self.rows[index].section

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        plain_text = options.ascii_only or not console.is_terminal
        yield from _printed(self, options.max_width, ascii_only=plain_text)


def _printed(table: ResultTable, width: int, *, ascii_only: bool) -> Iterator[RenderableType]:
    """Yield a table and its remarks in lines of at most `width` characters."""
    say = to_ascii if ascii_only else str
    for part in (table, *table.also):
        yield Text(say(part.title), style="bold")
        for block in part.blocks:
            yield from _Block(part, ascii_only=ascii_only).split(block, width)
    if len(table.blocks) > 1:
        yield Text(say("79.2(18) is 79.2 ± 1.8, the larger side of the interval."), style="dim")
    for remark in table.remarks:
        yield Text(say(remark), style="dim")


def to_ascii(text: str) -> str:
    """Return a text in ASCII, for a pipe or a terminal that supports nothing else."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_ASCII))
    return decomposed.encode("ascii", "replace").decode()


class _Block:
    """Columns of one table that stand together where the width allows it."""

    def __init__(self, table: ResultTable, *, ascii_only: bool) -> None:
        self.table, self.ascii_only = table, ascii_only
        self.say = to_ascii if ascii_only else str

    def split(self, columns: Sequence[Column], width: int) -> Iterator[RenderableType]:
        """Yield the columns in as few parts, of about equal size, as the width allows."""
        widths = [self._width(column) for column in columns]
        most = width - max(widths, default=0) - 2
        names = [_wrapped(self.say(row.name), most) for row in self.table.rows]
        left = max((len(line) for name in names for line in name), default=0)
        each = next(
            (
                each
                for each in (ceil(len(columns) / parts) for parts in range(1, len(columns) + 1))
                if all(
                    left + sum(w + 2 for w in widths[start : start + each]) <= width
                    for start in range(0, len(columns), each)
                )
            ),
            1,
        )
        for start in range(0, len(columns), each):
            yield self._part(columns[start : start + each], names)
            yield Text()

    def _width(self, column: Column) -> int:
        texts = [self.say(column.heading), *(self._cell(row, column) for row in self.table.rows)]
        return max(len(line) for text in texts for line in text.split("\n"))

    def _cell(self, row: Row, column: Column) -> str:
        cell = row.cells.get(column.key, NOTHING)
        short = len(self.table.blocks) > 1
        return self.say(cell.short if short else f"{cell.value}\n{cell.spread}".rstrip("\n"))

    def _part(self, columns: Sequence[Column], names: Sequence[Sequence[str]]) -> Table:
        frame = _PLAIN_BOX if self.ascii_only else box.SIMPLE_HEAD
        part = Table(box=frame, padding=(0, 0, 0, 1), pad_edge=False, show_edge=False)
        part.add_column("", no_wrap=True)
        for column in columns:
            part.add_column(self.say(column.heading), justify="right", no_wrap=True)
        rows = self.table.rows
        for i, (row, name) in enumerate(zip(rows, names, strict=True)):
            ends = i + 1 == len(rows) or self.table.section(i + 1) != self.table.section(i)
            style = "bold" if row.chosen else "dim" if row.section == "published" else ""
            texts = [Text(self._cell(row, column)) for column in columns]
            part.add_row(Text("\n".join(name)), *texts, end_section=ends, style=style)
        return part


def _wrapped(name: str, most: int) -> list[str]:
    """Return a row's name in lines; words longer than `most` are cut only after a / = _ or ,"""
    indent = len(name) - len(name.lstrip())
    words = [
        piece
        for word in name.split()
        for piece in (
            [word] if len(word) <= most - indent else re.findall(r".[^/=_,]*[/=_,]*", word)
        )
    ]
    width = min(most, max([_NAME_WIDTH, *(len(word) + indent for word in words)]))
    return textwrap.wrap(
        " ".join(words),
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]
