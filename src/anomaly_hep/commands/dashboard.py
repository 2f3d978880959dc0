"""`dashboard`: a saved workspace in Weights & Biases for runs like a given one."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from anomaly_hep.dashboards import unreachable
from anomaly_hep.errors import ConfigError, RunDirectoryError
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.settings import DashboardSettings
from anomaly_hep.workspace import save, workspace


def run(settings: DashboardSettings) -> None:
    """Save the workspace and print its address."""
    path = Path(settings.run_dir)
    if not RunFiles(path).finished:
        raise RunDirectoryError(
            f"{path} holds no finished run. Cure: give run_dir a directory with done.json"
        )
    workspace(path, settings.entity, settings.project)  # before the network is asked
    if problem := unreachable(os.environ):
        raise ConfigError(f"{problem}. Cure: `wandb login`, on a machine with a network")
    Console().print(f"workspace: {save(path, settings.entity, settings.project)}")
