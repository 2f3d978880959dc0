"""Write toy jets as ROOT itself does: std::vector branches, as in the published JetClass files.

The by_root*.root files beside this one were made by it, with ROOT 6 (`pip install root==0.1a12`):
`PYTHONPATH=src python -m tests.formats.make_root_fixture tests/formats`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from tests.toys import toy_jets

from anomaly_hep.formats import jetclass
from anomaly_hep.types import Events

LEAF = {"f": "F", "i": "I", "b": "O"}


def write_with_root(path: Path, jets: Events, *, basket_bytes: int, compression: int) -> None:
    """Write `jets` with ROOT; `compression` as in TFile (101 zlib, 207 lzma, 404 lz4, 505 zstd)."""
    import ROOT  # type: ignore[import-not-found]  # only needed to make the fixture anew

    file = ROOT.TFile(str(path), "RECREATE", "", compression)
    tree = ROOT.TTree(jetclass.TREE, "jets")
    vectors, scalars = {}, {}
    for name, column in jetclass.LAYOUT.particles.items():
        vectors[name] = ROOT.std.vector("float" if column.dtype.kind == "f" else "int")()
        tree.Branch(name, vectors[name], basket_bytes)
    for name, column in jetclass.LAYOUT.events.items():
        scalars[name] = np.zeros(1, column.dtype)
        tree.Branch(name, scalars[name], f"{name}/{LEAF[column.dtype.kind]}", basket_bytes)
    edges = jets.offsets
    for i in range(len(jets)):
        for name, vector in vectors.items():
            vector.assign(jets.particles[name][edges[i] : edges[i + 1]].tolist())
        for name, cell in scalars.items():
            cell[0] = jets.events[name][i]
        tree.Fill()
    tree.Write()
    file.Close()


def write_counted_with_root(path: Path, lengths: list[int]) -> None:
    """Write part_px as a counted array whose offsets ROOT leaves out of the file."""
    import ROOT

    file = ROOT.TFile(str(path), "RECREATE", "", 404)
    tree = ROOT.TTree(jetclass.TREE, "jets")
    features = ROOT.TIOFeatures()
    features.Set(ROOT.Experimental.EIOFeatures.kGenerateOffsetMap)
    tree.SetIOFeatures(features)
    count, values = np.zeros(1, np.int32), np.zeros(max(lengths), np.float32)
    tree.Branch("npart", count, "npart/I", 200)
    tree.Branch("part_px", values, "part_px[npart]/F", 200)
    for i, length in enumerate(lengths):
        count[0], values[:] = length, i + np.arange(len(values)) / 100
        tree.Fill()
    tree.Write()
    file.Close()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    write_counted_with_root(folder / "by_root_counted.root", [i % 6 for i in range(100)])
    parts = [
        toy_jets(12, label=label, seed=i, mean_particles=8)
        for i, label in enumerate(jetclass.LABELS)
    ]
    write_with_root(
        folder / "by_root.root", Events.concatenate(parts), basket_bytes=2000, compression=101
    )
