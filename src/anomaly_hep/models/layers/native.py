"""The C++ functions of kernels.cpp, compiled on this machine when they are first asked for."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from anomaly_hep.atomic import atomic_path

SOURCE = Path(__file__).with_name("kernels.cpp")
# not -ffast-math: its start-up code would make the whole process flush small numbers to zero
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-shared",
         "-fPIC", "-std=c++17")  # fmt: skip
TYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


def usable(*tensors: Tensor) -> bool:
    """Return whether the compiled functions take these tensors: on the CPU, float or bfloat16."""
    first = tensors[0]
    return (
        all(t.device.type == "cpu" and t.dtype == first.dtype for t in tensors)
        and first.dtype in TYPES
        and first.numel() > 0
        and library() is not None
    )


def function(name: str, dtype: torch.dtype) -> Callable[..., None]:
    """Return a function of kernels.cpp for values of `dtype`; call it through `call`."""
    found: Callable[..., None] = getattr(library(), f"{name}_{TYPES[dtype]}")
    return found


def call(name: str, dtype: torch.dtype, *arguments: Tensor | float | None) -> None:
    """Call a function of kernels.cpp: tensors as pointers, whole numbers as int64, others float."""
    function(name, dtype)(*(_as_c(argument) for argument in arguments))


def _as_c(value: Tensor | float | None) -> ctypes.c_void_p | ctypes.c_int64 | ctypes.c_float:
    if isinstance(value, Tensor):
        return ctypes.c_void_p(value.data_ptr())
    if value is None:
        return ctypes.c_void_p(None)
    return ctypes.c_int64(value) if isinstance(value, int) else ctypes.c_float(value)


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled functions, or None where there is no compiler: said once, as a warning.

    The library is kept in the user's cache directory under a name that changes with the source,
    the flags and the processor; a second process finds it there.
    """
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        warnings.warn(
            "no C++ compiler (c++) was found: convolutional models run several times slower. "
            "Cure: install g++",
            stacklevel=2,
        )
        return None
    path = directory() / f"kernels-{_fingerprint(compiler)}.so"
    try:
        if not path.exists():
            with atomic_path(path) as temporary:
                subprocess.run(
                    [compiler, *FLAGS, str(SOURCE), "-o", str(temporary)],
                    check=True,
                    capture_output=True,
                    text=True,
                )
        return ctypes.CDLL(str(path))
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        warnings.warn(
            f"{compiler} could not make {path} ({said.strip().splitlines()[0]}): convolutional "
            "models run several times slower. Cure: a C++17 compiler with OpenMP, and a cache "
            "directory (XDG_CACHE_HOME) that can be written",
            stacklevel=2,
        )
        return None


def directory() -> Path:
    """Return where compiled functions are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "anomaly_hep"


def _fingerprint(compiler: str) -> str:
    """Return a name for source, flags, compiler and processor."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(encoding="utf-8").splitlines() if cpu.exists() else []
    processor = next((line for line in lines if line.startswith("flags")), "")
    text = "|".join([SOURCE.read_text(encoding="utf-8"), *FLAGS, compiler, processor])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
