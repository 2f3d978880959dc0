"""`rate`: the threshold on a score for a wanted trigger rate, from background alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from anomaly_hep.errors import ConfigError, RunDirectoryError
from anomaly_hep.evaluate.cells import Cell
from anomaly_hep.evaluate.evaluation import (
    SCORE_PREFIX,
    event_weights,
    events_by_label,
    score_names,
)
from anomaly_hep.evaluate.intervals import Interval, binomial
from anomaly_hep.evaluate.loading import load_fitted
from anomaly_hep.evaluate.resulttable import Column, ResultTable, Row
from anomaly_hep.evaluate.roc import ScoreDistribution
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.evaluate.thresholds import FILE, Thresholds, files_behind
from anomaly_hep.evaluate.triggerrate import trigger_threshold
from anomaly_hep.settings import RateSettings


def run(settings: RateSettings) -> None:
    """Write RUN/threshold.json, and print what passes it."""
    files = RunFiles(Path(settings.run))
    if not files.finished:
        raise RunDirectoryError(
            f"{files.directory} holds no finished run. Cure: give run a directory with done.json, "
            "or run its train.py command to the end"
        )
    found = thresholds_of(files, settings)
    found.write(files.directory)
    console = Console(markup=False)
    console.print(threshold_table(found))
    console.print(efficiency_table(files, found))
    console.print(f"written to {files.directory / FILE}", soft_wrap=True)


def thresholds_of(files: RunFiles, settings: RateSettings) -> Thresholds:
    """Return the thresholds of a run's scores, from its background test events alone."""
    data, table = files.results.data, files.table
    names = _scores(settings.score, score_names(table), files.results.default_score)
    rows, weights = events_by_label(table)[data.background], event_weights(table)
    found, effective = [], 0.0
    for name in names:
        scores = table[f"{SCORE_PREFIX}{name}"].to_numpy(np.float64)
        background = ScoreDistribution.of(scores[rows], weights[rows], name=f"score {name}")
        effective = background.effective_events
        found.append(
            trigger_threshold(name, background, settings.rate_hz, settings.input_rate_hz, len(rows))
        )
    checkpoint = files.directory / "checkpoints" / "best.ckpt"
    return Thresholds(
        data=data.name,
        origin=data.origin,
        background=data.background,
        events=len(rows),
        effective_events=round(effective, 3),
        wanted_hz=settings.rate_hz,
        input_rate_hz=settings.input_rate_hz,
        files=files_behind(checkpoint, names, load_fitted(checkpoint.parent)),
        thresholds=found,
    )


def _scores(given: str | Sequence[str] | None, known: Sequence[str], default: str) -> list[str]:
    """Return the scores that were asked for, each once; raises ConfigError for an unknown one."""
    chosen = [given] if isinstance(given, str) else list(given or [default])
    for name in chosen:
        if name not in known:
            raise ConfigError(
                f"score={name} is not in this run. Cure: choose from {', '.join(known)}"
            )
    return list(dict.fromkeys(chosen))


def threshold_table(found: Thresholds) -> ResultTable:
    """Return each score's threshold and the rate of background above it."""
    heads = ("threshold", "rate [Hz]", "background above")
    rows = [
        (one.score, [_cell(one.threshold), _cell(one.rate_hz), Cell(f"{one.above:,.1f}", "")])
        for one in found.thresholds
    ]
    return _table(
        f"Thresholds for {found.wanted_hz:g} Hz of {found.input_rate_hz:g} Hz",
        heads,
        rows,
        f"From {found.events:,} {found.background} events ({found.data}) alone, "
        f"{found.effective_events:,.0f} effective. An event is kept above the threshold. Intervals "
        "hold 68 %: of the threshold by order statistics, of the rate by its binomial error. They "
        "do not know how far these events are from those of the experiment.",
    )


def efficiency_table(files: RunFiles, found: Thresholds) -> ResultTable:
    """Return the share of each signal's events above the thresholds, which had no say in them."""
    table, results = files.table, files.results
    rows, weights = events_by_label(table), event_weights(table)
    signals = [label for label in results.signals if label in rows]
    lines = []
    for one in found.thresholds:
        scores = table[f"{SCORE_PREFIX}{one.score}"].to_numpy(np.float64)
        cells = []
        for label in signals:
            own = ScoreDistribution.of(scores[rows[label]], weights[rows[label]], name=label)
            share = float(own.above(np.array([one.threshold.value]))[0])
            number = own.effective_events
            cells.append(
                _cell(Interval(*(100 * part for part in binomial(share * number, number))))
            )
        lines.append((one.score, cells))
    return _table(
        "Events above the thresholds [%]",
        signals,
        lines,
        "For information: the thresholds come from background alone.",
    )


def _cell(interval: Interval) -> Cell:
    return Cell(f"{interval.value:.5g}", f"{interval.low:.4g}-{interval.high:.4g}")


def _table(
    title: str, heads: Sequence[str], rows: Sequence[tuple[str, Sequence[Cell]]], remark: str
) -> ResultTable:
    lines = [Row(name, "", dict(zip(heads, cells, strict=True))) for name, cells in rows]
    return ResultTable(title, [[Column(head, head, head) for head in heads]], lines, [remark])
