"""Result tables: our scores, the baselines and published rows, for terminal, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from anomaly_hep.evaluate.labels import (
    data_name,
    decay,
    event_counts,
    ordered,
    score_groups,
    score_name,
)
from anomaly_hep.evaluate.published import PAPER, PUBLISHED, REJECTION, PublishedRow, row_for

TITLES = {
    "auc": "Area under the ROC curve in %",
    "efficiency_at_rejection_10": "Signal efficiency in % at background rejection 10",
    "efficiency_at_rejection_100": "Signal efficiency in % at background rejection 100",
    "efficiency_at_rejection_1000": "Signal efficiency in % at background rejection 1000",
}
HEADLINE = f"efficiency_at_rejection_{REJECTION}"
# Terminal columns that one signal and the row names take, borders included.
_SIGNAL_WIDTH, _NAME_WIDTH = 11, 24


@dataclass(frozen=True)
class Cell:
    """A number and its uncertainty, both as text: ("18.9", "+1.1 −0.9") or ("–", "")."""

    value: str
    spread: str

    def __str__(self) -> str:
        return f"{self.value} {self.spread}".strip()


@dataclass(frozen=True)
class Row:
    """A line: `kind` is 'scores', 'baselines' or 'published'; the `chosen` one is set in bold."""

    name: str
    kind: str
    cells: Mapping[str, Cell]
    chosen: bool = False


@dataclass(frozen=True)
class ResultTable:
    """What is shown of the results; rich prints it, split where the terminal is too narrow."""

    title: str
    signals: Sequence[str]
    rows: Sequence[Row]
    remarks: Sequence[str]

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        room = max(1, (options.max_width - _NAME_WIDTH) // _SIGNAL_WIDTH)
        yield Text(self.title, style="bold")
        parts = max(1, ceil(len(self.signals) / room))
        each = ceil(len(self.signals) / parts)
        for start in range(0, len(self.signals), max(1, each)):
            yield _rich_part(self, self.signals[start : start + each])
        for remark in self.remarks:
            yield Text(remark, style="dim")


def result_table(
    metrics: Mapping[str, Any], *, metric: str = HEADLINE, published: Sequence[PublishedRow] = ()
) -> ResultTable:
    """Return the table of one metric (a key of `TITLES`) from the content of metrics.json.

    Published rows are shown for the metric they were published for and left out of the others.
    """
    signals = ordered(set(metrics["data"]["events"]) - {metrics["data"]["background"]})
    chosen = metrics["default_score"]
    rows = [
        Row(score_name(name), group, _cells(metrics[group][name], metric), chosen=name == chosen)
        for name, group in score_groups(metrics).items()
    ]
    measured = (
        f"Measured on {data_name(metrics)}, {event_counts(metrics)}. "
        "Uncertainties: central 68 %, of signal and background sample, this training only."
    )
    remarks = [measured]
    if metric == HEADLINE and published:
        rows += [published_cells(row) for row in published]
        remarks.append(published_remark(metrics))
    return ResultTable(TITLES[metric], signals, rows, [*remarks, *metrics["notes"]])


def published_for(config: Mapping[str, Any]) -> list[PublishedRow]:
    """Return the published rows to show: the one that `config` names, and its baseline.

    Without that key, the DeepSet with particle types of both tables and the baseline.
    """
    row = row_for(config)
    if row:
        return [row, PUBLISHED[row.table, "N-subjettiness"]]
    best = "DeepSet w/ PID"
    return [PUBLISHED[1, best], PUBLISHED[2, best], PUBLISHED[1, "N-subjettiness"]]


def published_cells(row: PublishedRow) -> Row:
    """Return a published row as a line of the table, its numbers as printed."""
    cells = {
        signal: Cell(f"{value:g}", f"±{row.spread[signal]:g}" if row.spread else "")
        for signal, value in row.efficiency.items()
    }
    return Row(row.title, "published", cells)


def published_remark(metrics: Mapping[str, Any]) -> str:
    """Say what may be compared: published numbers are from other jets than ours."""
    ours = {
        "simulated": "ours on jets of our own simulation (another detector, far fewer jets)",
        "published": "ours on the published files",
        "user": "ours on the user's own files",
    }[metrics["data"]["origin"]]
    return (
        f"The paper's rows ({PAPER}) were measured on JetClass, {ours}; their ± is the spread of "
        "five trainings. Compare the pattern, not the last digit."
    )


def percent(value: float, low: float, high: float) -> Cell:
    """Return a fraction with its interval in %, rounded to what the interval supports."""
    up, down = 100 * (high - value), 100 * (value - low)
    digits = decimals(max(up, down))
    plus, minus = f"{up:.{digits}f}", f"{down:.{digits}f}"
    spread = f"±{plus}" if plus == minus else f"+{plus} −{minus}"
    return Cell(f"{100 * value:.{digits}f}", spread)


def decimals(width: float) -> int:
    """Return how many decimals an uncertainty of this width leaves meaningful."""
    return 0 if width >= 3 else 1 if width >= 0.05 else 2


def to_markdown(table: ResultTable) -> str:
    """Return the table as Markdown, remarks below it."""
    lines = [f"**{table.title}**", ""]
    lines.append("| | " + " | ".join(map(decay, table.signals)) + " |")
    lines.append("|---|" + "---:|" * len(table.signals))
    for row in table.rows:
        name = f"**{row.name}**" if row.chosen else row.name
        cells = (str(row.cells.get(signal, _NOTHING)) for signal in table.signals)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(f"{remark}\n" for remark in table.remarks)])


def to_html(table: ResultTable) -> str:
    """Return the table as an HTML figure without style: classes are the rows' kinds."""
    head = "".join(f"<th scope='col'>{escape(decay(s))}</th>" for s in table.signals)
    body = "".join(
        f"<tr class='{row.kind}{' chosen' if row.chosen else ''}'>"
        f"<th scope='row'>{escape(row.name)}</th>"
        + "".join(_html_cell(row.cells.get(signal, _NOTHING)) for signal in table.signals)
        + "</tr>\n"
        for row in table.rows
    )
    remarks = "".join(f"<p>{escape(remark)}</p>" for remark in table.remarks)
    return (
        f"<figure class='results'><figcaption>{escape(table.title)}</figcaption>"
        f"<div class='scroll'><table><thead><tr><td></td>{head}</tr></thead>\n"
        f"<tbody>{body}</tbody></table></div>{remarks}</figure>"
    )


_NOTHING = Cell("–", "")


def _cells(result: Mapping[str, Any], metric: str) -> dict[str, Cell]:
    return {s: percent(*m[metric]) if m.get(metric) else _NOTHING for s, m in result.items()}


def _html_cell(cell: Cell) -> str:
    return f"<td>{escape(cell.value)}<small>{escape(cell.spread)}</small></td>"


def _rich_part(table: ResultTable, signals: Sequence[str]) -> Table:
    """Return the columns of some signals: numbers, and below each its uncertainty."""
    part = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
    part.add_column("", width=_NAME_WIDTH - 2, overflow="fold")
    for signal in signals:
        part.add_column(decay(signal), justify="right", no_wrap=True)
    for i, row in enumerate(table.rows):
        cells = [row.cells.get(signal, _NOTHING) for signal in signals]
        last = i + 1 == len(table.rows) or table.rows[i + 1].kind != row.kind
        style = "bold" if row.chosen else "dim" if row.kind == "published" else ""
        texts = [Text(f"{cell.value}\n{cell.spread}") for cell in cells]
        part.add_row(Text(row.name), *texts, end_section=last, style=style)
    return part
