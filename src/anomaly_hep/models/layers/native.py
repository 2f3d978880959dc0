"""Compiles the C++ sources of the layers on this machine at their first use, and loads them."""

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
_HERE = Path(__file__).parent
SOURCES = sorted(_HERE.glob("*.cpp"))
_HEADERS = sorted(_HERE.glob("*.h"))
# not -ffast-math: its start-up code would make the whole process flush denormals to zero
FLAGS = ["-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp"]
SWITCH = "ANOMALY_HEP_KERNELS"
CHOICES = ("auto", "off")


@cache
def load() -> bool:
    """Return whether torch has the operators in C++; warns once if they do not compile.

    The library is cached in the user's cache directory for all processes, under a name that depends
    on the sources, the flags, the compiler, torch and the processor.
    """
    choice = os.environ.get(SWITCH, "auto")
    if choice not in CHOICES:
        raise ConfigError(f"{SWITCH}={choice}. Cure: choose one of {', '.join(CHOICES)}")
    if choice == "off":
        return False
    try:
        path = library()
        if not path.exists():
            with _build_lock(path):
                if not path.exists():  # no other process built it meanwhile
                    _build(path)
        torch.ops.load_library(path)
    # torch raises the compiler's message as a RuntimeError
    except (OSError, ImportError, subprocess.SubprocessError, RuntimeError) as error:
        warnings.warn(
            f"the operators in C++ could not be compiled ({_reason(error)}): energy mover's "
            "distances are hundreds of times slower, networks of images, and those summed over "
            "particles, several times slower. Cure: g++ 10 or newer, "
            "and a cache directory (XDG_CACHE_HOME) that can be written; "
            f"{SWITCH}=off runs without them and without this warning",
            stacklevel=2,
        )
        return False
    return True


def library() -> Path:
    """Return the path of the compiled library."""
    base = os.environ.get("XDG_CACHE_HOME")
    cache_directory = Path(base) if base else Path.home() / ".cache"
    return cache_directory / "anomaly_hep" / f"{NAME}-{_fingerprint()}.so"


def _build(path: Path) -> None:
    """Compile the sources into the file `path`, atomically."""
    from torch.utils import cpp_extension  # slow to import (0.5 s), and needs setuptools

    if shutil.which(_compiler()) is None:
        raise FileNotFoundError(f"there is no compiler {_compiler()}")
    build = path.with_suffix(".build")
    shutil.rmtree(build, ignore_errors=True)  # left by a process that was killed
    build.mkdir()
    try:
        with _programs_on_path():
            cpp_extension.load(
                NAME,
                [str(source) for source in SOURCES],
                FLAGS,
                build_directory=str(build),
                is_python_module=False,
            )
        (build / f"{NAME}.so").replace(path)
    finally:
        shutil.rmtree(build, ignore_errors=True)


def _compiler() -> str:
    return os.environ.get("CXX", "c++")  # torch's own choice


def _reason(error: Exception) -> str:
    """Return the line with the error itself; ninja's output begins with the whole command."""
    lines = str(error).strip().splitlines()
    return next((line for line in lines if "error:" in line or "not found" in line), lines[0])[:200]


@contextmanager
def _build_lock(path: Path) -> Iterator[None]:
    """Let one process at a time build; the kernel releases the lock if the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def _programs_on_path() -> Iterator[None]:
    """Put the programs of the Python environment on PATH, since ninja may only be there."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before


def _fingerprint() -> str:
    """Return a hash of sources, flags, compiler, torch and processor."""
    text = "|".join([
        *(path.read_text(encoding="utf-8") for path in (*SOURCES, *_HEADERS)),
        *FLAGS, _compiler(), torch.__version__, processor().instructions,
    ])  # fmt: skip
    return hashlib.sha256(text.encode()).hexdigest()[:16]
