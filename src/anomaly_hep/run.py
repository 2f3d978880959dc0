"""Run directories: their lock, the configuration that owns them, and their completion."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import torch
import yaml

from anomaly_hep import checksums, provenance
from anomaly_hep.atomic import write_text
from anomaly_hep.errors import RunDirectoryError
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.settings import shown

OUTPUTS = Path("outputs")  # where runs are, unless run_dir says
# choices that change where a run is written or shown, but not what it computes
NOT_IDENTITY = ("run_dir", "logger", "threads", "score_batch_size")
_NOT_IDENTITY_BELOW = {
    "trainer": ("enable_progress_bar", "checkpoint_every_seconds"),
    "data": ("num_workers",),
}
# choices that decide how a trained network is tested, but not the training
_EVALUATION = ("fitted_scores", "score", "data.title", "data.paper", "data.test_dir",
               "data.samples.test", "data.directories.test", "data.groups")  # fmt: skip
# files that a run has before its training begins
_BEFORE_TRAINING = {".lock", "config.yaml", "provenance.json", checksums.FILE, "error.txt"}


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that decides the results."""
    kept = {key: value for key, value in config.items() if key not in NOT_IDENTITY}
    for room, names in _NOT_IDENTITY_BELOW.items():
        if room in kept:
            kept[room] = {key: value for key, value in kept[room].items() if key not in names}
    return kept


def training(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that decides the training."""
    return _without(identity(config), _evaluation_keys(config))


def _evaluation_keys(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys that decide only the evaluation; signals may train in their groups."""
    phases = config.get("model", {}).get("phases", {})
    labelled = any(phase.get("labels") for phase in phases.values())
    grouped = labelled or config.get("data", {}).get("signal_in_training")
    return tuple(key for key in _EVALUATION if not (grouped and key == "data.groups"))


def _without(config: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Return a configuration without some dotted keys."""
    kept = dict(config)
    for key in keys:
        first, _, rest = key.partition(".")
        if rest and isinstance(kept.get(first), Mapping):
            kept[first] = _without(kept[first], [rest])
        elif not rest:
            kept.pop(first, None)
    return kept


def default_path(config: Mapping[str, Any], root: Path) -> Path:
    """Return the default directory of a run, which no two trainings share."""
    name = f"{config['model']['name']}-{config['data']['name']}-seed{config['seed']}"
    return root / f"{name}-{digest(config)}"


def digest(config: Mapping[str, Any]) -> str:
    """Return eight characters that differ between configurations with different trainings."""
    text = json.dumps(training(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


class RunDirectory:
    """One run's directory, held by one process at a time.

    `retested` are the keys in which the choices of the evaluation differ from those that the run
    was begun with.
    """

    def __init__(
        self, path: Path, retested: Sequence[str] = (), lock: TextIO | None = None
    ) -> None:
        self.path, self.retested, self._lock = path, retested, lock

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

    def check(self) -> None:
        """Raise RunDirectoryError if the directory was removed or moved since it was taken."""
        if self._lock is None:
            return
        there = self.path / ".lock"
        held = os.fstat(self._lock.fileno())
        if not there.exists() or not os.path.samestat(held, there.stat()):
            raise RunDirectoryError(
                f"{self.path} was removed or moved while the run was in it. Cure: move it back; "
                f"else remove what is left of it (rm -r {self.path}) and give the command again"
            )

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Mark the run as complete."""
        self.check()
        (self.path / "error.txt").unlink(missing_ok=True)
        provenance.note_arithmetic(self.path)
        checksums.note_all(self.path)
        write_text(self.path / "done.json", json.dumps(dict(summary), indent=2) + "\n")


@contextmanager
def hold(path: Path, config: Mapping[str, Any]) -> Iterator[RunDirectory]:
    """Hold the run directory `path` for `config`; a failure inside leaves its traceback there.

    Nothing is written into a finished run, which may be another user's. Raises RunDirectoryError
    when another process holds the directory or it belongs to another configuration.
    """
    if RunDirectory(path).finished:
        _check_finished(path, config)
        yield RunDirectory(path)
        return
    path.mkdir(parents=True, exist_ok=True)
    lock = _lock(path)
    try:
        run = RunDirectory(path, _take(path, config), lock)
        checksums.verify_kept(path)
        checksums.begin(path)
        run.take_threads(config["threads"])
        provenance.note_start(path, config, digest(config))
        try:
            yield run
        except Exception:
            run.check()
            write_text(path / "error.txt", traceback.format_exc())
            raise
        finally:
            if not run.finished and (path / "provenance.json").exists():
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


def _take(path: Path, config: Mapping[str, Any]) -> list[str]:
    """Write the configuration into a directory; return which choices of the evaluation changed.

    Before its training has begun, a directory takes any configuration.
    """
    file, found = path / "config.yaml", _present(path)
    begun = not found <= _BEFORE_TRAINING
    retested: list[str] = []
    if file.exists() and begun:
        saved = RunFiles(path).config
        _refuse_other_training(path, saved, config)
        retested = sorted(_differences(identity(saved), identity(shown(config))))
        if not retested:
            return retested
    elif begun:
        raise RunDirectoryError(
            f"{path} holds files of something else ({', '.join(sorted(found - {'.lock'})[:5])}). "
            "Cure: give run_dir an empty or new directory"
        )
    with checksums.rewriting(path, file.name):
        write_text(file, yaml.safe_dump(shown(config), sort_keys=False))
    return retested


def _present(path: Path) -> set[str]:
    """Return the names in a directory, without what a kill left half written."""
    return {p.name for p in path.iterdir() if not (p.name[0] == "." and p.suffix == ".part")}


def _check_finished(path: Path, config: Mapping[str, Any]) -> None:
    """Raise RunDirectoryError for a finished run of another configuration."""
    saved = RunFiles(path).config
    _refuse_other_training(path, saved, config)
    if retested := sorted(_differences(identity(saved), identity(shown(config)))):
        raise RunDirectoryError(
            f"{path} was finished with another choice of {', '.join(retested[:8])}. Cure: remove "
            f"{path / 'done.json'} and give this command again, which tests the trained network "
            "anew without training it; or give another run_dir"
        )


def _refuse_other_training(path: Path, saved: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    wanted = shown(config)
    keys = {*_evaluation_keys(saved)} & {*_evaluation_keys(wanted)}
    one, other = (_without(identity(part), keys) for part in (saved, wanted))
    differing = sorted(_differences(one, other))
    if not differing and wanted != config:
        # what stands there as ${oc.env:NAME} may have another value today
        begun = [start["choices"] for start in provenance.starts(path) if "choices" in start]
        if begun and begun[-1] != digest(config):
            differing = sorted(_differences(training(wanted), training(config)))
    if differing:
        raise RunDirectoryError(
            f"{path} belongs to a run with other choices ({', '.join(differing[:8])}). "
            "Cure: give another run_dir, or remove this one"
        )


def _differences(one: Any, other: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in {*one, *other}:
            yield from _differences(one.get(key), other.get(key), f"{prefix}{key}.")
    elif one != other:
        yield prefix.rstrip(".")
