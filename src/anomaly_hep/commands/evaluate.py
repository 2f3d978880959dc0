"""`evaluate`: redo metrics, figures and report of a run from its scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from anomaly_hep import checksums
from anomaly_hep.errors import RunDirectoryError
from anomaly_hep.evaluate.evaluation import evaluate
from anomaly_hep.evaluate.figures import write_figures
from anomaly_hep.evaluate.report import write_report
from anomaly_hep.evaluate.results import write_results
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.evaluate.tables import result_table
from anomaly_hep.settings import EvaluateSettings


def run(settings: EvaluateSettings) -> None:
    """Evaluate a finished run again."""
    files = RunFiles(Path(settings.run_dir))
    if not files.finished:
        raise RunDirectoryError(
            f"{files.directory} holds no finished run. Cure: give run_dir a directory with "
            "done.json, or run its train.py command to the end"
        )
    previous = files.results
    results = evaluate(
        files.table,
        data=replace(previous.data, mass=files.mass),
        model=previous.model,
        default_score=previous.default_score,
        speed=previous.speed,
        paper=previous.paper,
    )
    with checksums.rewriting(files.directory, "metrics.json", "speed.json"):
        write_results(files.directory, results)
    write_figures(files.directory)
    write_report(files.directory)
    Console(markup=False).print(result_table(results, published=files.published))
