"""provenance.json: the code that made a run, and time, machine and arithmetic of each start."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from anomaly_hep import __version__, checksums
from anomaly_hep.atomic import write_text
from anomaly_hep.errors import RunDirectoryError, in_one_line
from anomaly_hep.models.arithmetic import arithmetic

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
# the entries besides the threads that can make two starts round differently
_ROUNDING = ("processor", "instructions", "products", "device")


def note_start(run: Path, config: Mapping[str, Any], digest: str) -> None:
    """Record a start of the run in directory `run` with this configuration and its digest."""
    trainer = config.get("trainer", {})
    start = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": sys.argv,
        "choices": digest,
        "process": os.getpid(),
        "host": platform.node(),
        "precision": trainer.get("precision", "32-true"),
        "device": _device(str(trainer.get("accelerator", "cpu"))),
        "arithmetic": arithmetic(),
    }
    content = {
        "package": __version__,
        "git": _git_revision(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "starts": [*starts(run), start],
    }
    _write(run, content)


def note_arithmetic(run: Path) -> None:
    """Update the last start with what is known only afterwards: whether compiled kernels ran."""
    content = _read(run)
    content["starts"][-1]["arithmetic"] = arithmetic()
    _write(run, content)


def starts(run: Path) -> list[dict[str, Any]]:
    """Return the records of all starts so far."""
    records: list[dict[str, Any]] = []
    if (run / "provenance.json").exists():
        records = _read(run)["starts"]
    return records


def moved(run: Path) -> str | None:
    """Return the arithmetic of the previous start if it rounds differently from the last one's."""
    last_two = [{**start, **start["arithmetic"]} for start in starts(run)[-2:]]
    if len(last_two) < 2 or all(last_two[0].get(key) == last_two[1].get(key) for key in _ROUNDING):
        return None
    return ", ".join(str(last_two[0].get(key)) for key in _ROUNDING)


def _device(accelerator: str) -> str:
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "cpu"


def _read(run: Path) -> dict[str, Any]:
    file = run / "provenance.json"
    try:
        content: dict[str, Any] = json.loads(file.read_bytes())
        _ = [start["arithmetic"]["threads"] for start in content["starts"]]
    except (ValueError, LookupError, TypeError) as error:
        raise RunDirectoryError(
            f"{file} is damaged ({in_one_line(error)}). Cure: {checksums.cure(file)}"
        ) from error
    return content


def _write(run: Path, content: Mapping[str, Any]) -> None:
    write_text(run / "provenance.json", json.dumps(content, indent=2) + "\n")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_revision(source: Path = Path(__file__)) -> str | None:
    """Return the git revision of the source, marked if files were changed; None without git.

    An installed package may lie in another project's repository, whose revision is irrelevant.
    """
    commands = (
        ["ls-files", "--error-unmatch", source.name],
        ["rev-parse", "HEAD"],
        ["status", "--porcelain", "--", "."],
    )
    directory = str(source.resolve().parent)
    try:
        _, revision, status = (
            subprocess.run(
                ["git", "-C", directory, *command], check=True, capture_output=True, text=True
            ).stdout.strip()
            for command in commands
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{revision}{' with changes' if status else ''}"
