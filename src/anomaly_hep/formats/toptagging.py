"""Top-tagging reference jets (Zenodo 2603256, arXiv:1902.09914): pandas HDF5 in its table format.

A row is a jet: E_i, PX_i, PY_i, PZ_i of up to 200 constituents in GeV, padded with zeros, and
is_signal_new: 1 for tops, 0 for QCD. The jet itself is the sum of its constituents. ttv (the split
that a jet belongs to) and truthE, ... (the momentum of a top quark) are not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, Int64

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import hdf5, jetkinematics, pandastable
from anomaly_hep.formats.checks import check_range, missing_branch
from anomaly_hep.formats.layout import Column
from anomaly_hep.formats.pandastable import Table
from anomaly_hep.types import Events, FileDescription

FORMAT = "top-tagging HDF5"
SIGN = "a pandas frame 'table' with the columns E_0, PX_0, ... is_signal_new"
EVENT_NOUN = "jets"
SUFFIXES = (".h5",)
PUBLISHED: frozenset[str] = frozenset()  # recognised by the record of `fetch` instead
KEY, LABEL = "table", "is_signal_new"
LAYOUT = replace(
    jetkinematics.LAYOUT,
    events={
        **jetkinematics.LAYOUT.events,
        "truth": Column(np.dtype(np.int64), least=0, most=1, truth=True),
    },
    stored={"truth": LABEL},
)
_AT_ONCE = 256  # jets, 0.8 MB
_MOMENTA = ("E", "PX", "PY", "PZ")


def recognises(path: Path, head: bytes) -> bool:
    """Return whether this is HDF5 with a pandas table of such columns, whatever its key."""
    if not head.startswith(hdf5.MAGIC):
        return False
    with hdf5.opened(path) as file:
        found = pandastable.tables(file)
        return KEY in found or any("E_0" in names for names in found.values())


def describe(path: Path) -> FileDescription:
    """Return the file's description; `truth` is a column where the file has labels."""
    with pandastable.opened(path, KEY) as (file, table):
        _slots(table)
        about = hdf5.provenance(path, file)
        return FileDescription(path, FORMAT, table.rows, about, _columns(table))


def read(path: Path, start: int, stop: int, columns: Sequence[str]) -> Events:
    """Return entries `start` to `stop` (exclusive) with exactly the `columns`.

    Four zeros are padding wherever they stand. A few hundred jets are unpacked at a time. Raises
    BadFileError for a label that is no whole number.
    """
    with pandastable.opened(path, KEY) as (_, table):
        available = _columns(table)
        for name in columns:
            if name not in available:
                raise missing_branch(path, name, available)
        check_range(path, start, stop, table.rows)
        pieces = [(start, start), *table.slices(start, stop, _AT_ONCE)]
        return Events.concatenate([_piece(table, *piece, columns) for piece in pieces])


def _columns(table: Table) -> tuple[str, ...]:
    return tuple(name for name in LAYOUT.names if name != "truth" or LABEL in table.places)


def _slots(table: Table) -> list[str]:
    """Return the names of all slots' columns: all E, then all PX, ...; refuses incomplete slots."""
    number = sum(name.startswith("E_") for name in table.places)
    names = [f"{momentum}_{slot}" for momentum in _MOMENTA for slot in range(max(number, 1))]
    for name in names:
        if name not in table.places:
            raise missing_branch(table.path, name, table.places)
    return names


def _piece(table: Table, start: int, stop: int, columns: Sequence[str]) -> Events:
    rows = table.read(start, stop)
    names = _slots(table)
    slots = table.columns(rows, names)
    slots = slots.reshape(len(rows), len(_MOMENTA), len(names) // len(_MOMENTA))
    filled = (slots != 0).any(1)
    lengths = filled.sum(1, dtype=np.int64)
    given = Events(lengths, {}, _truth(table, rows, start) if "truth" in columns else {})
    if [*columns] == ["truth"]:
        return given
    momenta = slots.transpose(1, 0, 2)[:, filled]
    particles, jets = jetkinematics.of_momenta(lengths, momenta)
    stored = _stored(table.path, momenta)
    found = Events(lengths, particles | stored, {**jets, **given.events})
    return jetkinematics.with_derived(found, columns)


def _stored(path: Path, momenta: Float64[np.ndarray, "4 particle"]) -> dict[str, np.ndarray]:
    names = ("part_energy", "part_px", "part_py", "part_pz")
    return {n: LAYOUT.convert(path, n, row) for n, row in zip(names, momenta, strict=True)}


def _truth(table: Table, rows: np.ndarray, start: int) -> dict[str, Int64[np.ndarray, " event"]]:
    labels = table.columns(rows, [LABEL])[:, 0]
    with np.errstate(invalid="ignore"):
        whole = labels.astype(np.int64)
    bad: Bool[np.ndarray, " event"] = whole != labels
    if bad.any():
        row = int(np.argmax(bad))
        problem = f"the label {labels[row]} is no whole number"
        cure = "store 0 for QCD and 1 for tops"
        raise BadFileError(table.path, problem, branch=LABEL, entry=start + row, cure=cure)
    return {"truth": whole}
