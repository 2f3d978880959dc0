"""How results grow with training: curve.csv of runs, in one table and one figure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from anomaly_hep.atomic import write_text
from anomaly_hep.errors import ScoreTableError
from anomaly_hep.evaluate.figures.presentations import curves_of_runs
from anomaly_hep.evaluate.figures.style import save
from anomaly_hep.evaluate.labels import data_name
from anomaly_hep.evaluate.record import Record
from anomaly_hep.evaluate.runs import Run

FILE = "curve.csv"
NUMBERS = ("presentations", "auc", "auc_low", "auc_high")
COLUMNS = ("presentations", "score", "group", "auc", "auc_low", "auc_high")
NAME = "auc_against_presentations"


def read_curve(path: Path) -> pd.DataFrame:
    """Return curve.csv of a run: areas by score (or baseline), group and events presented.

    Raises ScoreTableError for a missing column or a number that is not finite.
    """
    curve = pd.read_csv(path)
    if missing := [column for column in COLUMNS if column not in curve]:
        raise ScoreTableError(
            f"{path} has no column {', '.join(missing)}. Cure: write it with the command curve"
        )
    bad = ~np.isfinite(curve[list(NUMBERS)].to_numpy(np.float64)).all(axis=1)
    if bad.any():
        raise ScoreTableError(
            f"{path}: {bad.sum()} of {len(curve)} rows hold a number that is not finite (first: "
            f"line {np.flatnonzero(bad)[0] + 2}). Cure: write it anew with the command curve"
        )
    return curve[list(COLUMNS)].sort_values(["score", "group", "presentations"])


def write_curves(directory: Path, runs: Iterable[Run]) -> list[str]:
    """Write the curves of all runs that have one, finished or not, and say so.

    auc_against_presentations.csv holds the rows of every curve.csv, after the run's name;
    auc_against_presentations.png draws them. Without a curve nothing is written.
    """
    known = [run for run in runs if (run.record.directory / FILE).is_file()]
    curves = {run.name: read_curve(run.record.directory / FILE) for run in known}
    curves = {name: curve for name, curve in curves.items() if len(curve)}
    if not curves:
        return []
    table = pd.concat([curve.assign(run=name) for name, curve in curves.items()])
    text = table[["run", *COLUMNS]].to_csv(index=False)
    write_text(directory / f"{NAME}.csv", text)
    data = "; ".join(dict.fromkeys(_data(run.record) for run in known))
    save(curves_of_runs(curves, data), directory / f"{NAME}.png")
    return [f"Curves against training size of {', '.join(curves)} are in {NAME}.png and .csv."]


def _data(record: Record) -> str:
    """Return what a run was tested on; of one that has not come so far, what it trains on."""
    if record.finished:
        return data_name(record.metrics)
    data = record.config.get("data", {})
    # whether files are simulated is known from metrics.json; until then the directory is named
    return f"{data.get('title', 'data')} ({Path(str(data.get('dir', 'unknown'))).name})"
