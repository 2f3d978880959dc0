"""Builds kernels.cpp on this machine when it is first asked for, and loads it into torch."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
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
        library = directory() / f"{NAME}-{_fingerprint()}.so"
        with _alone(library):
            if library.exists():
                torch.ops.load_library(library)
            else:
                _build(library)
    except (OSError, RuntimeError) as error:  # torch's own are RuntimeErrors
        reason = str(error).strip().splitlines()[0]
        warnings.warn(
            f"kernels.cpp could not be compiled ({reason}): convolutional models run several times "
            "slower. Cure: g++ 10 or newer, and a cache directory (XDG_CACHE_HOME) that can be "
            f"written; or {SWITCH}=off, which does without and without this warning",
            stacklevel=2,
        )
        return False
    return True


def directory() -> Path:
    """Return where the compiled library is kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "anomaly_hep"


def _build(library: Path) -> None:
    """Compile kernels.cpp, load it, and leave it as `library`."""
    from torch.utils import cpp_extension  # takes half a second, and setuptools

    workshop = library.with_suffix(".build")
    shutil.rmtree(workshop, ignore_errors=True)  # of a process that was killed
    workshop.mkdir()
    with _own_programs():
        cpp_extension.load(
            NAME, str(SOURCE), FLAGS, build_directory=str(workshop), is_python_module=False
        )
    (workshop / f"{NAME}.so").replace(library)
    shutil.rmtree(workshop)


@contextmanager
def _alone(library: Path) -> Iterator[None]:
    """Let one process at a time build: the kernel drops this lock with a process that dies."""
    library.parent.mkdir(parents=True, exist_ok=True)
    with library.with_suffix(".lock").open("w") as handle:
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
        SOURCE.read_text(encoding="utf-8"), *FLAGS, os.environ.get("CXX", "c++"),
        torch.__version__, processor().instructions,
    ])  # fmt: skip
    return hashlib.sha256(text.encode()).hexdigest()[:16]
