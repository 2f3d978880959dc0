"""provenance.json: which code made a run, and where, when and with what each start computed."""

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

from anomaly_hep import __version__
from anomaly_hep.atomic import write_text
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
# what makes two starts round differently, beside the threads
_ROUNDING = ("processor", "instructions", "products", "device")


def note_start(run: Path, config: Mapping[str, Any]) -> None:
    """Add a start of the run in directory `run` with this configuration."""
    trainer = config.get("trainer", {})
    start = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": sys.argv,
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
    """Say of the last start what only the work shows: whether the compiled kernels ran."""
    content = json.loads((run / "provenance.json").read_text(encoding="utf-8"))
    content["starts"][-1]["arithmetic"] = arithmetic()
    _write(run, content)


def starts(run: Path) -> list[dict[str, Any]]:
    """Return what was noted of each start so far."""
    file = run / "provenance.json"
    found: list[dict[str, Any]] = []
    if file.exists():
        found = json.loads(file.read_text(encoding="utf-8"))["starts"]
    return found


def moved(run: Path) -> str | None:
    """Return where the start before the last one computed, if that rounds otherwise."""
    noted = [{**start, **start["arithmetic"]} for start in starts(run)[-2:]]
    if len(noted) < 2 or all(noted[0].get(key) == noted[1].get(key) for key in _ROUNDING):
        return None
    return ", ".join(str(noted[0].get(key)) for key in _ROUNDING)


def _device(accelerator: str) -> str:
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "cpu"


def _write(run: Path, content: Mapping[str, Any]) -> None:
    write_text(run / "provenance.json", json.dumps(content, indent=2) + "\n")


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
