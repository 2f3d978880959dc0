"""What can be wrong with a data file, each made on purpose; shared by the tests and the table.

A fault is a function that leaves a damaged file at the path it is given. Beside it stands what the
error must say: the branch, the entry, and words of the problem and of the cure.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import uproot

from anomaly_hep.formats import files, jetclass, jetclass2
from anomaly_hep.types import Events
from tests.formats.test_jetclass2 import toy_jets2
from tests.toys import toy_jets

JETS = 1200  # two baskets
ROOT_COLUMNS = list(jetclass.LAYOUT.names)
PARQUET_COLUMNS = list(jetclass2.WRITTEN.names)
PAGE = b"<!DOCTYPE html><html><title>404 Not Found</title></html>"

Columns = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """One way to be wrong, and what must be said about it."""

    name: str
    inject: Callable[[Path], None]
    problem: str
    cure: str
    branch: str | None = None
    entry: int | None = None
    suffix: str = ".root"

    def read(self, path: Path) -> Events:
        """Read the file as a run would: all entries that it says it has, all columns."""
        module = jetclass if self.suffix == ".root" else jetclass2
        columns = ROOT_COLUMNS if self.suffix == ".root" else PARQUET_COLUMNS
        return files.read(path, 0, module.describe(path).entries, columns)


def write_own(path: Path) -> None:
    """A good file, as the package writes it."""
    if path.suffix == ".root":
        jetclass.write(path, [toy_jets(JETS, mean_particles=4)], {"generator": "toy", "seed": 1})
    else:
        jetclass2.write(path, [toy_jets2(JETS)], {"generator": "toy", "seed": 1})


def lists_of(jets: Events, column: np.ndarray) -> ak.Array:
    return ak.unflatten(column, jets.lengths)


def write_foreign(path: Path, change: Callable[[Columns], None]) -> None:
    """A file as a user's own script may write it: no checks, no checksums, and then a change."""
    root = path.suffix == ".root"
    jets = toy_jets(JETS, mean_particles=4) if root else toy_jets2(JETS)
    columns: Columns = {name: lists_of(jets, c) for name, c in jets.particles.items()}
    columns |= jets.events
    change(columns)
    if not root:
        pq.write_table(pa.table({n: _arrow(c) for n, c in columns.items()}), path)
        return
    with uproot.recreate(path, compression=uproot.LZ4(4)) as file:
        types = {n: c.type.content if isinstance(c, ak.Array) else _numpy_type(c)
                 for n, c in columns.items()}  # fmt: skip
        tree = file.mktree("tree", types)
        for start, stop in ((0, 1000), (1000, JETS)):
            tree.extend({name: column[start:stop] for name, column in columns.items()})


def _arrow(column: Any) -> Any:
    return ak.to_arrow(column, extensionarray=False) if isinstance(column, ak.Array) else column


def _numpy_type(column: np.ndarray) -> Any:
    return (column.dtype, column.shape[1:]) if column.ndim > 1 else column.dtype


def foreign(change: Callable[[Columns], None]) -> Callable[[Path], None]:
    return lambda path: write_foreign(path, change)


def put(name: str, entry: int, value: float) -> Callable[[Path], None]:
    """Set one value: of a scalar branch, or of the last particle of the entry."""

    def change(columns: Columns) -> None:
        column = columns[name]
        if not isinstance(column, ak.Array):
            column = columns[name] = column.copy()
            column[entry] = value
            return
        flat, lengths = ak.to_numpy(ak.flatten(column)).copy(), ak.to_numpy(ak.num(column))
        flat[lengths[: entry + 1].sum() - 1] = value
        columns[name] = ak.unflatten(flat, lengths)

    return foreign(change)


def drop(name: str) -> Callable[[Path], None]:
    return foreign(lambda columns: columns.pop(name))


def replace(name: str, make: Callable[[Any], Any]) -> Callable[[Path], None]:
    return foreign(lambda columns: columns.update({name: make(columns[name])}))


def shorten(name: str, entry: int) -> Callable[[Path], None]:
    """Take the last particle of one entry away from one branch only."""

    def change(columns: Columns) -> None:
        lists = ak.to_list(columns[name])
        lists[entry].pop()
        columns[name] = ak.values_astype(ak.Array(lists), np.float32)

    return foreign(change)


def content(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data) and None


def truncated(keep: float) -> Callable[[Path], None]:
    """Keep a fraction of the file's bytes, or, below 0, all but so many."""

    def inject(path: Path) -> None:
        write_own(path)
        size = path.stat().st_size
        os.truncate(path, size + int(keep) if keep < 0 else int(keep * size))

    return inject


def flipped(name: str, basket: int) -> Callable[[Path], None]:
    """Flip one bit in the middle of one basket of a branch."""

    def inject(path: Path) -> None:
        write_own(path)
        with uproot.open(path) as file:
            branch = file["tree"][name]
            start = int(branch.member("fBasketSeek")[basket])
            middle = start + branch.basket_compressed_bytes(basket) // 2
        data = bytearray(path.read_bytes())
        data[middle] ^= 16
        path.write_bytes(data)

    return inject


def another_tree(path: Path) -> None:
    with uproot.recreate(path) as file:
        file.mktree("Events", {"jet_pt": np.dtype(np.float32)})


def parquet_flip(path: Path) -> None:
    write_own(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 16
    path.write_bytes(data)


def parquet_null(columns: Columns) -> None:
    values = columns["jet_eta"].tolist()
    values[1005] = None
    columns["jet_eta"] = pa.array(values, pa.float32())


AGAIN, MEND = "fetch or simulate", "leave such events out"
FAULTS = [
    Fault("no such file", lambda _: None, "no such file", "check the path"),
    Fault("a directory", lambda path: path.mkdir(), "is a directory", "check the path"),
    Fault("zero bytes", content(b""), "empty (0 bytes)", AGAIN),
    Fault("a web page instead", content(PAGE), "no ROOT file", "failed download"),
    Fault("nothing but the magic word", content(b"root"), "damaged", AGAIN),
    *(
        Fault(f"truncated to {keep:.1%}", truncated(keep), "", AGAIN)
        for keep in (0.001, 0.01, 0.1, 0.5, 0.9, 0.999)
    ),
    Fault("the last byte is missing", truncated(-1), "truncated", AGAIN),
    Fault("no tree 'tree'", another_tree, "holds TTree 'Events'", "TTree 'tree'"),
    Fault("a branch is missing", drop("jet_tau3"), "missing", "nearest is 'jet_tau", "jet_tau3"),
    Fault("a particle branch is missing", drop("part_dzerr"), "missing",
          "nearest is 'part_d0err'", "part_dzerr"),
    Fault("strings", replace("label_QCD", lambda _: ak.Array(["QCD"] * JETS)), "type is char*",
          "store float", "label_QCD"),
    Fault("a list where a number belongs",
          replace("jet_pt", lambda c: ak.Array(c[:, None].tolist())), "a list, not one number",
          "one number per entry", "jet_pt"),
    Fault("a number where a list belongs", replace("part_px", lambda c: ak.to_numpy(ak.sum(c, 1))),
          "not a list", "a list per entry", "part_px"),
    Fault("three numbers per entry", replace("jet_eta", lambda c: np.stack([c] * 3, 1)),
          "neither a number nor a list", "store float", "jet_eta"),
    Fault("fractions for a flag", replace("label_Hbb", lambda c: c + np.float32(0.5)),
          "do not fit bool", "store bool", "label_Hbb"),
    Fault("NaN in a particle", put("part_d0val", 1003, np.nan), "nan", MEND, "part_d0val", 1003),
    Fault("infinity in a particle", put("part_px", 0, np.inf), "inf", MEND, "part_px", 0),
    Fault("minus infinity in a jet", put("jet_sdmass", 1199, -np.inf), "-inf", MEND,
          "jet_sdmass", 1199),
    Fault("negative energy", put("part_energy", 77, -0.5), "-0.5 must be 0 to 50000 GeV", MEND,
          "part_energy", 77),
    Fault("jet without momentum", put("jet_pt", 1001, 0.0), "must be above 0", MEND,
          "jet_pt", 1001),
    Fault("negative multiplicity", put("jet_nparticles", 5, -3.0), "-3.0 must be above 0", MEND,
          "jet_nparticles", 5),
    Fault("no particles at all", put("jet_nparticles", 5, 0.0), "must be above 0", MEND,
          "jet_nparticles", 5),
    Fault("another multiplicity", put("jet_nparticles", 1100, 99.0), "says 99 particles", MEND,
          "jet_nparticles", 1100),
    Fault("branches of different lengths", shorten("part_dphi", 1050), "in 'part_px'", AGAIN,
          "part_dphi", 1050),
    Fault("a bit flipped in compressed data", flipped("part_isMuon", 0), "basket 0 is damaged",
          AGAIN, "part_isMuon"),
    Fault("a bit flipped in stored data", flipped("part_px", 1), "checksum of basket 1", AGAIN,
          "part_px"),
    Fault("Parquet: a web page instead", content(PAGE), "no Parquet file", "failed download",
          suffix=".parquet"),
    Fault("Parquet: zero bytes", content(b""), "empty (0 bytes)", AGAIN, suffix=".parquet"),
    Fault("Parquet: truncated", truncated(0.5), "truncated", AGAIN, suffix=".parquet"),
    Fault("Parquet: the last byte is missing", truncated(-1), "truncated", AGAIN,
          suffix=".parquet"),
    Fault("Parquet: a column is missing", drop("jet_tau3"), "missing", "nearest is 'jet_tau",
          "jet_tau3", suffix=".parquet"),
    Fault("Parquet: strings", replace("jet_label", lambda _: ["QCD"] * JETS), "its type is string",
          "store float", "jet_label", suffix=".parquet"),
    Fault("Parquet: a number where a list belongs",
          replace("part_px", lambda c: ak.to_numpy(ak.sum(c, 1))), "not a list",
          "a list per entry", "part_px", suffix=".parquet"),
    Fault("Parquet: a missing value", foreign(parquet_null), "null", "leave the file out",
          "jet_eta", 1005, suffix=".parquet"),
    Fault("Parquet: NaN in a particle", put("part_d0val", 1003, np.nan), "nan", MEND,
          "part_d0val", 1003, suffix=".parquet"),
    Fault("Parquet: branches of different lengths", shorten("part_dphi", 1050), "in 'part_px'",
          AGAIN, "part_dphi", 1050, suffix=".parquet"),
    Fault("Parquet: a bit flipped", parquet_flip, "damaged", AGAIN, suffix=".parquet"),
]  # fmt: skip
