"""The tables of a firmware run: as rows for its page, and on a console of any width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from anomaly_hep.evaluate.cells import NOTHING, Cell, percent
from anomaly_hep.evaluate.paper import load_paper
from anomaly_hep.fpga.summary import FirmwareSummary

# Columns of a console that the names of rows have at least.
_NAMES = 24
_NO_TIMING = (
    "Resources are estimates: nothing was placed or routed, and no vendor's tool has shown that "
    "the clock can be met (timing is not closed)."
)


class Grid(NamedTuple):
    """Headings, and rows of as many cells; the first cell of a row is its name."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]


def proof(summary: FirmwareSummary) -> Grid:
    """Return how each implementation compares, and its mean efficiency over the signals."""
    heads = ("implementation", "events", "exactly equal", "off by [LSB]", "decisions differ",
             "mean efficiency [%]")  # fmt: skip
    return Grid(
        heads,
        [
            [
                stage.implementation,
                *map(_count, (stage.events, stage.equal, stage.max_difference_lsb)),
                _count(stage.decision_flips),
                percent(*stage.mean_efficiency) if stage.mean_efficiency else NOTHING,
            ]
            for stage in summary.stages
        ],
    )


def efficiencies(summary: FirmwareSummary) -> Grid:
    """Return the signal efficiencies, in %, of the stages that differ in them."""
    paper = load_paper(summary.model.paper)
    signals = paper.ordered(summary.stages[0].efficiency)
    rows: list[list[str | Cell]] = []
    for stage in summary.stages:
        if set(signals) <= set(stage.efficiency):
            cells = [percent(*stage.efficiency[signal]) for signal in signals]
            if all(cells != row[1:] for row in rows):
                rows.append([stage.implementation.split(": ")[0], *cells])
    return Grid(["stage", *map(paper.text, signals)], rows)


def resources(summary: FirmwareSummary) -> Grid:
    """Return the resources by tool, and the latency in clocks and in time."""
    clock_ns = summary.design.clock_ns
    heads = ("tool", "LUT", "FF", "DSP", "BRAM", "clocks", "interval", f"time at {clock_ns:g} ns")
    return Grid(
        heads,
        [
            [
                row.tool,
                *map(_count, (row.lut, row.ff, row.dsp, row.bram)),
                *map(_count, (row.pipeline_stages, row.initiation_interval)),
                f"{row.pipeline_stages * clock_ns:,g} ns",
            ]
            for row in summary.resources
        ],
    )


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def console_tables(summary: FirmwareSummary, width: int) -> Iterator[Table | Text]:
    """Yield proof and resources for a console of some width, and how to read them."""
    yield Text(f"Proof, {summary.measured_on}", style="bold")
    yield from _fitting(proof(summary), width)
    yield Text("Resources", style="bold")
    yield from _fitting(resources(summary), width)
    yield Text(_NO_TIMING, style="dim")


def _fitting(grid: Grid, width: int) -> Iterator[Table]:
    """Yield as many tables as it takes to break no word, each with the names of the rows.

    A heading stands in two lines, a number's interval below the number.
    """
    heads = [grid.heads[0], *("\n".join(head.split(maxsplit=1)) for head in grid.heads[1:])]
    texts = [
        [c if isinstance(c, str) else f"{c.value}\n{c.spread}" for c in row] for row in grid.rows
    ]
    names, *columns = zip(heads, *texts, strict=True)
    room = width - max(_NAMES, *(len(word) for name in names for word in name.split()))
    while columns:
        sizes = accumulate(1 + max(map(cell_len, "\n".join(c).split("\n"))) for c in columns)
        count = max(1, sum(size <= room for size in sizes))
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
        table.add_column(names[0])
        for head, *_ in columns[:count]:
            table.add_column(head, justify="right", no_wrap=True)
        for row in zip(names[1:], *(cells for _, *cells in columns[:count]), strict=True):
            table.add_row(*map(Text, row))
        yield table
        columns = columns[count:]
