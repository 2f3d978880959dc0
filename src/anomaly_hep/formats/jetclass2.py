"""JetClass-II (Hugging Face jet-universe/jetclass2): Parquet files of 54 columns, one row per jet.

Units: GeV for momenta, energies and masses; mm for impact parameters (d0, dz) and vertices; radians
for angles. Columns that JetClass has too have the same names; here part_charge is an integer and
the part_is* are booleans.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anomaly_hep.atomic import atomic_path
from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import parquetio
from anomaly_hep.formats.chunks import rechunk
from anomaly_hep.formats.layout import Layout
from anomaly_hep.types import Events, FileDescription

FORMAT = "JetClass-II Parquet"
PROVENANCE = "anomaly_hep_provenance"
ROWS_PER_GROUP = 10_000

_F32, _I32, _BOOL = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.bool_)
PARTICLE_BRANCHES: Mapping[str, np.dtype[Any]] = {
    "part_px": _F32,
    "part_py": _F32,
    "part_pz": _F32,
    "part_energy": _F32,
    "part_deta": _F32,
    "part_dphi": _F32,
    "part_d0val": _F32,
    "part_d0err": _F32,
    "part_dzval": _F32,
    "part_dzerr": _F32,
    "part_charge": _I32,
    "part_isElectron": _BOOL,
    "part_isMuon": _BOOL,
    "part_isPhoton": _BOOL,
    "part_isChargedHadron": _BOOL,
    "part_isNeutralHadron": _BOOL,
}
EVENT_BRANCHES: Mapping[str, np.dtype[Any]] = {
    "jet_pt": _F32,
    "jet_eta": _F32,
    "jet_phi": _F32,
    "jet_energy": _F32,
    "jet_sdmass": _F32,
    "jet_nparticles": _I32,
    "jet_tau1": _F32,
    "jet_tau2": _F32,
    "jet_tau3": _F32,
    "jet_tau4": _F32,
    "jet_label": _I32,
}
GENERATOR_JET_BRANCHES: Mapping[str, np.dtype[Any]] = {
    "genjet_pt": _F32,
    "genjet_eta": _F32,
    "genjet_phi": _F32,
    "genjet_energy": _F32,
    "genjet_sdmass": _F32,
    "genjet_nparticles": _I32,
}
# The generator's lists have other lengths than the particles': they are read separately.
LIST_PREFIXES = ("part_", "genpart_", "aux_genpart_")
GENERATOR_PARTICLE_BRANCHES: Mapping[str, np.dtype[Any]] = {
    "genpart_px": _F32,
    "genpart_py": _F32,
    "genpart_pz": _F32,
    "genpart_energy": _F32,
    "genpart_jet_deta": _F32,
    "genpart_jet_dphi": _F32,
    "genpart_x": _F32,
    "genpart_y": _F32,
    "genpart_z": _F32,
    "genpart_t": _F32,
    "genpart_pid": _I32,
}
RESONANCE_BRANCHES: Mapping[str, np.dtype[Any]] = {
    "aux_genpart_pt": _F32,
    "aux_genpart_eta": _F32,
    "aux_genpart_phi": _F32,
    "aux_genpart_mass": _F32,
    "aux_genpart_pid": _I32,
    "aux_genpart_isResX": _BOOL,
    "aux_genpart_isResY": _BOOL,
    "aux_genpart_isResDecayProd": _BOOL,
    "aux_genpart_isTauDecayProd": _BOOL,
    "aux_genpart_isQcdParton": _BOOL,
}
LAYOUT = Layout(
    {**PARTICLE_BRANCHES, **GENERATOR_PARTICLE_BRANCHES, **RESONANCE_BRANCHES},
    {**EVENT_BRANCHES, **GENERATOR_JET_BRANCHES},
)
WRITTEN = Layout(PARTICLE_BRANCHES, EVENT_BRANCHES)
BRANCHES: Mapping[str, np.dtype[Any]] = {**LAYOUT.particles, **LAYOUT.events}


def describe(path: Path) -> FileDescription:
    """Return what the file says of itself; raises BadFileError when it is no Parquet file."""
    rows, provenance, columns = parquetio.describe(path, PROVENANCE)
    return FileDescription(path, FORMAT, rows, provenance, columns)


def read(path: Path, start: int, stop: int, columns: Sequence[str]) -> Events:
    """Return rows `start` to `stop` (exclusive) with exactly the `columns`.

    Memory does not grow with the file. Reading is fast where the chunks of a file are read in
    order: going back means decoding from the start of a row group. Raises BadFileError with the
    column and the absolute row for whatever cannot be trusted.
    """
    asked = [kind for kind in LIST_PREFIXES if any(name.startswith(kind) for name in columns)]
    if len(asked) > 1:
        problem = f"the lists {'*, '.join(asked)}* have different lengths"
        raise BadFileError(path, problem, cure="read them one after the other")
    return parquetio.read_events(path, start, stop, columns, LAYOUT)


def write(path: Path, parts: Iterable[Events], provenance: Mapping[str, Any] | None = None) -> int:
    """Write the jets of `parts` and return how many; all or nothing.

    Written are the 16 part_* and 11 jet_* columns; generator-level truth is not. Raises
    BadFileError, and leaves `path` as it was, for a missing or unknown column, another kind of
    dtype, columns of unequal length, and for values that `read` would refuse.
    """
    metadata = {} if provenance is None else {PROVENANCE: json.dumps(provenance, sort_keys=True)}
    with atomic_path(path) as temporary:
        jets = rechunk(WRITTEN.checked(path, parts), ROWS_PER_GROUP)
        return parquetio.write_events(temporary, jets, WRITTEN, metadata)
