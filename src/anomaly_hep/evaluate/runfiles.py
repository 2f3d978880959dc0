"""The files of a run directory, read back for report, figures and collect."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import yaml

from anomaly_hep import checksums
from anomaly_hep.atomic import atomic_path
from anomaly_hep.errors import ConfigError, MissingDataError, RunDirectoryError, in_one_line
from anomaly_hep.evaluate.evaluation import (
    Values,
    distributions,
    event_weights,
    events_by_label,
    score_columns,
)
from anomaly_hep.evaluate.massbins import BackgroundMasses
from anomaly_hep.evaluate.paper import Paper, PublishedRow, paper_of
from anomaly_hep.evaluate.results import EventRates, Results
from anomaly_hep.evaluate.roc import ScoreDistribution
from anomaly_hep.evaluate.sculptings import background_masses
from anomaly_hep.models.fits.companions import decorrelation_of
from anomaly_hep.models.loading import model_class, score_descriptions
from anomaly_hep.models.outputs import Reconstruction, ScoreDescription

_Content = TypeVar("_Content")


class RunFiles:
    """The files of one run directory, each read when it is first asked for.

    Raises MissingDataError for a file that an evaluated run should have, RunDirectoryError for one
    that is damaged or no longer what the run wrote.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)

    @cached_property
    def results(self) -> Results:
        """Content of metrics.json, with the titles and nouns of its model, paper and files."""
        paper, scores = self.paper, self.descriptions
        title = self._from_config(lambda: model_class(self._target).title)
        noun, speed = str(self.ledger.get("event_noun", "events")), self.speed
        return self._read(
            "metrics.json",
            lambda path: Results.from_json(
                _json(path), paper, title=title, scores=scores, event_noun=noun, speed=speed
            ),
        )

    @cached_property
    def speed(self) -> EventRates:
        """Content of speed.json; before there was one, metrics.json held the rates."""
        if (self.directory / "speed.json").is_file():
            return self._read("speed.json", lambda path: EventRates(**_json(path)))
        return self._read("metrics.json", lambda path: EventRates(**_json(path).get("speed", {})))

    @cached_property
    def paper(self) -> Paper:
        """The paper that the data belong to."""
        return self._from_config(lambda: paper_of(self.config))

    @cached_property
    def published(self) -> list[PublishedRow]:
        """The published rows that the run is compared with."""
        return self._from_config(lambda: self.paper.published(self.config))

    @cached_property
    def descriptions(self) -> dict[str, ScoreDescription]:
        """Title and unit of every score of the model, in the order to show them."""
        return self._from_config(
            lambda: score_descriptions(
                self._target, self.config.get("fitted_scores"), decorrelation_of(self.config)
            )
        )

    @property
    def _target(self) -> str:
        return str(self.config["model"]["_target_"])

    @cached_property
    def ledger(self) -> dict[str, Any]:
        """Content of ledger.json: which file gave how many events, what was refused and why."""
        content: dict[str, Any] = self._read("ledger.json", _json)
        return content

    @cached_property
    def config(self) -> dict[str, Any]:
        """Content of config.yaml."""
        return self._read("config.yaml", lambda path: dict(yaml.safe_load(path.read_bytes())))

    @cached_property
    def config_text(self) -> str:
        """Content of config.yaml as it was written."""
        return self._read("config.yaml", lambda path: path.read_text("utf-8"))

    @cached_property
    def table(self) -> pd.DataFrame:
        """Table of scores, one row per event."""
        return self._read("scores.parquet", read_scores)

    @cached_property
    def distributions(self) -> dict[str, dict[str, ScoreDistribution]]:
        """Every score and baseline of the table by name and class."""
        return distributions(self.table, self.paper)

    @cached_property
    def columns(self) -> dict[str, Values]:
        """Every score and baseline of the table by name, of all events."""
        return score_columns(self.table, self.paper)

    @property
    def mass(self) -> str:
        """What the events' invariant mass is called; empty where the data name none."""
        data = self.config.get("data") or {}
        return str(data.get("mass_title") or data["mass"]) if data.get("mass") else ""

    @cached_property
    def background_masses(self) -> BackgroundMasses | None:
        """The background's events with a mass, in bins; None where no sculpting was measured."""
        results = self.results
        if results.sculpting is None:
            return None
        rows = events_by_label(self.table)[results.data.background]
        weights = event_weights(self.table)
        return background_masses(self.table, weights, rows, results.data.mass)

    @cached_property
    def losses(self) -> pd.DataFrame | None:
        """Losses by step and epoch from metrics.csv; None for a run that did not train."""
        path = self.directory / "metrics.csv"
        return self._read(path.name, pd.read_csv) if path.is_file() else None

    def reconstructions(self, form: type[Reconstruction]) -> dict[str, np.ndarray] | None:
        """Return the fields of true and reconstructed events, and their labels.

        None for a model or run without any, or with events of another form.
        """
        path = self.directory / "reconstructions.npz"
        if not path.is_file():
            return None
        arrays = self._read(path.name, _arrays)
        same = str(arrays["form"]) == form.__name__
        return arrays if same and len(arrays["labels"]) else None

    @cached_property
    def provenance(self) -> dict[str, Any] | None:
        """Content of provenance.json: versions and commands; None where it was not written."""
        path = self.directory / "provenance.json"
        return self._read(path.name, _json) if path.is_file() else None

    @property
    def finished(self) -> bool:
        """Whether the run is complete."""
        return (self.directory / "done.json").is_file()

    def _read(self, name: str, read: Callable[[Path], _Content]) -> _Content:
        path = self._existing(name)
        checksums.verify(path)
        try:
            return read(path)
        except OSError as error:
            if error.errno is not None:
                raise  # the path or the disk is at fault, not the content
            raise _damaged(path, error) from error
        except Exception as error:  # damaged bytes can raise any exception
            raise _damaged(path, error) from error

    def _existing(self, name: str) -> Path:
        path = self.directory / name
        if not path.is_file():
            raise MissingDataError(
                f"{path} does not exist: the run has not come so far, or it was removed. Cure: "
                f"{checksums.cure(path)}"
            )
        return path

    def _from_config(self, look: Callable[[], _Content]) -> _Content:
        """Return what `look` finds in config.yaml; raises ConfigError that names the file."""
        try:
            return look()
        except (ConfigError, LookupError, TypeError, AttributeError) as error:
            raise ConfigError(f"{self.directory / 'config.yaml'}: {error}") from error


def _damaged(path: Path, error: Exception) -> RunDirectoryError:
    return RunDirectoryError(
        f"{path} is damaged ({in_one_line(error)}). Cure: {checksums.cure(path)}"
    )


def read_scores(path: Path) -> pd.DataFrame:
    """Return scores.parquet; the checksum of each page is verified."""
    return pd.read_parquet(path, page_checksum_verification=True)


def write_scores(path: Path, table: pd.DataFrame) -> None:
    """Write scores.parquet, with a checksum for each page."""
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, index=False, write_page_checksum=True)


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text("utf-8")))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of reconstructions.npz, `form` and `labels` among them."""
    # numpy leaves a damaged file open that it opened itself
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        names = {"form", "labels", *archive.files}  # a KeyError names what is missing
        return {name: archive[name] for name in names}
