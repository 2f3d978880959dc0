"""Quantities of the two leading jets of LHC Olympics events: a pandas frame in HDF5, GeV.

The published file has pxj1, pyj1, pzj1, mj1, tau1j1, tau2j1, tau3j1, the same of j2, and perhaps
`label`: anti-kT jets, R = 1.0, and their N-subjettiness (beta 1, not normalised). One row belongs
to one event of NAME.h5, beside which it lies as NAME.features.h5. Momenta are zeros where an event
has no such jet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float32, Float64, Int64, Shaped

from anomaly_hep.atomic import atomic_path
from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import hdf5, pandasio
from anomaly_hep.formats.checks import missing_branch
from anomaly_hep.formats.jetrules import BEAM_GEV
from anomaly_hep.formats.judging import checked
from anomaly_hep.formats.kept import Kept
from anomaly_hep.formats.layout import Column, Layout
from anomaly_hep.formats.pandasio import Frame
from anomaly_hep.types import Events, FileDescription

FORMAT = "LHC Olympics features"
SIGN = "a pandas frame with the columns pxj1, pyj1, ... tau3j2"
EVENT_NOUN = "events"
SUFFIXES = (".h5",)
PUBLISHED: frozenset[str] = frozenset()  # recognised by the record of `fetch` instead
KEY = "df"
LABEL = "label"
_F32 = np.dtype(np.float32)
_MOMENTUM = Column(_F32, "GeV", least=-BEAM_GEV, most=BEAM_GEV)
# by rounding, m^2 of a light jet of some TeV can be negative: the mass is then given as -sqrt(-m^2)
_MASS = Column(_F32, "GeV", least=0, most=BEAM_GEV, slack=0.5)
_TAU = Column(_F32, "GeV", least=0, most=BEAM_GEV, slack=1e-3)
_OF_A_JET: Mapping[str, Column] = {
    **dict.fromkeys(("px", "py", "pz"), _MOMENTUM),
    "m": _MASS,
    **dict.fromkeys(("tau1", "tau2", "tau3"), _TAU),
}
# what a file stores, in its order, and what follows
STORED: Mapping[str, Column] = {
    f"{name}j{jet}": column for jet in (1, 2) for name, column in _OF_A_JET.items()
}
COLUMNS: Mapping[str, Column] = {**STORED, "mjj": replace(_MASS, slack=0.0)}
TRUTH = Column(np.dtype(np.int64), least=0, most=2, truth=True)
LAYOUT = Layout(particles={}, events={**COLUMNS, "truth": TRUTH})
LABELS = "store 0 for background and 1 for signal"

_described = Kept[FileDescription](limit=1000)


def recognises(path: Path, head: bytes) -> bool:
    """Return whether this is HDF5 with a frame of such columns, whatever its key."""
    if not head.startswith(hdf5.MAGIC):
        return False
    with hdf5.opened(path) as file:
        return _key(file) is not None


def describe(path: Path) -> FileDescription:
    """Return the file's description; raises BadFileError where a column is missing."""
    with _opened(path) as (file, frame):
        for name in STORED:
            if name not in frame.names:
                raise missing_branch(path, name, map(str, frame.names))
        columns = [*COLUMNS, *(["truth"] if LABEL in frame.names else [])]
        about = hdf5.provenance(path, file)
        return FileDescription(path, FORMAT, frame.rows, about, tuple(columns))


def read(path: Path, start: int, stop: int, columns: Sequence[str]) -> Events:
    """Return entries `start` to `stop` (exclusive) with exactly the `columns`, without particles.

    mjj is the invariant mass of both jets.
    """
    with _described.use(path, make=lambda: describe(path)) as described:
        for name in columns:
            if name not in described.columns:
                raise missing_branch(path, name, described.columns)
    with _opened(path) as (_, frame):
        names = [*STORED, *([LABEL] if LABEL in frame.names else [])]
        rows = frame.read(start, stop, [frame.names.index(name) for name in names])
    values = dict(zip(names, rows.T, strict=True))
    found = {n: LAYOUT.convert(path, n, values[n]) for n in STORED}
    found["mjj"] = dijet_mass(values)
    if "truth" in columns:
        found["truth"] = whole_labels(path, values[LABEL], start)
    return Events(np.zeros(stop - start, np.int64), {}, {name: found[name] for name in columns})


def write(path: Path, parts: Iterable[Events], provenance: Mapping[str, Any] | None = None) -> int:
    """Write the columns STORED, and the label where there is `truth`; return how many rows.

    All or nothing: raises BadFileError, and leaves `path` as it was, for values that `read` would
    refuse.
    """
    parts = iter(parts)
    first = list(islice(parts, 1))
    truth = {"truth": TRUTH} if first and "truth" in first[0].events else {}
    layout = Layout({}, {**STORED, **truth})
    count = 0
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        writer = pandasio.Writer(file, KEY, (*STORED, *([LABEL] if truth else [])))
        for part in checked(layout, path, chain(first, parts)):
            columns = [part.events[name].astype(np.float64) for name in layout.events]
            writer.append(np.stack(columns, 1))
            count += len(part)
        writer.close()
        if provenance is not None:
            hdf5.keep_provenance(file, provenance)
    return count


def dijet_mass(
    jets: Mapping[str, Shaped[np.ndarray, " event"]],
) -> Float32[np.ndarray, " event"]:
    """Return the invariant mass in GeV of both jets, from their momenta and masses (GeV)."""
    total = [np.zeros(len(jets["mj1"])) for _ in range(4)]
    for jet in ("j1", "j2"):
        px, py, pz, mass = (jets[f"{name}{jet}"].astype(np.float64) for name in _FOUR)
        energy = np.sqrt(px * px + py * py + pz * pz + np.maximum(mass, 0) ** 2)
        total = [t + p for t, p in zip(total, (energy, px, py, pz), strict=True)]
    energy, px, py, pz = total
    squared = energy**2 - px**2 - py**2 - pz**2
    return np.sqrt(np.maximum(squared, 0)).astype(np.float32)


_FOUR = ("px", "py", "pz", "m")


def whole_labels(
    path: Path, labels: Float64[np.ndarray, " event"], start: int
) -> Int64[np.ndarray, " event"]:
    """Return labels as integers; raises BadFileError, counting from `start`, for other numbers."""
    with np.errstate(invalid="ignore"):
        whole = labels.astype(np.int64)
    if (bad := whole != labels).any():
        row = int(np.argmax(bad))
        problem = f"the label {labels[row]} is no whole number"
        raise BadFileError(path, problem, branch="truth", entry=start + row, cure=LABELS)
    return whole


# ---- beside a file of events


def beside(path: Path) -> Path | None:
    """Return the features of a file of events, None if there are none."""
    features = features_path(path)
    return features if features.exists() else None


def features_path(path: Path) -> Path:
    """Return where the features of a file of events lie."""
    return path.with_suffix(".features.h5")


def check_beside(path: Path, entries: int, features: Path) -> None:
    """Raise BadFileError unless the features are of as many events as the file `path` has."""
    with _described.use(features, make=lambda: describe(features)) as described:
        if described.entries != entries:
            problem = f"{features.name} has {described.entries:,} rows for {entries:,} events"
            raise BadFileError(path, problem, cure=_CLUSTER)


def read_beside(
    path: Path,
    start: int,
    stop: int,
    columns: Sequence[str],
    truth: Int64[np.ndarray, " event"] | None,
) -> Mapping[str, np.ndarray]:
    """Return features of the events `start` to `stop` of the file `path`, whose labels are `truth`.

    Raises BadFileError where the labels of both files differ.
    """
    features = features_path(path)
    with _described.use(features, make=lambda: describe(features)) as described:
        labels = ["truth"] if "truth" in described.columns else []
    found = read(features, start, stop, [*columns, *labels]).events
    if truth is not None and labels and (other := found["truth"] != truth).any():
        row = int(np.argmax(other))
        problem = f"the label is {truth[row]}, in {features.name} it is {found['truth'][row]}"
        raise BadFileError(path, problem, entry=start + row, cure=_CLUSTER)
    return {name: found[name] for name in columns}


_CLUSTER = "remove it and make it anew (python -m anomaly_hep cluster), or fetch both again"


def _key(file: Any) -> str | None:
    """Return the key of the frame that has such columns."""
    found = (key for key in pandasio.frames(file) if {"pxj1", "mj1"} & pandasio.names(file, key))
    return next(found, None)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Frame]]:
    with hdf5.opened(path) as file:
        key = _key(file)
        yield file, pandasio.frame(path, file, key or KEY)
