"""Run directories: their lock, the configuration that owns them, and their completion."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import torch
import yaml

from anomaly_hep import checksums, provenance
from anomaly_hep.atomic import write_text
from anomaly_hep.errors import RunDirectoryError, in_one_line

# choices that change where a run is written or shown, but not what it computes
NOT_IDENTITY = ("run_dir", "logger", "threads", "score_batch_size")
_NOT_IDENTITY_BELOW = {
    "trainer": ("enable_progress_bar", "checkpoint_every_seconds"),
    "data": ("num_workers",),
}


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that decides the results."""
    kept = {key: value for key, value in config.items() if key not in NOT_IDENTITY}
    for room, names in _NOT_IDENTITY_BELOW.items():
        if room in kept:
            kept[room] = {key: value for key, value in kept[room].items() if key not in names}
    return kept


def default_path(config: Mapping[str, Any], root: Path) -> Path:
    """Return the default directory of a run, which no two configurations share."""
    name = f"{config['model']['name']}-{config['data']['name']}-seed{config['seed']}"
    return root / f"{name}-{digest(config)}"


def digest(config: Mapping[str, Any]) -> str:
    """Return eight characters that differ between configurations with different results."""
    text = json.dumps(identity(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


class RunDirectory:
    """One run's directory, held by one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def finished(self) -> bool:
        """Whether the run is complete: then nothing in it is written again."""
        return (self.path / "done.json").exists()

    def take_threads(self, threads: int | None) -> None:
        """Compute with this many threads; None: as many as the run began with, or torch's default.

        Raises RunDirectoryError for another number than the run began with: sums split over another
        number of threads are rounded differently.
        """
        begun = None
        if any((self.path / "checkpoints").glob("*.ckpt")):
            starts = provenance.starts(self.path)
            begun = starts[-1]["arithmetic"]["threads"] if starts else None
            if begun is not None and threads not in (None, begun):
                raise RunDirectoryError(
                    f"{self.path} was begun with threads={begun}, and threads={threads} would "
                    f"round otherwise. Cure: threads={begun}, no threads=, or another run_dir"
                )
        if number := begun or threads:
            torch.set_num_threads(number)
            os.environ["OMP_NUM_THREADS"] = str(number)  # else Lightning chooses for its ranks

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Mark the run as complete."""
        (self.path / "error.txt").unlink(missing_ok=True)
        provenance.note_arithmetic(self.path)
        checksums.note_all(self.path)
        write_text(self.path / "done.json", json.dumps(dict(summary), indent=2) + "\n")


@contextmanager
def hold(path: Path, config: Mapping[str, Any]) -> Iterator[RunDirectory]:
    """Hold the run directory `path` for `config`; a failure inside leaves its traceback there.

    Raises RunDirectoryError when another process holds it or it belongs to another configuration.
    """
    path.mkdir(parents=True, exist_ok=True)
    lock = _lock(path)
    try:
        _check_owner(path, config)
        run = RunDirectory(path)
        if not run.finished:
            checksums.verify_kept(path)
            checksums.begin(path)
            run.take_threads(config["threads"])
            provenance.note_start(path, config)
        try:
            yield run
        except Exception:
            write_text(path / "error.txt", traceback.format_exc())
            raise
        finally:
            if not run.finished:
                provenance.note_arithmetic(path)
    finally:
        lock.close()


def _lock(path: Path) -> TextIO:
    # the kernel drops the lock with its process, so a kill leaves nothing to clean up
    handle = (path / ".lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        handle.seek(0)
        owner = handle.read().strip() or "another process"
        handle.close()
        raise RunDirectoryError(
            f"{path} is in use by process {owner}. Cure: wait for it, stop it, or give run_dir=PATH"
        ) from error
    handle.truncate(0)
    handle.write(f"{os.getpid()} on {platform.node()}\n")
    handle.flush()
    return handle


def _check_owner(path: Path, config: Mapping[str, Any]) -> None:
    file = path / "config.yaml"
    if file.exists():
        owner = saved_config(file)
        differing = sorted(_differences(identity(owner), identity(config)))
        if differing:
            raise RunDirectoryError(
                f"{path} belongs to a run with other choices ({', '.join(differing[:8])}). "
                "Cure: give another run_dir, or remove this one"
            )
        return
    strangers = [p.name for p in path.iterdir() if p.name != ".lock"]
    if strangers:
        raise RunDirectoryError(
            f"{path} holds files of something else ({', '.join(sorted(strangers)[:5])}). "
            "Cure: give run_dir an empty or new directory"
        )
    write_text(file, yaml.safe_dump(dict(config), sort_keys=False))
    checksums.note(path, [file.name])


def saved_config(file: Path) -> dict[str, Any]:
    """Return the content of a run's config.yaml; raises RunDirectoryError for a damaged one."""
    checksums.verify(file)
    try:
        return dict(yaml.safe_load(file.read_bytes()))
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise RunDirectoryError(
            f"{file} is damaged ({in_one_line(error)}). Cure: {checksums.cure(file)}"
        ) from error


def _differences(one: Any, other: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in {*one, *other}:
            yield from _differences(one.get(key), other.get(key), f"{prefix}{key}.")
    elif one != other:
        yield prefix.rstrip(".")
