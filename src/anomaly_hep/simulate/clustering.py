"""Features of the jets of events, computed by worker processes.

Neither torch nor the command line is imported here, so that workers stay small.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from anomaly_hep import plugins
from anomaly_hep.errors import ConfigError, MissingToolError
from anomaly_hep.formats.files import Format, format_of
from anomaly_hep.formats.judging import bad_rows, findings
from anomaly_hep.lifeline import end_with_parent
from anomaly_hep.types import Events


@runtime_checkable
class BesideFormat(Format, Protocol):
    """A format of files that lie beside files of events, with a row for each."""

    def write(self, path: Path, parts: Iterable[Events]) -> int:
        """Write all parts, or no file at all; return the number of rows."""

    def features_path(self, path: Path) -> Path:
        """Return where the features of a file of events lie."""

    def check_beside(self, path: Path, entries: int, features: Path) -> None:
        """Raise BadFileError unless the features are of as many events."""


@runtime_checkable
class Clustering(Protocol):
    """A module of the simulation that makes features of jets from the COLUMNS of events."""

    COLUMNS: Sequence[str]
    FORMAT: BesideFormat

    def features(self, events: Events) -> Mapping[str, np.ndarray]:
        """Return columns with one value per event."""


def load_clustering(path: str) -> Clustering:
    """Return the module at a dotted path; raises ConfigError, or MissingToolError without FastJet.

    It is imported here, so that what is missing is said before any work.
    """
    try:
        module = plugins.imported(path, "simulate")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("anomaly_hep"):
            raise
        raise MissingToolError(
            f"clustering={path} needs {error.name}, which is not installed. Cure: pip install "
            f"{error.name}"
        ) from error
    if not isinstance(module, Clustering):
        raise ConfigError(
            f"clustering={path} makes no features of jets. Cure: name a module of "
            "anomaly_hep.simulate that does, as conf/cluster.yaml does"
        )
    return module


def clustered(
    clustering: str, path: Path, start: int, stop: int
) -> tuple[dict[str, np.ndarray], int]:
    """Return the features of some events, zeros for impossible ones, and the number of these."""
    made_by = load_clustering(clustering)
    known = format_of(path)
    events = known.read(path, start, stop, list(made_by.COLUMNS))
    bad = bad_rows(findings(known.LAYOUT, events), len(events))
    good = np.flatnonzero(~bad)
    found = {}
    for name, values in made_by.features(events.take(good)).items():
        found[name] = np.zeros(len(events), values.dtype)
        found[name][good] = values
    return found, int(bad.sum())


def begin(parent: int) -> None:
    """Have this process end with its parent, and print nothing."""
    end_with_parent(parent)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # FastJet prints a banner
