"""JetNet (Zenodo 6975118, 6975117, arXiv:2106.11535): HDF5 with jets of 30, or 150, particles.

particle_features (jets, slots, 4) is eta and phi relative to the jet, pT in units of the jet's, and
a mask, 1 for particles and 0 for padding; jet_features (jets, 4) is pT, eta, mass and the number of
particles, which is not read: the mask says it. GeV and radians. Jets have no phi, and get 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import hdf5, jetkinematics
from anomaly_hep.formats.checks import FETCH_AGAIN, check_range, missing_branch, refusing
from anomaly_hep.formats.chunks import whole_chunks
from anomaly_hep.formats.jetkinematics import wrapped
from anomaly_hep.types import Events, FileDescription

FORMAT = "JetNet HDF5"
SIGN = "the keys 'particle_features' and 'jet_features'"
EVENT_NOUN = "jets"
SUFFIXES = (".hdf5",)
PUBLISHED: frozenset[str] = frozenset()  # recognised by the record of `fetch` instead
LAYOUT = jetkinematics.LAYOUT
JETS, PARTICLES = "jet_features", "particle_features"
_AT_ONCE = 1024  # jets, 1 MB of 30 particles


def recognises(path: Path, head: bytes) -> bool:
    """Return whether this is HDF5 with one of the keys."""
    if not head.startswith(hdf5.MAGIC):
        return False
    with hdf5.opened(path) as file:
        return any(key in file for key in (JETS, PARTICLES))


def describe(path: Path) -> FileDescription:
    """Return the file's description; raises BadFileError if it is not of this format."""
    with _opened(path) as (file, jets, _):
        for key in (JETS, PARTICLES):
            hdf5.check_whole(path, key, file[key])
        about = hdf5.provenance(path, file)
        return FileDescription(path, FORMAT, len(jets), about, LAYOUT.names)


def read(path: Path, start: int, stop: int, columns: Sequence[str]) -> Events:
    """Return entries `start` to `stop` (exclusive) with exactly the `columns`.

    A particle of no pT is padding too. About a thousand jets are unpacked at a time. Raises
    BadFileError for a mask that is neither 0 nor 1.
    """
    for name in columns:
        if name not in LAYOUT.names:
            raise missing_branch(path, name, LAYOUT.names)
    with _opened(path) as (_, jets, particles):
        check_range(path, start, stop, len(jets))
        parts = [_jagged(path, np.zeros((0, 4)), np.zeros((0, 1, 4)), start)]
        chunk = hdf5.rows_per_chunk(particles)
        for first, last in whole_chunks(start, stop, _AT_ONCE, chunk):
            problem = f"entries {first} to {last} are damaged"
            with refusing(path, problem, branch=PARTICLES, cure=FETCH_AGAIN):
                rows = (np.asarray(table[first:last], np.float64) for table in (jets, particles))
                of_jets, of_particles = rows
            parts.append(_jagged(path, of_jets, of_particles, first))
    return jetkinematics.with_derived(Events.concatenate(parts), columns)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any, Any]]:
    """Open a file and its jets and particles; raises BadFileError for anything else."""
    with hdf5.opened(path) as file:
        jets = hdf5.rows(path, file, JETS, (3,), "jets by pt, eta, mass")
        of_slots = "jets by slots by etarel, phirel, ptrel, mask"
        particles = hdf5.rows(path, file, PARTICLES, (1, 4), of_slots)
        hdf5.check_as_long(path, PARTICLES, particles, JETS, len(jets))
        yield file, jets, particles


def _jagged(
    path: Path,
    jets: Float64[np.ndarray, "jet column"],
    particles: Float64[np.ndarray, "jet slot column"],
    start: int,
) -> Events:
    mask = particles[:, :, 3]
    if (bad := (mask != 0) & (mask != 1)).any():
        row, slot = np.argwhere(bad)[0]
        problem = f"the mask {mask[row, slot]:g} is neither 0 nor 1"
        cure = "store 1 for particles and 0 for padding"
        raise BadFileError(path, problem, branch=PARTICLES, entry=start + int(row), cure=cure)
    filled = (mask == 1) & (particles[:, :, 2] != 0)
    lengths = filled.sum(1, dtype=np.int64)
    eta, phi, pt = particles[filled][:, :3].T
    jet_pt, jet_eta, mass = jets[:, :3].T
    of_particles = {
        "part_pt": pt * np.repeat(jet_pt, lengths),
        "part_eta": eta + np.repeat(jet_eta, lengths),
        "part_phi": wrapped(phi),
    }
    of_jets = {
        "jet_pt": jet_pt,
        "jet_eta": jet_eta,
        "jet_phi": np.zeros_like(jet_pt),
        "jet_mass": mass,
    }
    return Events(
        lengths,
        {name: LAYOUT.convert(path, name, values) for name, values in of_particles.items()},
        {name: LAYOUT.convert(path, name, values) for name, values in of_jets.items()},
    )
