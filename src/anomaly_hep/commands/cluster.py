"""`cluster`: quantities of jets, in a file beside each file of events."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from anomaly_hep.commands.score import input_files
from anomaly_hep.errors import ConfigError, SimulationError
from anomaly_hep.formats.files import format_of
from anomaly_hep.settings import ClusterSettings
from anomaly_hep.simulate.clustering import Clustering, begin, clustered, load_clustering
from anomaly_hep.types import Events

_EVENTS = 1000  # of a worker's task: half a second


def run(settings: ClusterSettings) -> None:
    """Make every missing file of features; a second call continues."""
    made_by = load_clustering(settings.clustering)
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


def _complete(made_by: Clustering, path: Path) -> bool:
    """Return whether a file has its features; raises BadFileError for those of other events."""
    features = made_by.FORMAT.features_path(path)
    if not features.exists():
        return False
    made_by.FORMAT.check_beside(path, format_of(path).describe(path).entries, features)
    return True


def _make(
    made_by: Clustering,
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
        for columns, bad in pool.map(clustered, *zip(*tasks, strict=True)) if tasks else ():
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


def _said(impossible: int) -> str:
    return f", {impossible:,} of them impossible: their features are zeros" if impossible else ""


@contextmanager
def _processes(workers: int) -> Iterator[Executor]:
    """Yield worker processes, which end with this one and leave no task behind an error."""
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=begin, initargs=(os.getpid(),)
    )
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


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
