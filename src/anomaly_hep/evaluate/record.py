"""A run directory, read back: what report, figures and collect are made from."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from anomaly_hep.errors import MissingDataError


class Record:
    """The files of one run directory, each read when it is first asked for.

    Raises MissingDataError for a file that a scored and evaluated run has and this one lacks.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Content of metrics.json."""
        content: dict[str, Any] = json.loads(self._existing("metrics.json").read_text("utf-8"))
        return content

    @cached_property
    def ledger(self) -> Any:
        """Content of ledger.json: which file gave how many events, what was refused and why."""
        return json.loads(self._existing("ledger.json").read_text("utf-8"))

    @cached_property
    def config(self) -> dict[str, Any]:
        """Content of config.yaml as plain values, interpolations unresolved."""
        content: Any = OmegaConf.to_container(OmegaConf.load(self._existing("config.yaml")))
        return dict(content or {})

    @cached_property
    def config_text(self) -> str:
        """Content of config.yaml as it was written."""
        return self._existing("config.yaml").read_text("utf-8")

    @cached_property
    def table(self) -> pd.DataFrame:
        """Table of scores, one row per event."""
        return pd.read_parquet(self._existing("scores.parquet"))

    @cached_property
    def losses(self) -> pd.DataFrame | None:
        """Losses by step and epoch from metrics.csv; None for a run that did not train."""
        path = self.directory / "metrics.csv"
        return pd.read_csv(path) if path.is_file() else None

    @cached_property
    def reconstructions(self) -> dict[str, np.ndarray] | None:
        """True and reconstructed jets; None for a model or run that gives none."""
        path = self.directory / "reconstructions.npz"
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    @cached_property
    def provenance(self) -> dict[str, Any] | None:
        """Content of provenance.json: versions and commands; None where it was not written."""
        path = self.directory / "provenance.json"
        return json.loads(path.read_text("utf-8")) if path.is_file() else None

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return (self.directory / "done.json").is_file()

    def _existing(self, name: str) -> Path:
        path = self.directory / name
        if not path.is_file():
            raise MissingDataError(
                f"{path} is not there: the run has not come so far. Start the same command again "
                "to finish it"
            )
        return path
