"""metrics.csv: the losses of a training by step, whichever dashboard is used."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from anomaly_hep import checksums
from anomaly_hep.atomic import write_text
from anomaly_hep.errors import RunDirectoryError, in_one_line


class MetricsCSV(Logger):
    """Metrics in one CSV file, written whole; a resumed run keeps the rows before its checkpoint.

    Lightning's own CSVLogger deletes the rows that a killed run has written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.exists():
            try:
                with path.open(newline="", encoding="utf-8") as handle:
                    self.rows = list(csv.DictReader(handle))
            except (csv.Error, UnicodeDecodeError) as error:
                raise RunDirectoryError(
                    f"{path} is damaged ({in_one_line(error)}). Cure: {checksums.cure(path)}"
                ) from error

    @property
    def name(self) -> str:
        """Name, which Lightning requires of a logger."""
        return "metrics.csv"

    @property
    def version(self) -> str:
        """Version, which Lightning requires of a logger."""
        return ""

    @property
    @rank_zero_experiment
    def experiment(self) -> None:
        """None: this logger has no external service."""

    def log_hyperparams(self, *arguments: Any, **keywords: Any) -> None:
        """Do nothing: config.yaml holds the hyperparameters."""

    def keep(self, number: int) -> None:
        """Keep the first `number` rows: the steps of the others will be repeated."""
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
