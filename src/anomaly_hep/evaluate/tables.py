"""Result tables: our scores, the baselines and published rows; rich prints them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from anomaly_hep.evaluate.cells import NOTHING, Cell, percent, plain
from anomaly_hep.evaluate.groups import groups_of
from anomaly_hep.evaluate.labels import (
    column_name,
    data_name,
    decay,
    event_counts,
    mean_of,
    ordered,
    score_groups,
    score_name,
)
from anomaly_hep.evaluate.published import (
    PUBLISHED,
    REJECTION,
    PublishedRow,
    darkshowers,
    row_for,
)
from anomaly_hep.evaluate.remarks import published_remarks, reading_remarks

TITLES = {
    "auc": "Area under the ROC curve in %",
    "efficiency_at_rejection_10": "Signal efficiency in % at background rejection 10",
    "efficiency_at_rejection_100": "Signal efficiency in % at background rejection 100",
    "efficiency_at_rejection_1000": "Signal efficiency in % at background rejection 1000",
    "fpr_at_tpr_40": "Background that passes in % where 40 % of the signal does",
}
HEADLINE = f"efficiency_at_rejection_{REJECTION}"
# What stands first where signals are in groups, as in arXiv:2306.12955.
GROUP_HEADLINES = ("auc", "fpr_at_tpr_40")
# Terminal columns that one signal and the row names take, borders included.
_SIGNAL_WIDTH, _SHORT_WIDTH, _NAME_WIDTH = 11, 10, 24


@dataclass(frozen=True)
class Row:
    """A line: `kind` is 'scores', 'baselines' or 'published'; the `chosen` one is set in bold.

    A published row `beside` another belongs to the score or baseline above it.
    """

    name: str
    kind: str
    cells: Mapping[str, Cell]
    chosen: bool = False
    beside: bool = False


@dataclass(frozen=True)
class ResultTable:
    """What is shown of the results; rich prints it, split where the terminal is too narrow.

    `blocks` are the signals that a terminal shows together, with each number in one word;
    without them signals fill the width. `also` are further tables under the same remarks.
    """

    title: str
    signals: Sequence[str]
    rows: Sequence[Row]
    remarks: Sequence[str]
    blocks: Sequence[Sequence[str]] = ()
    also: Sequence[ResultTable] = ()

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        for table in (self, *self.also):
            yield from table._parts(options.max_width)
        if self.blocks:
            yield Text("79.2(18) is 79.2 ± 1.8, the larger side of the interval.", style="dim")
        for remark in self.remarks:
            yield Text(remark, style="dim")

    def _parts(self, width: int) -> Iterator[RenderableType]:
        each_width = _SHORT_WIDTH if self.blocks else _SIGNAL_WIDTH
        room = max(1, (width - _NAME_WIDTH) // each_width)
        yield Text(self.title, style="bold")
        for block in self.blocks or [self.signals]:
            parts = max(1, ceil(len(block) / room))
            each = ceil(len(block) / parts)
            for start in range(0, len(block), max(1, each)):
                yield _rich_part(self, block[start : start + each], short=bool(self.blocks))


def headlines(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the metrics that a run's first tables show: the first one is the headline."""
    return GROUP_HEADLINES if groups_of(metrics) else (HEADLINE,)


def result_table(
    metrics: Mapping[str, Any],
    *,
    metric: str | None = None,
    published: Sequence[PublishedRow] = (),
) -> ResultTable:
    """Return the table of one metric (a key of `TITLES`) from the content of metrics.json.

    Without `metric` it is that of all `headlines`, in one. Published rows are shown for the metric
    they were published for and left out of the others.
    """
    if metric is None:
        first, *others = (
            result_table(metrics, metric=m, published=published) for m in headlines(metrics)
        )
        remarks = dict.fromkeys(r for table in (first, *others) for r in table.remarks)
        also = [replace(table, remarks=()) for table in others]
        return replace(first, remarks=list(remarks), also=also)
    rows = [row for row in published if row.metric == metric]
    measured = (
        f"Measured on {data_name(metrics)}, {event_counts(metrics)}. "
        "Uncertainties: central 68 %, of signal and background sample, this training only."
    )
    blocks = column_blocks(metrics, metric)
    return ResultTable(
        TITLES[metric],
        [signal for block in blocks for signal in block],
        [*_rows(metrics, metric, rows)],
        [
            measured,
            *reading_remarks(metrics),
            *published_remarks(metrics, rows),
            *metrics["notes"],
        ],
        blocks if groups_of(metrics) else (),
    )


def column_blocks(metrics: Mapping[str, Any], metric: str) -> list[list[str]]:
    """Return the signals of each group with the group's mean, then all signals in no group."""
    signals = ordered(set(metrics["data"]["events"]) - {metrics["data"]["background"]})
    groups = groups_of(metrics)
    with_mean = metric in GROUP_HEADLINES
    blocks = [
        [*labels, mean_of(group)] if with_mean else list(labels) for group, labels in groups.items()
    ]
    left = [s for s in signals if not any(s in labels for labels in groups.values())]
    return [*blocks, left] if left or not blocks else blocks


def published_for(config: Mapping[str, Any]) -> list[PublishedRow]:
    """Return the published rows to show beside a run's results.

    On dark showers these are the model's, the baselines' and the supervised model's. On jets it is
    the row that `published` in the configuration names, and its baseline; without that key, the
    DeepSet with particle types of both tables and the baseline. For other data there are none.
    """
    data, model = (config.get(key) or {} for key in ("data", "model"))
    if data.get("name") == "darkshowers":
        return darkshowers.rows_of(str(model.get("name")))
    if "jetclass" not in str(data.get("name", "jetclass")):
        return []
    row = row_for(config)
    if row:
        return [row, PUBLISHED[row.table, "N-subjettiness"]]
    best = "DeepSet w/ PID"
    return [PUBLISHED[1, best], PUBLISHED[2, best], PUBLISHED[1, "N-subjettiness"]]


def published_row_cells(row: PublishedRow) -> dict[str, Cell]:
    """Return the cells of a published row, its numbers as printed."""
    return {
        signal: Cell(f"{value:g}", f"±{row.spread[signal]:g}" if row.spread else "")
        for signal, value in row.values.items()
    }


def published_cells(row: PublishedRow) -> Row:
    """Return a published row as a line of the table, its numbers as printed."""
    return Row(row.title, "published", published_row_cells(row))


def rows_beside(
    published: Sequence[PublishedRow], name: str, kind: str, metrics: Mapping[str, Any]
) -> Iterator[Row]:
    """Yield the lines of published rows that are of one score of this model, or of a baseline."""
    model = metrics["model"].get("name") if kind == "scores" else None
    for row in published:
        if (row.model, row.score) == (model, name):
            yield Row(row.beside, "published", published_row_cells(row), beside=True)


def metric_cells(
    metrics: Mapping[str, Any], kind: str, name: str, metric: str
) -> dict[str, Sequence[float]]:
    """Return one metric of a score or baseline by signal and by mean of a group, where known."""
    found = {s: m.get(metric) for s, m in metrics[kind][name].items()}
    means = metrics.get("means", {}).get(name, {})
    found |= {mean_of(group): values.get(metric) for group, values in means.items()}
    return {signal: interval for signal, interval in found.items() if interval}


def _rows(
    metrics: Mapping[str, Any], metric: str, published: Sequence[PublishedRow]
) -> Iterator[Row]:
    """Yield our rows, below each the published one of the same score, and then the others."""
    default, left = metrics["default_score"], list(published)
    for name, kind in score_groups(metrics).items():
        intervals = metric_cells(metrics, kind, name, metric)
        cells = {signal: percent(*interval) for signal, interval in intervals.items()}
        yield Row(score_name(name), kind, cells, chosen=name == default)
        for row in rows_beside(published, name, kind, metrics):
            yield row
            left = [r for r in left if r.score != name]
    yield from map(published_cells, left)


def reconstruction_table(metrics: Mapping[str, Any]) -> ResultTable | None:
    """Return squared errors and SSIM by class, beside Table 8 of arXiv:2306.12955; None if none."""
    if not (measured := metrics.get("reconstruction")):
        return None
    background = metrics["data"]["background"]
    columns = {"mse": "MSE", "ssim": "SSIM"}
    printed = darkshowers.RECONSTRUCTION.get(str(metrics["model"].get("name")))
    rows = []
    for label in [background, *ordered(set(measured) - {background})]:
        cells = {}
        for key, title in columns.items():
            if found := measured[label][key]:
                cells[title] = plain(*found["mean"])
                cells[f"{title}, deviation"] = Cell(f"{found['std']:.3g}", "")
        rows.append(Row(decay(label), "scores", cells, chosen=label == background))
        if label == background and printed:
            cells = {columns[key]: Cell(f"{mean:g}", "") for key, (mean, _) in printed.items()}
            cells |= {
                f"{columns[key]}, deviation": Cell(f"{std:g}", "")
                for key, (_, std) in printed.items()
            }
            rows.append(Row("  paper Table 8", "published", cells, beside=True))
    remark = (
        "MSE: squared differences summed over the pixels of an image; SSIM: structural "
        "similarity, 1 for equal images. Mean with its standard error, and standard deviation of "
        "single images."
    )
    signals = [name for title in columns.values() for name in (title, f"{title}, deviation")]
    return ResultTable("Quality of the reconstructed images", signals, rows, [remark])


def _rich_part(table: ResultTable, signals: Sequence[str], *, short: bool) -> Table:
    """Return the columns of some signals: numbers, and below or behind each its uncertainty."""
    part = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
    part.add_column("", width=_NAME_WIDTH - 2, overflow="fold")
    for signal in signals:
        part.add_column(column_name(signal), justify="right", no_wrap=True)
    for i, row in enumerate(table.rows):
        cells = [row.cells.get(signal, NOTHING) for signal in signals]
        following = table.rows[i + 1] if i + 1 < len(table.rows) else None
        last = following is None or not (following.beside or following.kind == _kind(table.rows, i))
        style = "bold" if row.chosen else "dim" if row.kind == "published" else ""
        texts = [Text(cell.short if short else f"{cell.value}\n{cell.spread}") for cell in cells]
        part.add_row(Text(row.name), *texts, end_section=last, style=style)
    return part


def _kind(rows: Sequence[Row], index: int) -> str:
    """Return the kind of a row, of one beside another that of the other."""
    while rows[index].beside:
        index -= 1
    return rows[index].kind
