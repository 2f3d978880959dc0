"""Run directories: who owns one, what made it, whether it is finished, how it goes on."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import yaml

from anomaly_hep import __version__
from anomaly_hep.atomic import write_text
from anomaly_hep.errors import RunDirectoryError
from anomaly_hep.models.arithmetic import arithmetic

# choices that change where a run is written or shown, but not what it computes
NOT_IDENTITY = ("run_dir", "logger", "threads", "score_batch_size")
_NOT_IDENTITY_BELOW = {
    "trainer": ("enable_progress_bar", "checkpoint_every_seconds"),
    "data": ("num_workers",),
}
_PACKAGES = (
    "torch",
    "lightning",
    "numpy",
    "uproot",
    "awkward",
    "hydra-core",
    "pythia8mc",
    "fastjet",
)


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that decides the results."""
    kept = {key: value for key, value in config.items() if key not in NOT_IDENTITY}
    for room, names in _NOT_IDENTITY_BELOW.items():
        if room in kept:
            kept[room] = {key: value for key, value in kept[room].items() if key not in names}
    return kept


def default_path(config: Mapping[str, Any], root: Path) -> Path:
    """Return the directory of a run that named none: no two configurations share it."""
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

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Mark the run as complete."""
        (self.path / "error.txt").unlink(missing_ok=True)
        write_text(self.path / "done.json", json.dumps(dict(summary), indent=2) + "\n")


@contextmanager
def claim(path: Path, config: Mapping[str, Any]) -> Iterator[RunDirectory]:
    """Hold the run directory `path` for `config`; a failure inside leaves its traceback there.

    Raises RunDirectoryError when another process holds it or it belongs to another configuration.
    """
    path.mkdir(parents=True, exist_ok=True)
    lock = _lock(path)
    try:
        _claim_config(path, config)
        run = RunDirectory(path)
        finished_before = run.finished
        if not finished_before:
            _write_provenance(path, _provenance(path))
        try:
            yield run
        except Exception:
            write_text(path / "error.txt", traceback.format_exc())
            raise
        finally:
            if not finished_before:
                _note_arithmetic(path)
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


def _claim_config(path: Path, config: Mapping[str, Any]) -> None:
    file = path / "config.yaml"
    if file.exists():
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
        differing = sorted(_differences(identity(found), identity(config)))
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


def _differences(one: Any, other: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in {*one, *other}:
            yield from _differences(one.get(key), other.get(key), f"{prefix}{key}.")
    elif one != other:
        yield prefix.rstrip(".")


def _provenance(path: Path) -> dict[str, Any]:
    file = path / "provenance.json"
    before = json.loads(file.read_text(encoding="utf-8"))["starts"] if file.exists() else []
    start = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": sys.argv,
        "process": os.getpid(),
        "host": platform.node(),
        "arithmetic": arithmetic(),
    }
    return {
        "package": __version__,
        "git": _git_revision(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "starts": [*before, start],
    }


def _note_arithmetic(path: Path) -> None:
    """Say of this start what only the work shows: whether the compiled kernels ran."""
    content = json.loads((path / "provenance.json").read_text(encoding="utf-8"))
    content["starts"][-1]["arithmetic"] = arithmetic()
    _write_provenance(path, content)


def _write_provenance(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path / "provenance.json", json.dumps(content, indent=2) + "\n")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_revision(source: Path = Path(__file__)) -> str | None:
    """Return the revision of the source, marked when files differ from it; None where git has none.

    An installed package may lie in somebody else's repository, whose revision says nothing of it.
    """
    questions = (
        ["ls-files", "--error-unmatch", source.name],
        ["rev-parse", "HEAD"],
        ["status", "--porcelain", "--", "."],
    )
    here = str(source.resolve().parent)
    try:
        _, revision, status = (
            subprocess.run(
                ["git", "-C", here, *question], check=True, capture_output=True, text=True
            ).stdout.strip()
            for question in questions
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{revision}{' with changes' if status else ''}"
