"""`cluster`: quantities of jets, in a file beside each file of events."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from anomaly_hep import plugins
from anomaly_hep.commands.score import input_files
from anomaly_hep.errors import ConfigError, MissingToolError, SimulationError
from anomaly_hep.formats.files import Format, format_of
from anomaly_hep.formats.judging import bad_rows, findings
from anomaly_hep.lifeline import end_with_parent
from anomaly_hep.settings import ClusterSettings
from anomaly_hep.types import Events

_EVENTS = 1000  # of a worker's task: half a second


@runtime_checkable
class _BesideFormat(Format, Protocol):
    """A format of files that lie beside files of events, with a row for each."""

    def write(self, path: Path, parts: Iterable[Events]) -> int:
        """Write all parts, or no file at all; return the number of rows."""

    def features_path(self, path: Path) -> Path:
        """Return where the features of a file of events lie."""

    def check_beside(self, path: Path, entries: int, features: Path) -> None:
        """Raise BadFileError unless the features are of as many events."""


@runtime_checkable
class _Clustering(Protocol):
    """A module of the simulation that makes features of jets from the COLUMNS of events."""

    COLUMNS: Sequence[str]
    FORMAT: _BesideFormat

    def features(self, events: Events) -> Mapping[str, np.ndarray]:
        """Return columns with one value per event."""


def run(settings: ClusterSettings) -> None:
    """Make every missing file of features; a second call continues."""
    made_by = _clustering(settings.clustering)
    paths = [p for p in input_files(settings.files, "files") if format_of(p) != made_by.FORMAT]
    if not paths:
        raise ConfigError(
            f"files={settings.files} are files of features already. Cure: name files of events"
        )
    missing = [path for path in paths if not _complete(made_by, path)]
    events = {path: format_of(path).describe(path).entries for path in missing}
    workers = settings.workers or len(os.sched_getaffinity(0))
    console = Console(markup=False, highlight=False, soft_wrap=True)
    with _processes(workers) as pool, _progress(sum(events.values())) as progress:
        for path, number in events.items():
            impossible = _make(made_by, settings.clustering, path, number, pool, progress)
            features = made_by.FORMAT.features_path(path)
            console.print(f"{features}: {number:,} events{_said(impossible)}")
    console.print(f"{len(paths) - len(missing)} files were complete, {len(missing)} made now")


def _clustering(path: str) -> _Clustering:
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
    if not isinstance(module, _Clustering):
        raise ConfigError(
            f"clustering={path} makes no features of jets. Cure: name a module of "
            "anomaly_hep.simulate that does, as conf/cluster.yaml does"
        )
    return module


def _complete(made_by: _Clustering, path: Path) -> bool:
    """Return whether a file has its features; raises BadFileError for those of other events."""
    features = made_by.FORMAT.features_path(path)
    if not features.exists():
        return False
    made_by.FORMAT.check_beside(path, format_of(path).describe(path).entries, features)
    return True


def _make(
    made_by: _Clustering,
    clustering: str,
    path: Path,
    number: int,
    pool: Executor,
    progress: Progress,
) -> int:
    """Write the features of one file, all or nothing; return how many events are impossible."""
    impossible = 0
    edges = range(0, number, _EVENTS)
    tasks = [(clustering, path, start, min(start + _EVENTS, number)) for start in edges]

    def parts() -> Iterator[Events]:
        nonlocal impossible
        for columns, bad in pool.map(_clustered, *zip(*tasks, strict=True)) if tasks else ():
            impossible += bad
            lengths = np.zeros(len(next(iter(columns.values()))), np.int64)
            yield Events(lengths, {}, columns)
            progress.advance(progress.task_ids[0], len(lengths))

    try:
        made_by.FORMAT.write(made_by.FORMAT.features_path(path), parts())
    except BrokenProcessPool as error:
        raise SimulationError(
            f"{path}: a worker was killed. Cure: free memory, or workers=1; complete files stay, "
            "and the same command continues"
        ) from error
    return impossible


def _clustered(
    clustering: str, path: Path, start: int, stop: int
) -> tuple[dict[str, np.ndarray], int]:
    """Return the features of some events, zeros for impossible ones, and the number of these."""
    made_by = _clustering(clustering)
    known = format_of(path)
    events = known.read(path, start, stop, list(made_by.COLUMNS))
    bad = bad_rows(findings(known.LAYOUT, events), len(events))
    good = np.flatnonzero(~bad)
    found = {}
    for name, values in made_by.features(events.take(good)).items():
        found[name] = np.zeros(len(events), values.dtype)
        found[name][good] = values
    return found, int(bad.sum())


def _said(impossible: int) -> str:
    return f", {impossible:,} of them impossible: their features are zeros" if impossible else ""


@contextmanager
def _processes(workers: int) -> Iterator[Executor]:
    """Yield worker processes, which end with this one and leave no task behind an error."""
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(os.getpid(),)
    )
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(parent: int) -> None:
    end_with_parent(parent)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # FastJet prints a banner


@contextmanager
def _progress(events: int) -> Iterator[Progress]:
    console = Console(stderr=True)
    with Progress(
        TextColumn("Clustering"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        progress.add_task("events", total=events)
        yield progress
