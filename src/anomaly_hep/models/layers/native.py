"""Builds kernels.cpp on this machine when it is first asked for, and loads it into torch."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

from anomaly_hep.errors import ConfigError
from anomaly_hep.processor import processor

NAME = "anomaly_hep_kernels"
SOURCE = Path(__file__).with_name("kernels.cpp")
# not -ffast-math: its start-up code would make the whole process flush small numbers to zero
FLAGS = ["-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp"]
SWITCH = "ANOMALY_HEP_KERNELS"
CHOICES = ("auto", "off")


@cache
def load() -> bool:
    """Return whether torch has the operators of kernels.cpp; a failure is said once, as a warning.

    The library is kept in the user's cache directory under a name that changes with the source, the
    flags, the compiler, torch and the processor; a second process finds it there.
    """
    choice = os.environ.get(SWITCH, "auto")
    if choice not in CHOICES:
        raise ConfigError(f"{SWITCH}={choice}. Cure: choose one of {', '.join(CHOICES)}")
    if choice == "off":
        return False
    try:
        path = library()
        if not path.exists():
            with _alone(path):
                if not path.exists():  # nobody built it while we waited
                    _build(path)
        torch.ops.load_library(path)
    # torch tells what the compiler said in a RuntimeError
    except (OSError, ImportError, subprocess.SubprocessError, RuntimeError) as error:
        warnings.warn(
            f"kernels.cpp could not be compiled ({_reason(error)}): convolutional models run "
            "several times slower. Cure: g++ 10 or newer, and a cache directory (XDG_CACHE_HOME) "
            f"that can be written; {SWITCH}=off runs without it and without this warning",
            stacklevel=2,
        )
        return False
    return True


def library() -> Path:
    """Return where the compiled library is kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    cache_directory = Path(base) if base else Path.home() / ".cache"
    return cache_directory / "anomaly_hep" / f"{NAME}-{_fingerprint()}.so"


def _build(path: Path) -> None:
    """Compile kernels.cpp into the file `path`, which is whole or not there."""
    from torch.utils import cpp_extension  # takes half a second, and setuptools

    if shutil.which(_compiler()) is None:
        raise FileNotFoundError(f"there is no compiler {_compiler()}")
    workshop = path.with_suffix(".build")
    shutil.rmtree(workshop, ignore_errors=True)  # of a process that was killed
    workshop.mkdir()
    try:
        with _own_programs():
            cpp_extension.load(
                NAME, str(SOURCE), FLAGS, build_directory=str(workshop), is_python_module=False
            )
        (workshop / f"{NAME}.so").replace(path)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _compiler() -> str:
    return os.environ.get("CXX", "c++")  # as torch chooses it


def _reason(error: Exception) -> str:
    """Return the line that says what failed; ninja's output begins with the whole command."""
    lines = str(error).strip().splitlines()
    return next((line for line in lines if "error:" in line or "not found" in line), lines[0])[:200]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process at a time build: the kernel drops this lock with a process that dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def _own_programs() -> Iterator[None]:
    """Put the environment's programs on PATH: ninja is there, whether it is activated or not."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before


def _fingerprint() -> str:
    """Return a name for source, flags, compiler, torch and processor."""
    text = "|".join([
        SOURCE.read_text(encoding="utf-8"), *FLAGS, _compiler(), torch.__version__,
        processor().instructions,
    ])  # fmt: skip
    return hashlib.sha256(text.encode()).hexdigest()[:16]
