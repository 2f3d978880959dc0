"""A program that calls a compiled function on every event.

It runs as its own process, because firmware that fails ends the process that called it.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np


def main(library: str, function: str, inputs: str, outputs: str, width: str) -> None:
    """Read float64 inputs [event, input] from one .npy file, write outputs to another."""
    compute = ctypes.CDLL(library)[function]
    compute.argtypes, compute.restype = [ctypes.c_void_p, ctypes.c_void_p], None
    events = np.load(Path(inputs))
    results = np.zeros((len(events), int(width)))
    for event, result in zip(events, results, strict=True):
        compute(event.ctypes.data, result.ctypes.data)
    np.save(Path(outputs), results)


if __name__ == "__main__":
    main(*sys.argv[1:])
