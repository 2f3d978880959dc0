"""Many runs in one table: mean and spread over seeds, published rows beside them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import isnan, nan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from anomaly_hep.atomic import write_text
from anomaly_hep.errors import MissingDataError
from anomaly_hep.evaluate.cells import Cell, decimals, percent
from anomaly_hep.evaluate.figures import LATENT, RECONSTRUCTION, samples_of, score_pairs
from anomaly_hep.evaluate.figures.distributions import joint_density
from anomaly_hep.evaluate.figures.rocs import kl_roc_comparison
from anomaly_hep.evaluate.figures.style import save
from anomaly_hep.evaluate.groups import groups_of
from anomaly_hep.evaluate.labels import (
    data_name,
    event_counts,
    events_name,
    mean_of,
    model_name,
    ordered,
    score_groups,
    score_name,
)
from anomaly_hep.evaluate.presentations import write_curves
from anomaly_hep.evaluate.published import PublishedRow, row_for
from anomaly_hep.evaluate.remarks import published_remarks, reading_remarks
from anomaly_hep.evaluate.render import to_markdown
from anomaly_hep.evaluate.runs import Group, Run, find_runs, group_runs
from anomaly_hep.evaluate.tables import (
    GROUP_HEADLINES,
    TITLES,
    ResultTable,
    Row,
    column_blocks,
    headlines,
    metric_cells,
    published_cells,
    published_for,
    rows_beside,
)


class Spread(NamedTuple):
    """Mean and one standard deviation around it over runs; `runs` = 1: a value and its interval."""

    mean: float
    low: float
    high: float
    runs: int

    @property
    def cell(self) -> Cell:
        """How a table shows it, in %."""
        if self.runs == 1:
            return percent(self.mean, self.low, self.high)
        deviation = 100 * (self.high - self.mean)
        digits = decimals(deviation)
        return Cell(f"{100 * self.mean:.{digits}f}", f"±{deviation:.{digits}f}")


def collect(directory: Path) -> ResultTable:
    """Return the table of all finished runs below a directory and write it there.

    Writes collected.md (the table), collected.csv (every score, signal and metric) and
    collected.json (the same with every run's path, seed and state), and, where a Set-VAE and a
    CLIP-VAE are among the runs, the figures collected_kl_roc.png and
    collected_reconstruction_kl.png. Runs that are not finished are listed in all of them. Of runs
    with a curve.csv, finished or not, it writes `write_curves`' table and figure.

    Raises MissingDataError when no run below the directory is finished.
    """
    directory = Path(directory)
    runs = find_runs(directory)
    groups, remarks = group_runs(runs)
    remarks += [
        f"{run.record.directory} is left out, {run.status}: {run.reason}"
        for run in runs
        if run.status != "finished"
    ]
    remarks += write_curves(directory, runs)
    if not groups:
        raise MissingDataError("\n".join([f"no finished run below {directory}", *remarks]))
    spreads = {group.name: list(_spreads(group)) for group in groups}
    if not all(group.is_named_by_choices for group in groups):
        remarks.append("Groups named by a directory differ in many choices: see collected.json.")
    remarks += _figures(directory, groups)
    table = _tables(groups, spreads, remarks)
    rows = [row for group in groups for row in spreads[group.name]]
    write_text(directory / "collected.md", to_markdown(table))
    write_text(directory / "collected.csv", pd.DataFrame(rows).to_csv(index=False))
    content = {
        "runs": [_state(run) for run in runs],
        "groups": {group.name: dict(group.choices) for group in groups},
        "results": rows,
        "remarks": remarks,
    }
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_text(directory / "collected.json", text + "\n")
    return table


def spread(intervals: Sequence[Sequence[float] | None]) -> Spread | None:
    """Return mean and spread of one metric over runs; None if any of the runs lacks it.

    The spread is the standard deviation with n-1 in the denominator. What is the same in all
    runs (a baseline on the same test jets, or a single run) keeps its own interval.
    """
    known = [tuple(interval) for interval in intervals if interval is not None]
    if len(known) < len(intervals):
        return None
    if len(set(known)) == 1:
        value, low, high = known[0]
        return Spread(value, low, high, 1)
    values = np.array(known, np.float64)[:, 0]
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    return Spread(mean, mean - deviation, mean + deviation, len(values))


def _spreads(group: Group) -> Iterator[dict[str, Any]]:
    """Yield one flat row for each score or baseline, signal (or mean of signals) and metric."""
    about = {
        "group": group.name,
        "data": data_name(group.metrics),
        "seeds": " ".join(str(run.seed) for run in group.runs),
    }
    means = [mean_of(name) for name in groups_of(group.metrics)]
    for name, kind in score_groups(group.metrics).items():
        per_run = {
            metric: [metric_cells(run.record.metrics, kind, name, metric) for run in group.runs]
            for metric in TITLES
        }
        for signal in [*ordered(group.metrics[kind][name]), *means]:
            for metric, cells in per_run.items():
                if signal in means and metric not in GROUP_HEADLINES:
                    continue
                found = spread([cell.get(signal) for cell in cells])
                where = {"kind": kind, "score": name, "signal": signal, "metric": metric}
                numbers = found or Spread(nan, nan, nan, len(cells))
                yield about | where | {k: _or_none(v) for k, v in numbers._asdict().items()}


def _or_none(number: float) -> float | None:
    return None if isnan(number) else number


def _tables(
    groups: Sequence[Group], spreads: Mapping[str, list[dict[str, Any]]], remarks: Sequence[str]
) -> ResultTable:
    """Return the tables of all data sets as one, the first with the others below it."""
    by_data: dict[str, list[Group]] = {}
    for group in groups:
        name = str(group.metrics["data"]["name"]).removesuffix(" (simulated)")
        by_data.setdefault(name, []).append(group)
    first, *others = (
        _table(metric, members, spreads, name if len(by_data) > 1 else "")
        for name, members in by_data.items()
        for metric in headlines(members[0].metrics)
    )
    said = dict.fromkeys(remark for table in (first, *others) for remark in table.remarks)
    also = [replace(table, remarks=()) for table in others]
    return replace(first, remarks=[*said, *remarks], also=also)


def _table(
    metric: str,
    groups: Sequence[Group],
    spreads: Mapping[str, list[dict[str, Any]]],
    data: str,
) -> ResultTable:
    lines, shown = [], []
    for group in groups:
        for row, beside in _lines(group, spreads[group.name], metric, "scores"):
            lines += [row, *beside]
        if known := row_for(group.config):
            lines.append(published_cells(known))
            shown.append(known)
    tested = sorted({f"{data_name(g.metrics)}, {event_counts(g.metrics)}" for g in groups})
    tested_on = events_name(groups[0].metrics)
    measured = (
        f"Measured on {'; '.join(tested)}. Several seeds: mean and standard deviation, without "
        f"the fluctuation of the test {tested_on} that they share; one seed: its central 68 % "
        "interval."
    )
    blocks = _blocks(groups, metric)
    return ResultTable(
        f"{data}: {TITLES[metric]}" if data else TITLES[metric],
        [signal for block in blocks for signal in block],
        [*lines, *_baselines(groups, spreads, metric)],
        [
            measured,
            *dict.fromkeys(remark for g in groups for remark in reading_remarks(g.metrics)),
            *published_remarks(groups[0].metrics, shown or _published(groups, metric)),
        ],
        blocks if groups_of(groups[0].metrics) else (),
    )


def _blocks(groups: Sequence[Group], metric: str) -> list[list[str]]:
    """Return the signals that any of the runs was tested on, together as `column_blocks` does."""
    every = [group.metrics for group in groups]
    events = {label: 1 for metrics in every for label in metrics["data"]["events"]}
    return column_blocks({"data": every[0]["data"] | {"events": events}}, metric)


def _published(groups: Sequence[Group], metric: str) -> list[PublishedRow]:
    """Return the published rows that stand beside single scores of these groups."""
    rows: dict[str, PublishedRow] = {}
    for group in groups:
        if groups_of(group.metrics):
            known = published_for(group.config)
            rows |= {row.title: row for row in known if row.metric == metric}
    return list(rows.values())


def _baselines(
    groups: Sequence[Group], spreads: Mapping[str, list[dict[str, Any]]], metric: str
) -> Iterator[Row]:
    """Yield the baselines' lines, once for all models that were tested on the same events."""
    found: dict[tuple[str, ...], tuple[Row, list[Row], Group]] = {}
    for group in groups:
        for row, beside in _lines(group, spreads[group.name], metric, "baselines"):
            numbers = (row.name, *map(str, row.cells.values()))
            found.setdefault(numbers, (row, beside, group))
    times = Counter(row.name for row, _, _ in found.values())
    for row, beside, group in found.values():
        tested = f"{row.name}, {events_name(group.metrics)} of {group.name}"
        yield replace(row, name=row.name if times[row.name] == 1 else tested)
        yield from beside


def _lines(
    group: Group, rows: Sequence[Mapping[str, Any]], metric: str, kind: str
) -> Iterator[tuple[Row, list[Row]]]:
    """Yield the table's line of each score or baseline of a group, with published ones of it."""
    seeds = f"{len(group.runs)} seed{'s' if len(group.runs) > 1 else ''}"
    published = _published([group], metric)
    for name, kind_of in score_groups(group.metrics).items():
        if kind_of != kind:
            continue
        cells = {
            row["signal"]: Spread(row["mean"], row["low"], row["high"], row["runs"]).cell
            for row in rows
            if row["score"] == name and row["metric"] == metric and row["mean"] is not None
        }
        title = score_name(name)
        if kind == "scores":
            title = f"{group.name}: {title} ({seeds})"
        line = Row(title, kind, cells, chosen=name == _default(group))
        yield line, list(rows_beside(published, name, kind, group.metrics))


def _default(group: Group) -> str:
    return str(group.metrics["default_score"])


def _state(run: Run) -> dict[str, Any]:
    seed = run.seed if run.status == "finished" else None
    path = str(run.record.directory)
    return {"path": path, "status": run.status, "reason": run.reason, "seed": seed}


def _figures(directory: Path, groups: Sequence[Group]) -> list[str]:
    """Draw Figs. 3 and 4 of arXiv:2311.17162 from a run of each model, or say what stops it."""
    chosen: dict[str, Group] = {}
    for group in groups:
        if {RECONSTRUCTION, LATENT} <= set(group.metrics["scores"]):
            chosen.setdefault(model_name(group.metrics), group)
    if not {"Set-VAE", "CLIP-VAE"} <= set(chosen):
        return []
    pair = {name: chosen[name] for name in ("Set-VAE", "CLIP-VAE")}
    metrics = [group.metrics for group in pair.values()]
    if metrics[0]["data"] != metrics[1]["data"]:
        return ["no figure of Set- against CLIP-VAE: their runs were tested on different jets"]
    records = {name: group.runs[0].record for name, group in pair.items()}
    latent = {name: samples_of(record)[LATENT] for name, record in records.items()}
    save(kl_roc_comparison(latent, metrics[0]), directory / "collected_kl_roc.png")
    background = metrics[0]["data"]["background"]
    densities = {
        f"{name}, {background}": score_pairs(record)[background] for name, record in records.items()
    }
    save(joint_density(densities, metrics[0]), directory / "collected_reconstruction_kl.png")
    used = " and ".join(str(record.directory) for record in records.values())
    return [f"Figures of Set- against CLIP-VAE are made from {used}."]
