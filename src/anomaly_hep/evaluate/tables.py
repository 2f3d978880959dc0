"""Result tables: our scores, the baselines and published rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from anomaly_hep.evaluate.cells import Cell, plain
from anomaly_hep.evaluate.metrics import Metric
from anomaly_hep.evaluate.paper import MEAN, Paper, PublishedRow
from anomaly_hep.evaluate.remarks import reading_remarks
from anomaly_hep.evaluate.results import Results
from anomaly_hep.evaluate.resulttable import Column, ResultTable, Row
from anomaly_hep.evaluate.sculptingtable import sculpting_table

# quantities of reconstructed images, and the headings of their columns
QUALITIES: Mapping[str, str] = {"mse": "MSE", "ssim": "SSIM"}


def result_table(
    results: Results,
    *,
    metric: Metric | None = None,
    published: Sequence[PublishedRow] = (),
) -> ResultTable:
    """Return the table of one metric of a run.

    Without `metric` it joins those of all the paper's headlines and of mass sculpting. Published
    rows are shown for the metric they were published for and left out of the others.
    """
    paper = results.paper
    if metric is None:
        tables = [result_table(results, metric=m, published=published) for m in paper.headlines]
        sculpting = sculpting_table(results)
        return joined([*tables, *([sculpting] if sculpting else [])])
    rows = [row for row in published if row.metric == metric.key]
    measured = (
        f"Measured on {results.data.title}, {results.data.counts}. "
        "Uncertainties: central 68 %, of signal and background sample, this training only."
    )
    return ResultTable(
        metric.title,
        column_blocks(results, metric),
        [*_rows(results, metric, rows)],
        [
            measured,
            paper.one_training,
            *reading_remarks(results),
            *paper.remarks(results, rows),
            *results.notes,
        ],
    )


def joined(tables: Sequence[ResultTable]) -> ResultTable:
    """Return several tables as one, each remark once below all of them."""
    first, *others = tables
    remarks = dict.fromkeys(remark for table in tables for remark in table.remarks)
    also = [replace(table, remarks=()) for table in others]
    return replace(first, remarks=list(remarks), also=also)


def column_blocks(results: Results, metric: Metric) -> list[list[Column]]:
    """Return the signals of each group with the group's mean, then all signals in no group."""
    groups = results.data.measured_groups
    with_mean = metric in results.paper.averaged
    blocks = [[*labels, MEAN + group] if with_mean else labels for group, labels in groups.items()]
    ungrouped = [s for s in results.signals if not any(s in labels for labels in groups.values())]
    if ungrouped or not blocks:
        blocks.append(ungrouped)
    return [columns_of(results.paper, keys) for keys in blocks]


def columns_of(paper: Paper, keys: Sequence[str]) -> list[Column]:
    """Return columns of signals and of means over groups."""
    return [Column(key, paper.text(key), paper.signal(key).heading) for key in keys]


def published_table(paper: Paper, number: int | str) -> ResultTable:
    """Return one of a paper's tables, whole, with its numbers as they are printed."""
    rows = [row for row in paper.rows if row.table == number]
    keys = list(dict.fromkeys(key for row in rows for key in row.cells))
    text = {metric.key: metric.title for metric in paper.metrics}.get(rows[0].metric, "")
    title = f"{paper.source} {rows[0].place}{': ' if text else ''}{text[:1].lower()}{text[1:]}"
    lines = [published_row(row) for row in rows]
    return ResultTable(title, [columns_of(paper, keys)], lines, [paper.rows_measured])


def published_row(row: PublishedRow) -> Row:
    """Return a published row as a line of its own."""
    return Row(row.title, "published", row.cells)


def rows_beside(published: Sequence[PublishedRow], name: str) -> Iterator[Row]:
    """Yield the lines of the published rows of one score or baseline."""
    for row in published:
        if row.score == name:
            yield Row(row.beside, "published", row.cells, beside=True)


def _rows(results: Results, metric: Metric, published: Sequence[PublishedRow]) -> Iterator[Row]:
    """Yield our rows, each followed by its published rows, then the other published rows."""
    for section, names in results.sections.items():
        for name in names:
            measured = results.cells(name, metric.key)
            cells = {key: metric.cell(value) for key, value in measured.items()}
            yield Row(results.title(name), section, cells, chosen=name == results.default_score)
            yield from rows_beside(published, name)
    ours = {*results.scores, *results.baselines}
    yield from (published_row(row) for row in published if row.score not in ours)


def reconstruction_table(
    results: Results, published: Sequence[PublishedRow] = ()
) -> ResultTable | None:
    """Return squared errors and SSIM by class, beside published ones; None without images."""
    if not results.reconstruction:
        return None
    background = results.data.background
    rows = []
    for label in [background, *results.paper.ordered(set(results.reconstruction) - {background})]:
        cells = {}
        for quantity, spread in results.reconstruction[label].items():
            if spread is not None:
                cells[quantity] = plain(*spread.mean)
                cells[f"{quantity}_std"] = Cell(f"{spread.std:.3g}", "")
        rows.append(Row(results.paper.text(label), "scores", cells, chosen=label == background))
        rows += _published_quality(published, label)
    remark = (
        "MSE: squared differences summed over the pixels of an image; SSIM: structural "
        "similarity, 1 for equal images. Mean with its standard error, and standard deviation of "
        "single images."
    )
    columns = [
        column
        for quantity, title in QUALITIES.items()
        for column in (
            Column(quantity, title, title),
            Column(f"{quantity}_std", f"{title}, deviation", f"{title},\ndeviation"),
        )
    ]
    return ResultTable("Quality of the reconstructed images", [columns], rows, [remark])


def _published_quality(published: Sequence[PublishedRow], label: str) -> Iterator[Row]:
    """Yield the published mean and deviation of every quantity of a class, in one line."""
    rows = [row for row in published if row.metric in QUALITIES and label in row.cells]
    cells = {row.metric: Cell(row.cells[label].value, "") for row in rows}
    cells |= {f"{row.metric}_std": Cell(f"{row.spread[label]:g}", "") for row in rows}
    if rows:
        yield Row(rows[0].beside, "published", cells, beside=True)
