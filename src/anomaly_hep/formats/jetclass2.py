"""JetClass-II (Hugging Face jet-universe/jetclass2): Parquet files of 54 columns, one row per jet.

Units: GeV for momenta, energies and masses; mm for impact parameters (d0, dz) and vertices; radians
for angles. Columns shared with JetClass have the same names, but here part_charge is an integer and
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
from anomaly_hep.formats.jetrules import RULES, bounded
from anomaly_hep.formats.judging import checked
from anomaly_hep.formats.layout import Column, Layout, alike
from anomaly_hep.types import Events, FileDescription

FORMAT = "JetClass-II Parquet"
SIGN = "a column 'part_px'"
EVENT_NOUN = "jets"
SUFFIXES = (".parquet",)
PUBLISHED: frozenset[str] = frozenset()
PROVENANCE = "anomaly_hep_provenance"
ROWS_PER_GROUP = 10_000

_F32, _I32, _BOOL = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.bool_)
WRITTEN = Layout(
    particles=bounded(
        {
            **alike(_F32, "GeV", "part_px", "part_py", "part_pz", "part_energy"),
            **alike(_F32, "", "part_deta"),
            **alike(_F32, "rad", "part_dphi"),
            **alike(_F32, "mm", "part_d0val", "part_d0err", "part_dzval", "part_dzerr"),
            **alike(_I32, "e", "part_charge"),
            **alike(
                _BOOL,
                "",
                "part_isElectron",
                "part_isMuon",
                "part_isPhoton",
                "part_isChargedHadron",
                "part_isNeutralHadron",
            ),
        }
    ),
    events=bounded(
        {
            **alike(_F32, "GeV", "jet_pt"),
            **alike(_F32, "", "jet_eta"),
            **alike(_F32, "rad", "jet_phi"),
            **alike(_F32, "GeV", "jet_energy", "jet_sdmass"),
            "jet_nparticles": Column(_I32, above=0),
            **alike(_F32, "", "jet_tau1", "jet_tau2", "jet_tau3", "jet_tau4"),
            **alike(_I32, "", "jet_label", truth=True),
        }
    ),
    multiplicity="jet_nparticles",
    rules=RULES,
)
# The lists of generated particles have lengths of their own, so they are read separately.
LIST_PREFIXES = ("part_", "genpart_", "aux_genpart_")
_GENERATED = {
    **alike(_F32, "GeV", *(f"genpart_{n}" for n in ("px", "py", "pz", "energy")), truth=True),
    **alike(_F32, "rad", "genpart_jet_deta", "genpart_jet_dphi", truth=True),
    **alike(_F32, "mm", *(f"genpart_{n}" for n in "xyzt"), truth=True),
    **alike(_I32, "", "genpart_pid", truth=True),
}
_RESONANCES = {
    **alike(_F32, "GeV", "aux_genpart_pt", "aux_genpart_mass", truth=True),
    **alike(_F32, "", "aux_genpart_eta", truth=True),
    **alike(_F32, "rad", "aux_genpart_phi", truth=True),
    **alike(_I32, "", "aux_genpart_pid", truth=True),
    **alike(
        _BOOL,
        "",
        "aux_genpart_isResX",
        "aux_genpart_isResY",
        "aux_genpart_isResDecayProd",
        "aux_genpart_isTauDecayProd",
        "aux_genpart_isQcdParton",
        truth=True,
    ),
}
LAYOUT = Layout(
    particles={**WRITTEN.particles, **_GENERATED, **_RESONANCES},
    events={
        **WRITTEN.events,
        **alike(_F32, "GeV", "genjet_pt", "genjet_energy", "genjet_sdmass", truth=True),
        **alike(_F32, "", "genjet_eta", truth=True),
        **alike(_F32, "rad", "genjet_phi", truth=True),
        **alike(_I32, "", "genjet_nparticles", truth=True),
    },
    multiplicity="jet_nparticles",
    rules=RULES,
)


def recognises(path: Path, head: bytes) -> bool:
    """Return whether this is Parquet with particles; raises BadFileError for a broken one."""
    return head.startswith(parquetio.MAGIC) and "part_px" in describe(path).columns


def describe(path: Path) -> FileDescription:
    """Return the file's description; raises BadFileError if it is no Parquet file."""
    rows, provenance, names = parquetio.describe(path, PROVENANCE)
    return FileDescription(path, FORMAT, rows, provenance, names)


def read(path: Path, start: int, stop: int, columns: Sequence[str]) -> Events:
    """Return rows `start` to `stop` (exclusive) with exactly the `columns`.

    Memory does not grow with the file. Reading the chunks of a file in order is fast; going back
    means decoding from the start of a row group. Raises BadFileError with the column and the
    absolute row for any content that fails a check.
    """
    prefixes = [p for p in LIST_PREFIXES if any(name.startswith(p) for name in columns)]
    if len(prefixes) > 1:
        problem = f"the lists {'*, '.join(prefixes)}* have different lengths"
        raise BadFileError(path, problem, cure="read them one after the other")
    return parquetio.read_events(path, start, stop, columns, LAYOUT)


def stored(path: Path, start: int, stop: int, columns: Sequence[str]) -> dict[str, Any]:
    """Return those of the columns that have one number or text per jet, as they are stored."""
    return parquetio.stored(path, start, stop, columns)


def write(path: Path, parts: Iterable[Events], provenance: Mapping[str, Any] | None = None) -> int:
    """Write the jets of `parts` and return how many; all or nothing.

    Only the 16 part_* and 11 jet_* columns are written, no generator-level truth. Raises
    BadFileError, and leaves `path` as it was, for a missing or unknown column, a wrong kind of
    dtype, columns of unequal length, and values that `read` would refuse.
    """
    metadata = {} if provenance is None else {PROVENANCE: json.dumps(provenance, sort_keys=True)}
    with atomic_path(path) as temporary:
        jets = rechunk(checked(WRITTEN, path, parts), ROWS_PER_GROUP)
        return parquetio.write_events(temporary, jets, WRITTEN, metadata)
