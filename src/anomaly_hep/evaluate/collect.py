"""Many runs in one table: mean and spread over seeds, published rows beside them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from anomaly_hep.atomic import write_text
from anomaly_hep.errors import MissingDataError, of_the_machine
from anomaly_hep.evaluate.collectedsculpting import collected_sculpting, flat_sculpting
from anomaly_hep.evaluate.combination import Combination, combined
from anomaly_hep.evaluate.ensembles import Ensemble, Run, ensembles_of, find_runs
from anomaly_hep.evaluate.figures.style import save
from anomaly_hep.evaluate.learningcurve import write_curves
from anomaly_hep.evaluate.metrics import Metric
from anomaly_hep.evaluate.overseeds import OverSeeds, spread_cell
from anomaly_hep.evaluate.paper import MEAN, PublishedRow
from anomaly_hep.evaluate.remarks import reading_remarks
from anomaly_hep.evaluate.render import to_markdown
from anomaly_hep.evaluate.resulttable import ResultTable, Row
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.evaluate.tables import column_blocks, joined, rows_beside


def collect(directory: Path) -> ResultTable:
    """Return the table of all finished runs below a directory and write it there.

    Writes collected.md (the table), collected.csv (every score, signal and metric) and
    collected.json (the same with every run's path, seed and state), and the paper's comparisons of
    runs, collected_NAME.png. Remarks list the runs that are not finished. For runs with a
    curve.csv, finished or not, it writes `write_curves`' table and figure. Of files that cannot
    be written there, a remark says so.

    Raises MissingDataError when no run below the directory is finished.
    """
    directory = Path(directory)
    runs = find_runs(directory)
    ensembles, remarks = ensembles_of(runs)
    remarks += [
        f"{run.files.directory} is left out, {run.status}: {run.reason}"
        for run in runs
        if run.status != "finished"
    ]
    remarks += _unless_refused(lambda: write_curves(directory, runs))
    if not ensembles:
        raise MissingDataError("\n".join([f"no finished run below {directory}", *remarks]))
    if not all(ensemble.is_named_by_choices for ensemble in ensembles):
        remarks.append("Runs named by a directory differ in many choices: see collected.json.")
    by_data: dict[str, list[Ensemble]] = {}
    for ensemble in ensembles:
        name = ensemble.results.data.name.removesuffix(" (simulated)")
        by_data.setdefault(name, []).append(ensemble)
    for members in by_data.values():
        remarks += _unless_refused(partial(_figures, directory, members))
    tables: list[ResultTable] = []
    for name, members in by_data.items():
        before = f"{name}: " if len(by_data) > 1 else ""
        tables += [_table(m, members, before) for m in members[0].results.paper.headlines]
        sculpting = collected_sculpting(members, before)
        tables += [sculpting] if sculpting else []
    combinations = _combinations(ensembles)
    remarks += _unless_refused(partial(_save_combined, directory, combinations))
    table = joined([*(t for one in combinations for t in one.tables), *tables])
    table = replace(table, remarks=[*table.remarks, *remarks])
    flat = [line for ensemble in ensembles for line in _flat(ensemble)]
    content = {
        "runs": [_state(run) for run in runs],
        "ensembles": {ensemble.name: dict(ensemble.choices) for ensemble in ensembles},
        "results": flat,
        "combined": [line for one in combinations for line in one.numbers],
        "remarks": remarks,
    }
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    texts = {
        "collected.md": to_markdown(table),
        "collected.csv": pd.DataFrame(flat).to_csv(index=False),
        "collected.json": text + "\n",
    }
    refused = _unless_refused(lambda: _write(directory, texts))
    return replace(table, remarks=[*table.remarks, *refused])


def _combinations(ensembles: Sequence[Ensemble]) -> list[Combination]:
    """Return what each paper makes of runs on several channels."""
    by_paper: dict[str, list[Ensemble]] = {}
    for ensemble in ensembles:
        by_paper.setdefault(str(ensemble.config["data"]["paper"]), []).append(ensemble)
    return [
        make(combined(members))
        for members in by_paper.values()
        if (make := members[0].results.paper.combination) is not None
    ]


def _save_combined(directory: Path, combinations: Sequence[Combination]) -> list[str]:
    for one in combinations:
        for name, figure in one.figures.items():
            save(figure, directory / f"collected_{name}.png")
    return []


def _write(directory: Path, texts: Mapping[str, str]) -> list[str]:
    for name, text in texts.items():
        write_text(directory / name, text)
    return []


def _unless_refused(write: Callable[[], list[str]]) -> list[str]:
    """Return the remarks of what writes files; if its place takes none, one that says so."""
    try:
        return write()
    except OSError as error:
        return [f"Not written: {of_the_machine(error) or error}"]


def _over_seeds(ensemble: Ensemble, name: str, metric: Metric) -> dict[str, OverSeeds]:
    """Return one metric of a score or baseline by signal and group mean."""
    results = ensemble.results
    cells = [run.files.results.cells(name, metric.key) for run in ensemble.runs]
    groups = results.data.measured_groups if metric in results.paper.averaged else ()
    signals = [*results.signals, *(MEAN + group for group in groups)]
    return {signal: OverSeeds.of([cell.get(signal) for cell in cells]) for signal in signals}


def _flat(ensemble: Ensemble) -> Iterator[dict[str, Any]]:
    """Yield a row of collected.csv for each score or baseline, metric and signal."""
    results, seeds = ensemble.results, [str(run.seed) for run in ensemble.runs]
    about = {"ensemble": ensemble.name, "data": results.data.title, "seeds": " ".join(seeds)}
    for section, names in results.sections.items():
        for name, metric in product(names, results.paper.metrics):
            keys = {"section": section, "score": name, "metric": metric.key, "runs": len(seeds)}
            for signal, value in _over_seeds(ensemble, name, metric).items():
                yield about | keys | {"signal": signal} | value.to_flat()
    yield from (about | line for line in flat_sculpting(ensemble))


def _table(metric: Metric, ensembles: Sequence[Ensemble], data: str) -> ResultTable:
    first = ensembles[0].results
    rows: list[Row] = []
    published: dict[str, PublishedRow] = {}
    for ensemble in ensembles:
        for _, block in _rows(ensemble, metric, "scores"):
            rows += block
        shown = ensemble.runs[0].files.published
        published |= {row.title: row for row in shown if row.metric == metric.key}
    tested = sorted({f"{e.results.data.title}, {e.results.data.counts}" for e in ensembles})
    measured = (
        f"Measured on {'; '.join(tested)}. Beside or below each number: its central 68 % interval "
        f"from the finite number of test {first.data.event_noun}, which all seeds share. With "
        "several seeds the number is their mean, and the line 'spread of seeds' their standard "
        "deviation: how much trainings differ."
    )
    events = {label: 1 for e in ensembles for label in e.results.data.events}
    every = replace(first, data=replace(first.data, events=events))
    remarks = [
        measured,
        *dict.fromkeys(remark for e in ensembles for remark in reading_remarks(e.results)),
        *first.paper.remarks(first, list(published.values())),
    ]
    if all(len(ensemble.runs) == 1 for ensemble in ensembles):
        remarks.insert(1, first.paper.one_training)
    rows += _baselines(ensembles, metric)
    return ResultTable(data + metric.title, column_blocks(every, metric), rows, remarks)


def _baselines(ensembles: Sequence[Ensemble], metric: Metric) -> Iterator[Row]:
    """Yield the baselines' rows, once for all models that were tested on the same events."""
    distinct: dict[tuple[str, ...], tuple[list[Row], Ensemble]] = {}
    for ensemble in ensembles:
        for name, block in _rows(ensemble, metric, "baselines"):
            numbers = (name, *map(str, block[0].cells.values()))
            distinct.setdefault(numbers, (block, ensemble))
    times = Counter(block[0].name for block, _ in distinct.values())
    for (row, *beside), ensemble in distinct.values():
        noun = ensemble.results.data.event_noun
        tested = f"{row.name}, {noun} of {ensemble.name}"
        yield replace(row, name=row.name if times[row.name] == 1 else tested)
        yield from beside


def _rows(ensemble: Ensemble, metric: Metric, section: str) -> Iterator[tuple[str, list[Row]]]:
    """Yield each score or baseline with its rows: its numbers, their spread, published ones."""
    results, number = ensemble.results, len(ensemble.runs)
    published = [r for r in ensemble.runs[0].files.published if r.metric == metric.key]
    for name in results.sections[section]:
        by_signal = _over_seeds(ensemble, name, metric)
        cells = {s: metric.cell(v.interval) for s, v in by_signal.items() if v.interval}
        title = results.title(name)
        if section == "scores":
            title = f"{ensemble.name}: {title} ({number} seed{'s' if number > 1 else ''})"
        block = [Row(title, section, cells, chosen=name == results.default_score)]
        spreads = {
            s: spread_cell(v.seed_spread * metric.scale)
            for s, v in by_signal.items()
            if v.seed_spread
        }
        if spreads:
            block.append(Row("  spread of seeds", section, spreads, beside=True))
        yield name, [*block, *rows_beside(published, name)]


def _state(run: Run) -> dict[str, Any]:
    seed = run.seed if run.status == "finished" else None
    path = str(run.files.directory)
    return {"path": path, "status": run.status, "reason": run.reason, "seed": seed}


def _figures(directory: Path, ensembles: Sequence[Ensemble]) -> list[str]:
    """Draw the figures that compare the paper's models; return remarks on what was drawn."""
    paper = ensembles[0].results.paper
    chosen: dict[str, RunFiles] = {}
    for ensemble in reversed(ensembles):
        title, run = ensemble.results.model.title, ensemble.runs[0].files
        chosen |= {title: run, f"{title} trained on {ensemble.results.data.background}": run}
    runs = {title: chosen[title] for title in paper.compared if title in chosen}
    if not runs or len(runs) < len(paper.compared):
        return []
    titles, (data, *others) = " against ".join(runs), [r.results.data for r in runs.values()]
    # each may have its own class as background
    if any(replace(other, background=data.background) != data for other in others):
        return [f"no figure of {titles}: their runs were tested on different {data.event_noun}"]
    for name, figure in paper.comparison(runs).items():
        save(figure, directory / f"collected_{name}.png")
    used = " and ".join(str(run.directory) for run in runs.values())
    return [f"Figures of {titles} are made from {used}."]
