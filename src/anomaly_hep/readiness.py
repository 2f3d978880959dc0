"""What would end a run after hours, found before its first step: in its files and on its disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anomaly_hep import checksums
from anomaly_hep.data.mixture import mixtures, uneven
from anomaly_hep.data.module import EventDataModule
from anomaly_hep.data.plan import Slice
from anomaly_hep.data.samples import SampleFile
from anomaly_hep.errors import BadFileError, ConfigError, MissingDataError, RunDirectoryError
from anomaly_hep.evaluate.paper import Paper
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.fits.base import FittedScore
from anomaly_hep.models.fits.sources import columns_of
from anomaly_hep.models.phase import Phase
from anomaly_hep.settings import TrainerSettings

_NUMBER = 4  # bytes of a parameter
_MOMENTS = 2  # numbers that an optimiser keeps for each
_COPIES = 3  # of last.ckpt: itself, previous.ckpt and the one that is being written
_ROW, _COLUMN = 100, 8  # bytes of an event in scores.parquet: its texts, and each number
_PAGES = 10_000_000  # bytes of figures, report and tables
_DIFFERENT = 2  # values of a column on which a score can depend


@dataclass(frozen=True)
class Planned:
    """What a run is going to do with its files."""

    run: Path
    module: EventDataModule
    model: AnomalyModel
    phases: Sequence[Phase]
    fitted: Mapping[str, FittedScore]
    paper: Paper
    milestones: Sequence[int]


def check_processes(trainer: TrainerSettings) -> None:
    """Refuse more processes on the CPU than this machine has cores."""
    cores, devices = os.cpu_count() or 1, trainer.devices
    if trainer.accelerator == "cpu" and isinstance(devices, int) and devices > cores:
        raise ConfigError(
            f"trainer.devices={devices} are more processes than this machine has cores ({cores}). "
            f"Cure: {cores} at most"
        )


def check_files(plan: Planned) -> Iterator[str]:
    """Open every file of the run, before its first step; yield remarks.

    Of the test files the head, the columns and the weights are looked at.

    Raises RunDirectoryError for training files that changed since the training began and for a
    full disk; BadFileError, MissingDataError or ConfigError for what could not be tested later.
    """
    seen = _open_training_files(plan)
    for label in plan.module.classes:
        _check_test(plan, label)
        _check_columns(plan, plan.module.files("test", label))
    _check_columns(plan, [part.file for part in plan.module.background_parts()])
    _check_spread(plan)
    background = sum(map(len, plan.module.background_parts()))
    for name, score in plan.fitted.items():
        if min(background, score.events) < score.fewest_events:
            raise ConfigError(
                f"fitted_scores.{name} needs {score.fewest_events:,} background events and gets "
                f"{min(background, score.events):,}. Cure: more `events`, fewer neighbours, or "
                "more training background"
            )
    _check_space(plan)
    if absent := [
        label for label in plan.module.samples["test"] if label not in plan.module.classes
    ]:
        yield f"not tested, as there are no files of them: {', '.join(absent)}"
    yield from uneven(mixtures(plan.module))
    if late := _beyond(plan.milestones, seen):
        yield f"trainer.milestones: the training sees {seen:,} events, so {late} is not reached"


def missed_milestones(run: Path, milestones: Sequence[int]) -> Iterator[str]:
    """Yield a remark on milestones that a training has ended before."""
    files = (run / "checkpoints").glob("milestone-*.ckpt")
    reached = max((int(file.stem.removeprefix("milestone-")) for file in files), default=0)
    if late := _beyond(milestones, reached):
        yield f"trainer.milestones: the training ended before {late}, of which no weights are kept"


def _beyond(milestones: Sequence[int], seen: int) -> str:
    """Return the milestones beyond a number of events in words, empty for none."""
    late = sorted(mark for mark in milestones if mark > seen)
    return f"{late[0]:,}{' and what follows' if late[1:] else ''}" if late else ""


def _open_training_files(plan: Planned) -> int:
    """Return how many events the training sees; refuse files that changed since it began.

    A training that goes on with other files would see some events twice and others never.
    """
    module, seen = plan.module, 0
    for number, phase in enumerate(plan.phases):
        module.begin(phase.labels, number, background=phase.background)
        seen += phase.epochs * sum(map(len, module.parts("train")))
        module.parts("val")
    found = {file["path"]: file["sha256"] for file in module.ledger.to_json()["files"]}
    began = checksums.data_files(plan.run)
    if not any((plan.run / "checkpoints").glob("*.ckpt")):
        checksums.note_data_files(plan.run, found)
    elif began and _contents(began) != _contents(found):
        differing = [
            path for path in sorted({*began, *found}) if began.get(path) != found.get(path)
        ]
        raise RunDirectoryError(
            f"{differing[0]} is not what it was when the training in {plan.run} began "
            f"({len(differing)} of its files changed, came or went). Cure: put back what was "
            "there, or give another run_dir"
        )
    return seen


def _contents(files: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return names and SHA-256: the directory may have moved."""
    return sorted((Path(path).name, digest) for path, digest in files.items())


def _check_test(plan: Planned, label: str) -> None:
    """Raise an error if a class could not be tested."""
    files, place = plan.module.files("test", label), f"data.samples.test.{label}"
    if not sum(map(len, files)):
        raise MissingDataError(
            f"{place} holds no event. Cure: files with events, or ~{place} to leave it out"
        )
    if not any(file.has_weight for file in files):
        raise MissingDataError(
            f"all events of {place} have the weight 0. Cure: another column of weights, or "
            f"~{place} to leave it out"
        )
    for file in files:
        for column in plan.paper.event_columns:
            if column not in file.description.columns:
                raise BadFileError(
                    file.path,
                    "the branch is missing, which data.paper evaluates",
                    branch=column,
                    cure="data.paper=null evaluates without it; or give files that have it",
                )


def _check_columns(plan: Planned, files: Sequence[SampleFile]) -> None:
    """Raise BadFileError for a file without a column that fitted scores take."""
    for file in files:
        for column in columns_of(plan.fitted):
            if column not in file.description.columns:
                raise BadFileError(
                    file.path,
                    "the branch is missing, from which scores are decorrelated",
                    branch=column,
                    cure="score.decorrelate=null, or give files that have it",
                )


def _check_spread(plan: Planned) -> None:
    """Raise ConfigError if all background has the same value of a column that scores take."""
    module = plan.module
    for column in columns_of(plan.fitted):
        found: set[float] = set()
        chunks = (
            Slice(part.file, start, min(start + module.chunk_events, part.stop), 0)
            for part in module.background_parts()
            for start in range(part.start, part.stop, module.chunk_events)
        )
        while len(found) < _DIFFERENT and (chunk := next(chunks, None)):
            values = module.reading.read(chunk, [column], judged=False).events[column]
            found.update(np.unique(values)[:_DIFFERENT].tolist())
        if len(found) == 1:
            raise ConfigError(
                f"all training background has the same {column} ({found.pop():g} GeV), so no score "
                "depends on it. Cure: another column in data.mass, or score.decorrelate=null"
            )


def _check_space(plan: Planned) -> None:
    """Raise RunDirectoryError if the disk has no room for checkpoints and scores."""
    weights = _NUMBER * sum(parameter.numel() for parameter in plan.model.parameters())
    kept = len(plan.phases) + len(plan.milestones)
    checkpoints = weights * ((1 + _MOMENTS) * _COPIES + kept)
    events = sum(len(f) for label in plan.module.classes for f in plan.module.files("test", label))
    columns = len(plan.model.score_names) + len(plan.fitted) + len(plan.paper.event_columns)
    columns += len(plan.model.event_columns)
    scores = events * (_ROW + _COLUMN * columns)
    there = sum(file.stat().st_size for file in plan.run.rglob("*") if file.is_file())
    needed = checkpoints + scores + _PAGES - there
    free = shutil.disk_usage(plan.run).free
    if free < needed:
        raise RunDirectoryError(
            f"{plan.run} has {free / 1e6:,.1f} MB free, and the run needs about "
            f"{needed / 1e6:,.1f} MB: {checkpoints / 1e6:,.1f} for checkpoints, "
            f"{scores / 1e6:,.1f} for the scores of {events:,} events, {_PAGES / 1e6:,.0f} for "
            "figures and report. Cure: free space there, or give run_dir a place with more"
        )
