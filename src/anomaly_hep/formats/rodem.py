"""RODEM jets (Zenodo 12793616, arXiv:2408.11616): HDF5 with the leading jet of each event.

objects/jets/jet1_obs (jets, 4 or more) is pt, eta, phi, mass, then substructure;
objects/jets/jet1_cnsts (jets, slots, 3 or more) is pt, eta, phi of the constituents, then more; GeV
and radians. A slot of pt 0 is padding. Further columns, and the second jet, are not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from jaxtyping import Bool, Float32

from anomaly_hep.atomic import atomic_path
from anomaly_hep.formats import hdf5, jetkinematics
from anomaly_hep.formats.checks import FETCH_AGAIN, check_range, missing_branch, refusing
from anomaly_hep.formats.chunks import whole_chunks
from anomaly_hep.formats.judging import checked
from anomaly_hep.formats.layout import Layout, Rule
from anomaly_hep.types import Events, FileDescription

FORMAT = "RODEM HDF5"
SIGN = "the group 'objects/jets' with jet1_obs and jet1_cnsts"
EVENT_NOUN = "jets"
SUFFIXES = (".h5",)
PUBLISHED: frozenset[str] = frozenset()  # recognised by the record of `fetch` instead
LAYOUT = jetkinematics.LAYOUT
GROUP = "objects/jets"
JETS, CONSTITUENTS = f"{GROUP}/jet1_obs", f"{GROUP}/jet1_cnsts"
MOST_PARTICLES = 100  # slots of the published files
_JETS_PER_CHUNK = 256  # 300 kB, of which LZ4 leaves a third
_AT_ONCE = 1024  # jets, 1.2 MB


def _too_many(events: Events) -> Bool[np.ndarray, " event"]:
    return events.lengths > MOST_PARTICLES


WRITTEN = Layout(
    particles=jetkinematics.PARTICLES,
    events=jetkinematics.JETS,
    rules=(
        *(rule for rule in LAYOUT.rules if {*rule.needs} <= {"part_pt", *jetkinematics.JETS}),
        Rule(
            ("part_pt",),
            _too_many,
            f"it has more than {MOST_PARTICLES} particles",
            "keep the hardest",
        ),
    ),
)


def recognises(path: Path, head: bytes) -> bool:
    """Return whether this is HDF5 with one of the two data sets."""
    if not head.startswith(hdf5.MAGIC):
        return False
    with hdf5.opened(path) as file:
        return any(key in file for key in (JETS, CONSTITUENTS))


def describe(path: Path) -> FileDescription:
    """Return the file's description; raises BadFileError if it is not of this format."""
    with _opened(path) as (file, jets, _):
        for key in (JETS, CONSTITUENTS):
            hdf5.check_whole(path, key, file[key])
        about = hdf5.provenance(path, file)
        return FileDescription(path, FORMAT, len(jets), about, LAYOUT.names)


def read(path: Path, start: int, stop: int, columns: Sequence[str]) -> Events:
    """Return entries `start` to `stop` (exclusive) with exactly the `columns`.

    About a thousand jets are unpacked at a time, so that little memory is needed beside that of the
    particles.
    """
    for name in columns:
        if name not in LAYOUT.names:
            raise missing_branch(path, name, LAYOUT.names)
    with _opened(path) as (_, jets, constituents):
        check_range(path, start, stop, len(jets))
        parts = [_unpadded(np.zeros((0, 4), np.float32), np.zeros((0, 0, 3), np.float32))]
        chunk = hdf5.rows_per_chunk(constituents)
        for first, last in whole_chunks(start, stop, _AT_ONCE, chunk):
            problem = f"entries {first} to {last} are damaged"
            with refusing(path, problem, branch=GROUP, cure=FETCH_AGAIN):
                parts.append(_unpadded(jets[first:last], constituents[first:last]))
    return jetkinematics.with_derived(Events.concatenate(parts), columns)


def write(path: Path, parts: Iterable[Events], provenance: Mapping[str, Any] | None = None) -> int:
    """Write jets in the published layout and return how many; all or nothing.

    The parts have the columns WRITTEN: part_pt, part_eta, part_phi and jet_pt, jet_eta, jet_phi,
    jet_mass, float32 in GeV and radians. Raises BadFileError, and leaves `path` as it was, for
    values that `read` would refuse and for more than 100 particles.
    """
    count = 0
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        jets = _array(file, JETS, (len(jetkinematics.JETS),))
        constituents = _array(file, CONSTITUENTS, (MOST_PARTICLES, len(WRITTEN.particles)))
        for part in checked(WRITTEN, path, parts):
            for dataset in (jets, constituents):
                dataset.resize(count + len(part), axis=0)
            jets[count:] = np.stack([part.events[name] for name in jetkinematics.JETS], 1)
            constituents[count:] = _padded(part)
            count += len(part)
        if provenance is not None:
            hdf5.keep_provenance(file, provenance)
    return count


# ---- reading


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any, Any]]:
    """Open a file and its jets and constituents; raises BadFileError for anything else."""
    with hdf5.opened(path) as file:
        jets = hdf5.rows(path, file, JETS, (4,), "jets by pt, eta, phi, mass")
        of_slots = "jets by slots by pt, eta, phi"
        constituents = hdf5.rows(path, file, CONSTITUENTS, (1, 3), of_slots)
        hdf5.check_as_long(path, CONSTITUENTS, constituents, JETS, len(jets))
        yield file, jets, constituents


def _unpadded(jets: np.ndarray, constituents: np.ndarray) -> Events:
    """Return the particles whose pT is not 0, and the jets, in float32."""
    filled = constituents[:, :, 0] != 0
    with np.errstate(over="ignore"):  # what is infinite then is out of bounds
        rows = constituents[filled].astype(np.float32)
        own = jets.astype(np.float32)
    return Events(
        filled.sum(1, dtype=np.int64),
        _columns(rows, jetkinematics.PARTICLES),
        _columns(own, jetkinematics.JETS),
    )


def _columns(
    rows: Float32[np.ndarray, "row column"], names: Iterable[str]
) -> dict[str, Float32[np.ndarray, " row"]]:
    """Return the first columns by their names, values beyond a bound by a rounding moved to it."""
    return {
        name: LAYOUT[name].rounded(np.ascontiguousarray(rows[:, number]))
        for number, name in enumerate(names)
    }


# ---- writing


def _array(file: Any, key: str, shape: tuple[int, ...]) -> Any:
    return file.create_dataset(
        key,
        (0, *shape),
        np.float32,
        maxshape=(None, *shape),
        chunks=(_JETS_PER_CHUNK, *shape),
        compression=hdf5plugin.Blosc(cname="lz4", clevel=5, shuffle=hdf5plugin.Blosc.SHUFFLE),
    )


def _padded(part: Events) -> Float32[np.ndarray, "event slot column"]:
    """Return the particles in their slots, the rest zeros."""
    rows = np.zeros((len(part), MOST_PARTICLES, len(WRITTEN.particles)), np.float32)
    slot = np.arange(MOST_PARTICLES) < part.lengths[:, None]
    rows[slot] = np.stack([part.particles[name] for name in WRITTEN.particles], 1)
    return rows
