"""Results against the number of events seen in training: the curve.csv files of several runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from anomaly_hep import checksums
from anomaly_hep.atomic import write_text
from anomaly_hep.errors import RunDirectoryError, ScoreTableError, in_one_line
from anomaly_hep.evaluate.ensembles import Run
from anomaly_hep.evaluate.figures.style import save
from anomaly_hep.evaluate.figures.training import learning_curves
from anomaly_hep.evaluate.runfiles import RunFiles

FILE = "curve.csv"
NUMBERS = ("events_seen", "auc", "auc_low", "auc_high")
COLUMNS = ("events_seen", "score", "group", "auc", "auc_low", "auc_high")
NAME = "auc_against_events_seen"


def read_curve(path: Path) -> pd.DataFrame:
    """Return curve.csv of a run: areas by score (or baseline), group and events seen.

    Raises RunDirectoryError for a changed or unreadable file, ScoreTableError for a missing column
    or a number that is not finite.
    """
    checksums.verify(path)
    try:
        curve = pd.read_csv(path)
        numbers = curve[[column for column in NUMBERS if column in curve]].to_numpy(np.float64)
    except ValueError as error:  # pandas' own errors are kinds of it
        raise RunDirectoryError(
            f"{path} is damaged ({in_one_line(error)}). Cure: {checksums.cure(path)}"
        ) from error
    if missing := [column for column in COLUMNS if column not in curve]:
        raise ScoreTableError(
            f"{path} has no column {', '.join(missing)}. Cure: write it with the command curve"
        )
    bad = ~np.isfinite(numbers).all(axis=1)
    if bad.any():
        raise ScoreTableError(
            f"{path}: {bad.sum()} of {len(curve)} rows hold a number that is not finite (first: "
            f"line {np.flatnonzero(bad)[0] + 2}). Cure: write it anew with the command curve"
        )
    return curve[list(COLUMNS)].sort_values(["score", "group", "events_seen"])


def write_curves(directory: Path, runs: Iterable[Run]) -> list[str]:
    """Write the curves of all runs that have one, finished or not; return remarks on them.

    auc_against_events_seen.csv holds the rows of every curve.csv with the run's name;
    auc_against_events_seen.png draws them. Without a curve nothing is written.
    """
    members = [run for run in runs if (run.files.directory / FILE).is_file()]
    curves = {run.name: read_curve(run.files.directory / FILE) for run in members}
    curves = {name: curve for name, curve in curves.items() if len(curve)}
    if not curves:
        return []
    table = pd.concat([curve.assign(run=name) for name, curve in curves.items()])
    text = table[["run", *COLUMNS]].to_csv(index=False)
    write_text(directory / f"{NAME}.csv", text)
    data = "; ".join(dict.fromkeys(_data(run.files) for run in members))
    titles = {n: d.title for run in members for n, d in run.files.descriptions.items()}
    figure = learning_curves(curves, members[0].files.paper, titles, data)
    save(figure, directory / f"{NAME}.png")
    return [f"Curves against training size of {', '.join(curves)} are in {NAME}.png and .csv."]


def _data(run: RunFiles) -> str:
    """Return the test data of a run; of an unfinished one, the data that it trains on."""
    if run.finished:
        return run.results.data.title
    data = run.config.get("data", {})
    # only metrics.json says whether files are simulated; until then name the directory
    return f"{data.get('title', 'data')} ({Path(str(data.get('dir', 'unknown'))).name})"
