"""JetClass (Zenodo 6619768): ROOT files, one TTree of 41 branches, one entry per jet.

Units: GeV for momenta, energies and masses; mm for impact parameters (d0, dz); radians for angles.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anomaly_hep.atomic import atomic_path
from anomaly_hep.formats.chunks import rechunk
from anomaly_hep.formats.layout import Layout
from anomaly_hep.formats.rootio import read as rootio
from anomaly_hep.formats.rootio.write import write_tree
from anomaly_hep.types import Events, FileDescription

FORMAT = "JetClass ROOT"
TREE = "tree"
PROVENANCE = "anomaly_hep_provenance"
ENTRIES_PER_BASKET = 1000

LABELS = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
PREFIXES = {
    "QCD": "ZJetsToNuNu",
    "Hbb": "HToBB",
    "Hcc": "HToCC",
    "Hgg": "HToGG",
    "H4q": "HToWW4Q",
    "Hqql": "HToWW2Q1L",
    "Zqq": "ZToQQ",
    "Wqq": "WToQQ",
    "Tbqq": "TTBar",
    "Tbl": "TTBarLep",
}

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
    "part_charge": _F32,
    "part_isChargedHadron": _I32,
    "part_isNeutralHadron": _I32,
    "part_isPhoton": _I32,
    "part_isElectron": _I32,
    "part_isMuon": _I32,
}
# The labels' mixed types are those of the published files.
LABEL_BRANCHES: Mapping[str, np.dtype[Any]] = {
    "label_QCD": _F32,
    "label_Hbb": _BOOL,
    "label_Hcc": _BOOL,
    "label_Hgg": _BOOL,
    "label_H4q": _BOOL,
    "label_Hqql": _BOOL,
    "label_Zqq": _I32,
    "label_Wqq": _I32,
    "label_Tbqq": _I32,
    "label_Tbl": _I32,
}
JET_BRANCHES: Mapping[str, np.dtype[Any]] = {
    "jet_pt": _F32,
    "jet_eta": _F32,
    "jet_phi": _F32,
    "jet_energy": _F32,
    "jet_nparticles": _F32,
    "jet_sdmass": _F32,
    "jet_tau1": _F32,
    "jet_tau2": _F32,
    "jet_tau3": _F32,
    "jet_tau4": _F32,
    "aux_genpart_eta": _F32,
    "aux_genpart_phi": _F32,
    "aux_genpart_pid": _F32,
    "aux_genpart_pt": _F32,
    "aux_truth_match": _F32,
}
EVENT_BRANCHES: Mapping[str, np.dtype[Any]] = {**LABEL_BRANCHES, **JET_BRANCHES}
BRANCHES: Mapping[str, np.dtype[Any]] = {**PARTICLE_BRANCHES, **EVENT_BRANCHES}
LAYOUT = Layout(PARTICLE_BRANCHES, EVENT_BRANCHES)


def describe(path: Path) -> FileDescription:
    """Return what the file says of itself; raises BadFileError when it is no JetClass file."""
    entries, provenance, columns = rootio.describe(path, TREE, PROVENANCE)
    return FileDescription(path, FORMAT, entries, provenance, columns)


def read(path: Path, start: int, stop: int, columns: Sequence[str]) -> Events:
    """Return entries `start` to `stop` (exclusive) with exactly the branches `columns`.

    Branches may be std::vector (as published) or counted arrays (as `write` makes them). Reading is
    fast where the chunks of a file are read in order: decompressed baskets are kept for the next.
    Raises BadFileError with the branch and the absolute entry for whatever cannot be trusted.
    """
    return rootio.read_events(path, TREE, start, stop, columns, LAYOUT)


def write(path: Path, parts: Iterable[Events], provenance: Mapping[str, Any] | None = None) -> int:
    """Write the jets of `parts`, all 41 branches, and return how many; all or nothing.

    `provenance` (JSON types) says what made the jets. Raises BadFileError, and leaves `path` as it
    was, for a missing or unknown column, another kind of dtype, columns of unequal length, and for
    values that `read` would refuse.
    """
    texts = {} if provenance is None else {PROVENANCE: json.dumps(provenance, sort_keys=True)}
    with atomic_path(path) as temporary:
        jets = rechunk(LAYOUT.checked(path, parts), ENTRIES_PER_BASKET)
        return write_tree(temporary, TREE, jets, LAYOUT, texts)
