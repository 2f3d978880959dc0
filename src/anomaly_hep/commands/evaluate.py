"""`evaluate`: metrics, figures and report of a run anew, from its scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from rich.console import Console

from anomaly_hep.errors import RunDirectoryError
from anomaly_hep.evaluate.figures import write_figures
from anomaly_hep.evaluate.metrics import evaluate, write_metrics
from anomaly_hep.evaluate.report import write_report
from anomaly_hep.evaluate.tables import published_for, result_table

METADATA = ("data", "model", "default_score", "speed")


def run(config: Mapping[str, Any]) -> None:
    """Evaluate a finished run again."""
    path = Path(config["run_dir"])
    if not (path / "done.json").exists():
        raise RunDirectoryError(
            f"{path} holds no finished run. Cure: give run_dir a directory with done.json, or "
            "run its train.py command to the end"
        )
    before = json.loads((path / "metrics.json").read_text(encoding="utf-8"))
    table = pd.read_parquet(path / "scores.parquet")
    metadata = {key: before[key] for key in METADATA}
    background = metadata["data"].pop("background")
    del metadata["data"]["events"]
    metrics = evaluate(table, background=background, metadata=metadata)
    write_metrics(path / "metrics.json", metrics)
    write_figures(path)
    write_report(path)
    settings = yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))
    Console().print(result_table(metrics, published=published_for(settings)))
