"""The mass sculpting of many runs in one table, beside their areas under the ROC."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from anomaly_hep.evaluate.cells import plain
from anomaly_hep.evaluate.ensembles import Ensemble
from anomaly_hep.evaluate.intervals import Interval
from anomaly_hep.evaluate.metrics import AREA
from anomaly_hep.evaluate.overseeds import OverSeeds, spread_cell
from anomaly_hep.evaluate.resulttable import Column, ResultTable, Row
from anomaly_hep.evaluate.sculpting import Sculpting
from anomaly_hep.evaluate.sculptingtable import (
    RANDOM,
    floor_numbers,
    sculpting_columns,
    sculpting_numbers,
    sculpting_remark,
    sculpting_title,
)


def collected_sculpting(ensembles: Sequence[Ensemble], data: str) -> ResultTable | None:
    """Return the sculpting by every score of runs on one data set, whose name `data` precedes.

    None where no run has a mass. Beside it stands the area under the ROC of each signal, in %.
    """
    measured = [ensemble for ensemble in ensembles if _in_all(ensemble)]
    if not measured:
        return None
    found = [one for e in measured for one in (e.results.sculpting or {}).values()]
    signals = list(dict.fromkeys(s for e in measured for s in e.results.signals))
    first = measured[0].results
    rows = [row for ensemble in measured for row in _rows(ensemble)]
    rows += _once(measured)
    areas = [
        Column(_area(s), f"area in %, {first.paper.text(s)}", f"area in %\n{first.paper.text(s)}")
        for s in first.paper.ordered(signals)
    ]
    bins = [e.results.mass_bins for e in measured if e.results.mass_bins is not None]
    return ResultTable(
        data + sculpting_title(bins[0]),
        [sculpting_columns(found), *([areas] if areas else [])],
        rows,
        list(dict.fromkeys(sculpting_remark(one) for one in bins)),
    )


def flat_sculpting(ensemble: Ensemble) -> Iterator[dict[str, Any]]:
    """Yield rows of collected.csv: score, metric and signal, '' where the background cuts."""
    if not _in_all(ensemble):
        return
    results = ensemble.results
    for section, names in results.sections.items():
        for name in names:
            keys = {"section": section, "score": name, "runs": len(ensemble.runs)}
            for metric, value in _over_seeds(ensemble, name, sculpting_numbers).items():
                yield {**keys, "metric": metric, "signal": "", **value.to_flat()}
            for signal, value in _over_seeds(ensemble, name, _of_signals).items():
                metric = "relative_entropy_at_signal_efficiency_50"
                yield {**keys, "metric": metric, "signal": signal, **value.to_flat()}


def _in_all(ensemble: Ensemble) -> bool:
    return all(run.files.results.sculpting for run in ensemble.runs)


def _area(signal: str) -> str:
    return f"{AREA.key} {signal}"


def _of_signals(one: Sculpting) -> dict[str, Interval]:
    return {s: found.relative_entropy for s, found in one.at_signal_efficiency.items() if found}


def _over_seeds(
    ensemble: Ensemble, name: str, numbers: Callable[[Sculpting], Mapping[str, Interval]]
) -> dict[str, OverSeeds]:
    """Return the numbers of a score over the runs of an ensemble."""
    runs = [numbers((run.files.results.sculpting or {})[name]) for run in ensemble.runs]
    return {key: OverSeeds.of([run.get(key) for run in runs]) for key in runs[0]}


def _rows(ensemble: Ensemble) -> Iterator[Row]:
    """Yield each score with its numbers, and the spread of several seeds."""
    results, number = ensemble.results, len(ensemble.runs)
    for name in results.sections["scores"]:
        values = _over_seeds(ensemble, name, sculpting_numbers)
        areas = [run.files.results.cells(name, AREA.key) for run in ensemble.runs]
        by_signal = {s: OverSeeds.of([area.get(s) for area in areas]) for s in results.signals}
        title = f"{ensemble.name}: {results.title(name)} ({number} seed{'s' if number > 1 else ''})"
        cells = {key: plain(*v.interval) for key, v in values.items() if v.interval}
        cells |= {_area(s): AREA.cell(v.interval) for s, v in by_signal.items() if v.interval}
        yield Row(title, "scores", cells, chosen=name == results.default_score)
        spreads = {key: spread_cell(v.seed_spread) for key, v in values.items() if v.seed_spread}
        spreads |= {
            _area(s): spread_cell(v.seed_spread * AREA.scale)
            for s, v in by_signal.items()
            if v.seed_spread
        }
        if spreads:
            yield Row("  spread of seeds", "scores", spreads, beside=True)


def _once(ensembles: Sequence[Ensemble]) -> Iterator[Row]:
    """Yield the baselines and the random cut, once for all runs with the same numbers."""
    distinct: dict[tuple[str, ...], Row] = {}
    for ensemble in ensembles:
        results, found = ensemble.results, ensemble.results.sculpting or {}
        rows = []
        for name in results.sections["baselines"]:
            cells = {k: plain(*v) for k, v in sculpting_numbers(found[name]).items()}
            areas = results.cells(name, AREA.key)
            cells |= {_area(s): AREA.cell(areas[s]) for s in results.signals if s in areas}
            rows.append(Row(results.title(name), "baselines", cells))
        floors = floor_numbers(found[results.default_score])
        cells = {key: plain(*interval) for key, interval in floors.items()}
        rows.append(Row(RANDOM, "published", cells))
        for row in rows:
            distinct.setdefault((row.name, *map(str, row.cells.values())), row)
    yield from sorted(distinct.values(), key=lambda row: row.section)
