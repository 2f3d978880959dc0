"""`curve`: the results of a run's milestones on its test files, against training size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from anomaly_hep import checksums
from anomaly_hep.atomic import atomic_path
from anomaly_hep.checking import settings_of
from anomaly_hep.commands.train import execution_of, make_data
from anomaly_hep.configuration import resolved
from anomaly_hep.errors import ConfigError, MissingDataError
from anomaly_hep.evaluate.evaluation import evaluate, gain_key
from anomaly_hep.evaluate.learningcurve import read_curve
from anomaly_hep.evaluate.loading import load_model
from anomaly_hep.evaluate.metrics import AREA
from anomaly_hep.evaluate.paper import Paper, load_paper
from anomaly_hep.evaluate.results import DataDescription, EventRates, ModelDescription
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.evaluate.scores import Scorer
from anomaly_hep.evaluate.scoretable import score_table
from anomaly_hep.run import training
from anomaly_hep.runtime import keep_freed_memory
from anomaly_hep.settings import CurveSettings
from anomaly_hep.sharing import share_cores

COLUMNS = ("events_seen", "score", "group", "auc", "auc_low", "auc_high", "gain", "gain_low",
           "gain_high")  # fmt: skip


def run(settings: CurveSettings) -> None:
    """Score the test files with every milestone's weights and write curve.csv; choose no weights.

    Existing rows are kept, so the command can follow a run that still trains.
    """
    keep_freed_memory()
    share_cores()
    path = Path(settings.run_dir)
    file = path / "config.yaml"
    if not file.exists():
        raise MissingDataError(f"{path} holds no run. Cure: give run_dir a directory of train.py")
    trained = settings_of("train", resolved(RunFiles(path).config))
    data = trained.data
    if settings.test_dir is not None:
        data = replace(data, test_dir=settings.test_dir)
    paper, module = load_paper(data.paper), make_data(data, trained.seed)
    if not module.groups:
        raise ConfigError(
            f"the run in {path} has no groups of signals to average over. Cure: {_regroup(path)}"
        )
    tested = DataDescription("curve", "user", None, module.background, groups=module.groups)
    output = path / "curve.csv"
    done = _read_rows(output) if output.exists() else pd.DataFrame(columns=list(COLUMNS))
    console = Console(markup=False)
    for number, checkpoint in _milestones(path):
        if number in set(done["events_seen"]):
            continue
        model, reading, _ = load_model(checkpoint)
        scorer = Scorer(
            model,
            reading,
            trained.score_batch_size,
            trained.trainer.precision,
            execution=execution_of(trained.trainer),
        )
        table = score_table(paper, module, scorer)
        rows = pd.DataFrame(_rows(number, table, tested, paper, scorer))
        done = pd.concat([done, rows], ignore_index=True) if len(done) else rows
        with checksums.rewriting(path, output.name), atomic_path(output) as temporary:
            done.sort_values(["events_seen", "score", "group"]).to_csv(temporary, index=False)
        best = rows[rows["score"] == scorer.model.default_score]
        console.print(
            f"{number:>9,} events seen: {scorer.model.default_score} "
            + ", ".join(f"{row.group} {100 * row.auc:.1f} %" for row in best.itertuples())
        )
    console.print(f"written to {output}")


def _regroup(path: Path) -> str:
    """Return how a run gets groups of signals."""
    groups = "'data.groups={NAME: [LABELS]}'"
    if "groups" in training(RunFiles(path).config)["data"]:  # in which signals were trained on
        return f"train in another run_dir with {groups}, then curve on that one"
    done = path / "done.json"
    remove = f"remove {done}, " if done.exists() else ""
    return f"{remove}give the training's command again with run_dir={path} {groups}, then curve"


def _read_rows(path: Path) -> pd.DataFrame:
    """Return curve.csv, sound in all columns that its drawing needs."""
    read_curve(path)
    return pd.read_csv(path)


def _milestones(path: Path) -> list[tuple[int, Path]]:
    """Return the milestones of a run with their numbers of events seen, in ascending order."""
    files = path.glob("checkpoints/milestone-*.ckpt")
    milestones = sorted((int(file.stem.removeprefix("milestone-")), file) for file in files)
    if not milestones:
        raise MissingDataError(
            f"{path} has no milestone. Cure: train with trainer.milestones, and until the first"
        )
    return milestones


def _rows(
    seen: int, table: pd.DataFrame, data: DataDescription, paper: Paper, scorer: Scorer
) -> list[dict[str, Any]]:
    results = evaluate(
        table,
        data=data,
        model=ModelDescription("curve", 0, 0, 0.0, 0.0),
        default_score=scorer.model.default_score,
        speed=EventRates(),
        paper=paper,
    )
    rows = []
    for score, groups in (results.means or {}).items():
        for group, means in groups.items():
            gain = means.get(gain_key(paper)) or (None, None, None)
            values = (seen, score, group, *(means[AREA.key] or ()), *gain)
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows
