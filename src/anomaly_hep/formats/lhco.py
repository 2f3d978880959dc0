"""LHC Olympics 2020 (Zenodo 6466204, 4536624): HDF5 with one row of 700 particles per event.

A row is 700 times (pT, eta, phi), in GeV and radians, padded with zeros, and perhaps the label: 0
background, 1 signal. Particles are massless and in no order. The labels of a black box NAME.h5 are
in NAME.masterkey. arXiv:2101.08320.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Bool, Float64

from anomaly_hep.atomic import atomic_path
from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import hdf5, lhco_features, lhco_masterkey, pandasio
from anomaly_hep.formats.checks import check_range, missing_branch
from anomaly_hep.formats.chunks import cut, nbytes
from anomaly_hep.formats.jetrules import BEAM_GEV
from anomaly_hep.formats.judging import checked
from anomaly_hep.formats.kept import Kept
from anomaly_hep.formats.layout import Column, Layout, Rule
from anomaly_hep.formats.pandasio import Frame
from anomaly_hep.types import Events, FileDescription

FORMAT = "LHC Olympics HDF5"
SIGN = "a pandas frame 'df' of 2100 or 2101 numbered columns"
EVENT_NOUN = "events"
SUFFIXES = (".h5",)
PUBLISHED: frozenset[str] = frozenset()  # recognised by the record of `fetch` instead
KEY = "df"
MOST_PARTICLES = 700
_PADDED = 3 * MOST_PARTICLES
_AT_ONCE = 128  # events, 2 MB: what is decompressed stays in the cache of the processor
_BLOCK = 4096  # events whose number of particles and label are kept together
_LEAST_HT = 10.0  # GeV; events of the challenge have a jet above 1200
_F32 = np.dtype(np.float32)


def _nothing_in_it(events: Events) -> Bool[np.ndarray, " event"]:
    return events.lengths == 0


def _too_many(events: Events) -> Bool[np.ndarray, " event"]:
    return events.lengths > MOST_PARTICLES


def _too_light(events: Events) -> Bool[np.ndarray, " event"]:
    return (events.events["ht"] < _LEAST_HT) & (events.lengths > 0)


_HINT = "divide by 1000 if these are MeV"
WRITTEN = Layout(
    particles={
        "part_pt": Column(_F32, "GeV", above=0, most=BEAM_GEV, hint=_HINT),
        "part_eta": Column(_F32, least=-10, most=10),
        "part_phi": Column(_F32, "rad", least=-math.pi, most=math.pi, slack=1e-5),
    },
    events={"truth": lhco_features.TRUTH},
    rules=(
        Rule(("part_pt",), _nothing_in_it, "it has no particle"),
        Rule(("part_pt",), _too_many, f"it has more than {MOST_PARTICLES} particles"),
    ),
)
# what follows from the particles: their number, and the scalar sum of their pT
_DERIVED = {
    "n_particles": Column(np.dtype(np.int64)),
    "ht": Column(_F32, "GeV", least=0, most=2 * BEAM_GEV, hint=_HINT),
}
_IN_TEV = Rule(
    ("ht", "n_particles"),
    _too_light,
    f"the pT of its particles sums to less than {_LEAST_HT:g} GeV",
    "multiply by 1000 if these are TeV",
)
LAYOUT = replace(
    WRITTEN,
    events={**_DERIVED, **lhco_features.COLUMNS, **WRITTEN.events},
    rules=(*WRITTEN.rules, _IN_TEV),
)

write_masterkey = lhco_masterkey.write
# what blocks of events have besides their particles: 28 bytes each
_known = Kept[Events](64 * 2**20, size=nbytes)


def recognises(path: Path, head: bytes) -> bool:
    """Return whether this is HDF5 with a frame of numbered columns, whatever its key."""
    if not head.startswith(hdf5.MAGIC):
        return False
    with hdf5.opened(path) as file:
        kinds = pandasio.frames(file)
        if KEY in kinds and not pandasio.names(file, KEY):
            return True  # of a table, and of pickled names, `describe` says the cure
        return any(pandasio.names_are_numbers(file, key) for key in kinds)


def describe(path: Path) -> FileDescription:
    """Return the file's description; `truth` is a column where the file or a masterkey has it."""
    with pandasio.opened(path, KEY) as (file, frame):
        columns = _columns(path, frame)
        return FileDescription(path, FORMAT, frame.rows, hdf5.provenance(path, file), columns)


def read(path: Path, start: int, stop: int, columns: Sequence[str]) -> Events:
    """Return entries `start` to `stop` (exclusive) with exactly the `columns`.

    Rows are read a hundred at a time, so that little memory is needed beside that of the particles.
    Three zeros are padding wherever they stand. Raises BadFileError for a label that is no whole
    number.
    """
    with pandasio.opened(path, KEY) as (_, frame):
        available = _columns(path, frame)
        for name in columns:
            if name not in available:
                raise _missing(path, name, available)
        check_range(path, start, stop, frame.rows)
        if any(name in LAYOUT.particles for name in columns):
            found = _jagged(path, frame, start, stop)
        else:
            found = _without_particles(path, frame, start, stop)
        own = dict(found.events)
        if "truth" in available and "truth" not in own:
            own["truth"] = lhco_masterkey.read(path, frame.rows)[start:stop].copy()
    if of_jets := [name for name in columns if name in lhco_features.COLUMNS]:
        own |= lhco_features.read_beside(path, start, stop, of_jets, own.get("truth"))
    return Events(
        found.lengths,
        {name: found.particles[name] for name in columns if name in found.particles},
        {name: own[name] for name in columns if name in own},
    )


def write(path: Path, parts: Iterable[Events], provenance: Mapping[str, Any] | None = None) -> int:
    """Write events in the published layout and return how many; all or nothing.

    Rows have 2101 columns where the events have `truth`, else 2100. Raises BadFileError, and leaves
    `path` as it was, for values that `read` would refuse.
    """
    parts = iter(parts)
    first = list(islice(parts, 1))
    labelled = bool(first) and "truth" in first[0].events
    layout = WRITTEN if labelled else replace(WRITTEN, events={})
    count = 0
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        writer = pandasio.Writer(file, KEY, tuple(range(_PADDED + labelled)))
        for part in checked(layout, path, chain(first, parts)):
            writer.append(_rows(part))
            count += len(part)
        writer.close()
        if provenance is not None:
            hdf5.keep_provenance(file, provenance)
    return count


# ---- reading


def _columns(path: Path, frame: Frame) -> tuple[str, ...]:
    """Return the names of the columns that a file has; raises BadFileError for another frame."""
    width = len(frame.names)
    if width not in (_PADDED, _PADDED + 1):
        problem = f"it has {width:,} columns, not {_PADDED} or, with the label, {_PADDED + 1}"
        cure = f"store {MOST_PARTICLES} times (pT, eta, phi), perhaps the label, and nothing else"
        raise BadFileError(path, problem, branch=KEY, cure=cure)
    labelled, key = width > _PADDED, lhco_masterkey.beside(path)
    if labelled and key:
        problem = f"it has labels of its own, and {key.name} lies beside it"
        raise BadFileError(path, problem, branch=KEY, cure="remove one of them")
    if key:
        lhco_masterkey.read(path, frame.rows)
    features = lhco_features.beside(path)
    if features:
        lhco_features.check_beside(path, frame.rows, features)
    return (
        *LAYOUT.particles,
        *_DERIVED,
        *(lhco_features.COLUMNS if features else ()),
        *(("truth",) if labelled or key else ()),
    )


def _missing(path: Path, name: str, available: Sequence[str]) -> BadFileError:
    if name == "truth":
        key = path.with_suffix(lhco_masterkey.SUFFIX).name
        problem = f"it has neither a label in column {_PADDED} nor {key} beside it"
        cure = "fetch the masterkey, if it has been published; scores need none"
    elif name in lhco_features.COLUMNS:
        problem = f"{lhco_features.features_path(path).name} does not lie beside it"
        cure = f"python -m anomaly_hep cluster files={path}"
    else:
        return missing_branch(path, name, available)
    return BadFileError(path, problem, branch=name, cure=cure)


def _jagged(path: Path, frame: Frame, start: int, stop: int) -> Events:
    """Return all that follows from the rows: particles, `n_particles`, `ht`, perhaps `truth`."""
    parts = [_unpadded(np.zeros((0, len(frame.names))))]
    for first, last in frame.slices(start, stop, _AT_ONCE):
        parts.append(_unpadded(frame.read(first, last)))
    found = Events.concatenate(parts)
    particles = {n: LAYOUT.convert(path, n, values) for n, values in found.particles.items()}
    events = {**found.events, "n_particles": found.lengths.copy()}
    if "truth" in events:
        events["truth"] = lhco_features.whole_labels(path, events["truth"], start)
    return Events(found.lengths, particles, events)


def _unpadded(rows: Float64[np.ndarray, "event column"]) -> Events:
    """Return the particles that are not three zeros, in float32, and the label as it is."""
    triples = rows[:, :_PADDED].reshape(len(rows), MOST_PARTICLES, 3)
    pt, eta, phi = triples[:, :, 0], triples[:, :, 1], triples[:, :, 2]
    filled = (pt != 0) | (eta != 0) | (phi != 0)
    with np.errstate(all="ignore"):  # what is infinite then is out of bounds
        particles = triples[filled].astype(np.float32).T
        ht = pt.sum(1).astype(np.float32)
    return Events(
        filled.sum(1, dtype=np.int64),
        dict(zip(WRITTEN.particles, particles, strict=True)),
        {"ht": ht, **({"truth": rows[:, _PADDED]} if rows.shape[1] > _PADDED else {})},
    )


def _without_particles(path: Path, frame: Frame, start: int, stop: int) -> Events:
    """Return what is known of events without their particles, from blocks that are kept.

    Every class and split selects events by the label, and a label costs a whole row.
    """
    parts = [_heads(path, frame, start, start)]
    for first in range(start - start % _BLOCK, stop, _BLOCK):
        last = min(first + _BLOCK, frame.rows)
        make = partial(_heads, path, frame, first, last)
        with _known.use(path, first, make=make) as heads:
            parts.append(cut(heads, max(start, first) - first, min(stop, last) - first))
    return Events.concatenate(parts)


def _heads(path: Path, frame: Frame, start: int, stop: int) -> Events:
    found = _jagged(path, frame, start, stop)
    return Events(found.lengths, {}, found.events)


# ---- writing


def _rows(part: Events) -> Float64[np.ndarray, "event column"]:
    rows = np.zeros((len(part), _PADDED + len(part.events)))
    event = np.repeat(np.arange(len(part)), part.lengths)
    first = 3 * (np.arange(len(event)) - part.offsets[event])
    for number, name in enumerate(LAYOUT.particles):
        rows[event, first + number] = part.particles[name]
    if "truth" in part.events:
        rows[:, _PADDED] = part.events["truth"]
    return rows
