"""The labels of a black box of the LHC Olympics: NAME.masterkey beside NAME.h5, one label a line.

0 is background, 1 signal; where a box has two signals, the other is 2.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from anomaly_hep.atomic import write_text
from anomaly_hep.errors import BadFileError
from anomaly_hep.formats.checks import FETCH_AGAIN, check_file, refusing
from anomaly_hep.formats.kept import Kept

SUFFIX = ".masterkey"
_LABELS = (0, 1, 2)
_LONGEST = 32  # bytes of a line, with its end: labels may be spelled 1.000000000000000000e+00
_labels = Kept[Int64[np.ndarray, " event"]](limit=16)


def beside(path: Path) -> Path | None:
    """Return the masterkey of a file of events, None if there is none."""
    key = path.with_suffix(SUFFIX)
    return key if key.exists() else None


def read(path: Path, entries: int) -> Int64[np.ndarray, " event"]:
    """Return the labels of all events of the file `path`, which has so many; not to be changed.

    Raises BadFileError with the line for one that is no label, and for a wrong number of lines.
    """
    key = path.with_suffix(SUFFIX)
    with _labels.use(key, make=partial(_parsed, key, path)) as labels:
        if len(labels) != entries:
            problem = f"{key.name} has {len(labels):,} lines, the file has {entries:,} events"
            raise BadFileError(path, problem, cure="fetch both again, from one record")
        return labels


def write(path: Path, truth: Int64[np.ndarray, " event"]) -> None:
    """Write the masterkey of the file of events `path`, atomically."""
    write_text(path.with_suffix(SUFFIX), "".join(f"{label}\n" for label in truth.tolist()))


def _parsed(key: Path, path: Path) -> Int64[np.ndarray, " event"]:
    check_file(key)
    with refusing(path, f"{key.name} cannot be read", cure=FETCH_AGAIN):
        lines = key.read_bytes().rstrip().split(b"\n")
    known: dict[bytes, int] = {}
    for line in dict.fromkeys(lines):
        if (label := _label(line)) is None:
            shown = line[:_LONGEST].decode("ascii", "replace").strip()
            problem = f"line {lines.index(line) + 1} of {key.name} is '{shown}', not 0, 1 or 2"
            raise BadFileError(path, problem, cure=FETCH_AGAIN)
        known[line] = label
    return np.array([known[line] for line in lines], np.int64)


def _label(line: bytes) -> int | None:
    try:
        value = float(line) if len(line) < _LONGEST else -1.0
    except ValueError:
        return None
    return int(value) if value in _LABELS else None
