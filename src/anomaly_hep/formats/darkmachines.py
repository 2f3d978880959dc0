"""Dark Machines challenge (Zenodo 3961917): text files with one collision event per line.

A line is `event;process;weight;MET;METphi;object;object;...`, an object `type,E,pt,eta,phi`, all in
MeV and radians; `read` returns GeV. There is no header. Lines may end in `;`. Files may be plain,
gzip or zip. arXiv:2105.14027.
"""

from __future__ import annotations

import gzip
import math
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float32

from anomaly_hep.atomic import atomic_path
from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import gziptext, parquetio
from anomaly_hep.formats.checks import FETCH_AGAIN, missing_branch, refusing
from anomaly_hep.formats.columnar import columnar
from anomaly_hep.formats.eventlines import OBJECT, parsed
from anomaly_hep.formats.jetrules import BEAM_GEV
from anomaly_hep.formats.judging import checked
from anomaly_hep.formats.layout import Column, Layout, Rule
from anomaly_hep.types import Events, FileDescription

FORMAT = "Dark Machines CSV"
SIGN = "lines 'event;process;weight;MET;METphi;type,E,pt,eta,phi;...'"
EVENT_NOUN = "events"
SUFFIXES = (".csv", ".gz", ".zip")
PUBLISHED: frozenset[str] = frozenset()  # recognised by the record of `fetch` instead
PROVENANCE = "anomaly_hep_provenance"
# the codes of object types, from 1 on, and their spellings in the files
TYPES: Mapping[str, int] = {
    "j": 1, "b": 2, "e-": 3, "e+": 4, "m-": 5, "m+": 6, "g": 7,
    "mu-": 5, "mu+": 6, "a": 7,
}  # fmt: skip
MOST_OBJECTS = 200  # no collision has more; the challenge's events have 19 at most
_MEV = 1000.0
T = TypeVar("T")
_NAMES = {code: name for name, code in reversed(list(TYPES.items()))}
_UNITS = "multiply by 1000 if these are GeV: files are in MeV"
_F32, _F64, _I64 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64)
_ANGLE = Column(_F32, "rad", least=-math.pi, most=math.pi, slack=1e-5)


def _too_many_objects(events: Events) -> Bool[np.ndarray, " event"]:
    return events.lengths > MOST_OBJECTS


def _nothing_in_it(events: Events) -> Bool[np.ndarray, " event"]:
    return (events.lengths == 0) & (events.events["met"] <= 0)


def _below_momentum(events: Events) -> Bool[np.ndarray, " event"]:
    objects = events.particles
    momentum = objects["obj_pt"].astype(np.float64) * np.cosh(objects["obj_eta"], dtype=np.float64)
    below = objects["obj_energy"] < momentum * (1 - 1e-3)
    owner = np.repeat(np.arange(len(events)), events.lengths)
    return np.bincount(owner[below], minlength=len(events)) > 0


WRITTEN = Layout(
    particles={
        "obj_type": Column(_I64, least=1, most=max(TYPES.values())),
        "obj_energy": Column(_F32, "GeV", least=1, most=BEAM_GEV, hint=_UNITS),
        "obj_pt": Column(_F32, "GeV", least=1, most=BEAM_GEV, hint=_UNITS),
        "obj_eta": Column(_F32, least=-10, most=10),
        "obj_phi": _ANGLE,
    },
    events={
        "event": Column(_I64),
        "process": Column(np.dtype(np.str_), truth=True),
        "weight": Column(_F64),
        "met": Column(_F32, "GeV", least=0, most=BEAM_GEV),
        "met_phi": _ANGLE,
    },
    rules=(
        Rule(
            ("met", "met_phi", "obj_pt"), _nothing_in_it, "it has no object and no missing momentum"
        ),
        Rule(("obj_pt",), _too_many_objects, f"it has more than {MOST_OBJECTS} objects"),
        Rule(
            ("obj_energy", "obj_pt", "obj_eta"),
            _below_momentum,
            "the energy of an object is below its momentum",
            "store E, pt, eta, phi in this order, both in MeV",
        ),
    ),
)
# what follows from the objects: their number, the scalar sum of the pT of jets, the mass of all
_DERIVED = {
    "n_objects": Column(_I64),
    "ht": Column(_F32, "GeV"),
    "object_mass": Column(_F32, "GeV"),
}
_FOUR_MOMENTUM = ("obj_energy", "obj_pt", "obj_eta", "obj_phi")
LAYOUT = replace(WRITTEN, events={**WRITTEN.events, **_DERIVED})
_JETS = ("j", "b")
_SCHEMA = pa.schema(
    [
        *(
            pa.field(name, pa.list_(pa.field("item", pa.from_numpy_dtype(c.dtype), False)), False)
            for name, c in WRITTEN.particles.items()
        ),
        *(
            pa.field(n, pa.string() if c.dtype.kind == "U" else pa.from_numpy_dtype(c.dtype), False)
            for n, c in WRITTEN.events.items()
        ),
    ]
)
_LINE = re.compile(rb"[^;\n]*;[^;,\n]+;[^;,\n]+;[^;,\n]+;[^;,\n]+(;|\n|\Z)")
# an object in a line of another delimiter, or a header's words
_ALMOST = re.compile(
    rb"(^|[;,|\t ])(j|b|e[-+]|mu?[-+]|g|a)[;,|\t ]-?\d|process.*weight", re.IGNORECASE
)


def recognises(path: Path, head: bytes) -> bool:
    """Return whether this is text in such lines; raises BadFileError for other delimiters."""
    if head.startswith(gziptext.MAGIC):
        with refusing(path, "the file is damaged", cure=FETCH_AGAIN), gzip.open(path) as file:
            head = file.read(len(head))
    elif head.startswith(b"PK"):
        try:
            with zipfile.ZipFile(path) as archive:
                members = gziptext.texts(archive)
                with refusing(path, "the archive is damaged or encrypted", cure=FETCH_AGAIN):
                    head = archive.open(members[0]).read(len(head)) if members else b""
        except zipfile.BadZipFile:
            return False  # other formats are zip archives, too, and say what is wrong
    first, _, rest = head.partition(b"\n")
    if b"\0" in head or not head.isascii():
        return False
    if _LINE.match(head) and (not rest or _ALMOST.search(first) or first.count(b";") == 4):
        return True
    second = rest.partition(b"\n")[0]
    return any(_ALMOST.search(line) and len(line) > 10 for line in (first, second))


def describe(path: Path) -> FileDescription:
    """Return the file's description; the first time, all its lines are read and cached."""
    rows, *_ = _of_copy(path, lambda copy: parquetio.describe(copy, PROVENANCE))
    return FileDescription(path, FORMAT, rows, gziptext.comment(path), tuple(LAYOUT.names))


def read(path: Path, start: int, stop: int, columns: Sequence[str]) -> Events:
    """Return lines `start` to `stop` (exclusive) with exactly the `columns`.

    The text is parsed once, into a columnar file (`formats.columnar`). Raises BadFileError with the
    line for one that is no event.
    """
    for name in columns:
        if name not in LAYOUT.names:
            raise missing_branch(path, name, LAYOUT.names)
    return _of_copy(path, lambda copy: _read(copy, start, stop, columns))


def _read(copy: Path, start: int, stop: int, columns: Sequence[str]) -> Events:
    needed = [name for name in columns if name != "process" and name not in _DERIVED]
    needed += ("obj_type", "obj_pt") if "ht" in columns else ()
    needed += _FOUR_MOMENTUM if "object_mass" in columns else ()
    found = parquetio.read_events(copy, start, stop, list(dict.fromkeys(needed)), LAYOUT)
    events = dict(found.events)
    if "process" in columns:
        texts = parquetio.stored(copy, start, stop, ["process"])["process"].to_pylist()
        events["process"] = np.asarray(texts, np.str_)
    if "n_objects" in columns:
        events["n_objects"] = found.lengths
    if "ht" in columns:
        events["ht"] = _sum_of_jets(found)
    if "object_mass" in columns:
        events["object_mass"] = _mass_of_objects(found)
    particles = {name: c for name, c in found.particles.items() if name in columns}
    return Events(found.lengths, particles, events)


def _sum_of_jets(events: Events) -> Float32[np.ndarray, " event"]:
    is_jet = np.isin(events.particles["obj_type"], [TYPES[name] for name in _JETS])
    owner = np.repeat(np.arange(len(events)), events.lengths)
    pt = events.particles["obj_pt"]
    return np.bincount(owner[is_jet], pt[is_jet], len(events)).astype(np.float32)


def _mass_of_objects(events: Events) -> Float32[np.ndarray, " event"]:
    """Return the invariant mass in GeV of all objects, with the energies of the file; 0 of none."""
    energy, pt, eta, phi = (events.particles[name].astype(np.float64) for name in _FOUR_MOMENTUM)
    owner = np.repeat(np.arange(len(events)), events.lengths)
    sums = [
        np.bincount(owner, one, len(events))
        for one in (energy, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta))
    ]
    squared = sums[0] ** 2 - sums[1] ** 2 - sums[2] ** 2 - sums[3] ** 2
    return np.sqrt(squared.clip(min=0.0)).astype(np.float32)


def stored(path: Path, start: int, stop: int, columns: Sequence[str]) -> dict[str, Any]:
    """Return those of the columns that have one number or text per event; momenta in GeV."""
    found = dict(_of_copy(path, lambda copy: parquetio.stored(copy, start, stop, columns)))
    if derived := [name for name in columns if name in _DERIVED]:
        found |= read(path, start, stop, derived).events
    return found


def _of_copy(path: Path, use: Callable[[Path], T]) -> T:
    """Return what `use` makes of the columnar copy of a text; a damaged copy is made anew."""
    lines = partial(parsed, path, TYPES, _SCHEMA, _MEV)
    copy = columnar(path, lines, _SCHEMA)
    try:
        return use(copy)
    except BadFileError as error:
        if error.path != copy:
            raise
        copy.unlink(missing_ok=True)
        return use(columnar(path, lines, _SCHEMA))


def write(path: Path, parts: Iterable[Events], provenance: Mapping[str, Any] | None = None) -> int:
    """Write events as gzip text in the published layout and return how many; all or nothing.

    `provenance` (JSON types) stands in the comment of the gzip header, which other readers skip.
    Raises BadFileError, and leaves `path` as it was, for values that `read` would refuse.
    """
    count = 0
    with atomic_path(path) as temporary, gziptext.writer(temporary, provenance) as put:
        for part in checked(WRITTEN, path, parts):
            put("".join(_lines(part)).encode("ascii"))
            count += len(part)
    return count


def _lines(events: Events) -> Iterable[str]:
    objects, numbers = events.particles, events.events
    for name in numbers["process"]:
        if not OBJECT.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a process in a line of text")
    table = zip(
        (_NAMES[code] for code in objects["obj_type"].tolist()),
        *(_mev(objects[name]) for name in ("obj_energy", "obj_pt")),
        *(objects[name].astype(np.float64).tolist() for name in ("obj_eta", "obj_phi")),
        strict=True,
    )
    texts = [f";{t},{e:.6g},{pt:.6g},{eta:.6g},{phi:.6g}" for t, e, pt, eta, phi in table]
    edges = events.offsets.tolist()
    for i, (number, process, weight, met, phi) in enumerate(
        zip(
            numbers["event"].tolist(),
            numbers["process"].tolist(),
            numbers["weight"].tolist(),
            _mev(numbers["met"]),
            numbers["met_phi"].astype(np.float64).tolist(),
            strict=True,
        )
    ):
        head = f"{number};{process};{weight:.8g};{met:.6g};{phi:.6g}"
        yield head + "".join(texts[edges[i] : edges[i + 1]]) + "\n"


def _mev(values: np.ndarray) -> list[float]:
    in_mev: list[float] = (values.astype(np.float64) * _MEV).tolist()
    return in_mev
