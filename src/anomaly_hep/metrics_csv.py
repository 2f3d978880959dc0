"""metrics.csv: the losses of a training by step, whatever dashboard is on."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from anomaly_hep.atomic import write_text


class MetricsCSV(Logger):
    """Rows of metrics, one file, written whole; a resumed run keeps the rows before its checkpoint.

    Lightning's own CSVLogger deletes the rows of the part that was killed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as handle:
                self.rows = list(csv.DictReader(handle))

    @property
    def name(self) -> str:
        """Name that Lightning asks of a logger."""
        return "metrics.csv"

    @property
    def version(self) -> str:
        """Version that Lightning asks of a logger."""
        return ""

    @property
    @rank_zero_experiment
    def experiment(self) -> None:
        """Nothing lies behind this logger."""

    def log_hyperparams(self, *arguments: Any, **keywords: Any) -> None:
        """Do nothing: config.yaml holds them."""

    def keep(self, number: int) -> None:
        """Keep so many rows: the others are of steps that will be made again."""
        del self.rows[number:]

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add a row."""
        self.rows.append({"step": step, **metrics})

    @rank_zero_only
    def save(self) -> None:
        """Write the file."""
        names = {name: None for row in self.rows for name in row}
        text = io.StringIO()
        writer = csv.DictWriter(text, list(names), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write the file at the end of a fit, however it ended."""
        del status
        if self.rows:
            self.save()
