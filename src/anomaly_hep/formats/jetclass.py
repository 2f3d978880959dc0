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
from anomaly_hep.formats.jetrules import RULES, bounded
from anomaly_hep.formats.judging import checked
from anomaly_hep.formats.layout import Column, Layout, alike
from anomaly_hep.formats.rootio import read as rootio
from anomaly_hep.formats.rootio.tree import MAGIC
from anomaly_hep.formats.rootio.write import write_tree
from anomaly_hep.types import Events, FileDescription

TREE = "tree"
FORMAT = "JetClass ROOT"
SIGN = f"a TTree '{TREE}'"
EVENT_NOUN = "jets"
SUFFIXES = (".root",)
PUBLISHED: frozenset[str] = frozenset()  # recognised by the record of `fetch` instead
PROVENANCE = "anomaly_hep_provenance"
ENTRIES_PER_BASKET = 1000

LABELS = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")

_F32, _I32, _BOOL = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.bool_)
LAYOUT = Layout(
    particles=bounded(
        {
            **alike(_F32, "GeV", "part_px", "part_py", "part_pz", "part_energy"),
            **alike(_F32, "", "part_deta"),
            **alike(_F32, "rad", "part_dphi"),
            **alike(_F32, "mm", "part_d0val", "part_d0err", "part_dzval", "part_dzerr"),
            **alike(_F32, "e", "part_charge"),
            **alike(
                _I32,
                "",
                "part_isChargedHadron",
                "part_isNeutralHadron",
                "part_isPhoton",
                "part_isElectron",
                "part_isMuon",
            ),
        }
    ),
    events=bounded(
        {
            # the labels have the mixed types of the published files
            **alike(_F32, "", "label_QCD", truth=True),
            **alike(
                _BOOL, "", *(f"label_{n}" for n in ("Hbb", "Hcc", "Hgg", "H4q", "Hqql")), truth=True
            ),
            **alike(_I32, "", *(f"label_{n}" for n in ("Zqq", "Wqq", "Tbqq", "Tbl")), truth=True),
            **alike(_F32, "GeV", "jet_pt"),
            **alike(_F32, "", "jet_eta"),
            **alike(_F32, "rad", "jet_phi"),
            **alike(_F32, "GeV", "jet_energy"),
            "jet_nparticles": Column(_F32, above=0),
            **alike(_F32, "GeV", "jet_sdmass"),
            **alike(_F32, "", "jet_tau1", "jet_tau2", "jet_tau3", "jet_tau4"),
            **alike(_F32, "", "aux_genpart_eta", truth=True),
            **alike(_F32, "rad", "aux_genpart_phi", truth=True),
            **alike(_F32, "", "aux_genpart_pid", truth=True),
            **alike(_F32, "GeV", "aux_genpart_pt", truth=True),
            **alike(_F32, "", "aux_truth_match", truth=True),
        }
    ),
    multiplicity="jet_nparticles",
    rules=RULES,
)


def recognises(path: Path, head: bytes) -> bool:
    """Return whether this is a ROOT file with the tree; raises BadFileError for a broken one."""
    return head.startswith(MAGIC) and rootio.holds(path, TREE)


def describe(path: Path) -> FileDescription:
    """Return the file's description; raises BadFileError if it is no JetClass file."""
    entries, provenance, names = rootio.describe(path, TREE, PROVENANCE)
    return FileDescription(path, FORMAT, entries, provenance, names)


def read(path: Path, start: int, stop: int, columns: Sequence[str]) -> Events:
    """Return entries `start` to `stop` (exclusive) with exactly the branches `columns`.

    Branches may be std::vector (as published) or counted arrays (as `write` makes them). Reading
    the chunks of a file in order is fast, since decompressed baskets are cached. Raises
    BadFileError with branch and entry for content that is no such branch.
    """
    return rootio.read_events(path, TREE, start, stop, columns, LAYOUT)


def stored(path: Path, start: int, stop: int, columns: Sequence[str]) -> dict[str, Any]:
    """Return those of the branches that have one number or text per jet, as they are stored."""
    return dict(rootio.stored(path, TREE, start, stop, columns))


def write(path: Path, parts: Iterable[Events], provenance: Mapping[str, Any] | None = None) -> int:
    """Write the jets of `parts` with all 41 branches, and return how many; all or nothing.

    `provenance` (JSON types) says how the jets were made. Raises BadFileError, and leaves `path` as
    it was, for a missing or unknown column, a wrong kind of dtype, columns of unequal length, and
    values that `read` would refuse.
    """
    texts = {} if provenance is None else {PROVENANCE: json.dumps(provenance, sort_keys=True)}
    with atomic_path(path) as temporary:
        jets = rechunk(checked(LAYOUT, path, parts), ENTRIES_PER_BASKET)
        return write_tree(temporary, TREE, jets, LAYOUT, texts)
