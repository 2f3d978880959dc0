"""Single bits flipped at random in a data file, and what reading makes of it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import jetclass, jetclass2
from anomaly_hep.formats.files import format_of
from anomaly_hep.types import Events, FileDescription
from tests.faults.injections import PARQUET_COLUMNS, ROOT_COLUMNS
from tests.formats.test_jetclass2 import toy_jets2
from tests.toys import toy_jets

BY_ROOT = Path(__file__).parents[1] / "formats" / "by_root.root"


class Counts(NamedTuple):
    """How many flips were refused, hit unused bytes, or gave other values unnoticed."""

    refused: int
    same: int
    other: int


def own_root(directory: Path) -> Path:
    path = directory / "own.root"
    jetclass.write(path, [toy_jets(60, mean_particles=6)], {"generator": "toy", "seed": 3})
    return path


def own_parquet(directory: Path) -> Path:
    path = directory / "own.parquet"
    jetclass2.write(path, [toy_jets2(60, mean_particles=6)])
    return path


def root_vectors(directory: Path) -> Path:
    return Path(shutil.copy(BY_ROOT, directory / "by_root.root"))


SOURCES: dict[str, Callable[[Path], Path]] = {
    "our ROOT (LZ4, own checksums)": own_root,
    "our Parquet (page checksums)": own_parquet,
    "ROOT's own (zlib, std::vector)": root_vectors,
}


def count_flips(path: Path, flips: int, seed: int) -> Counts:
    """Flip one bit at a time, read everything, put the bit back."""
    random_ = random.Random(seed)
    module = format_of(path)
    columns = ROOT_COLUMNS if module is jetclass else PARQUET_COLUMNS

    def read_all() -> tuple[FileDescription, Events]:
        description = module.describe(path)
        return description, module.read(path, 0, description.entries, columns)

    truth, data = read_all(), bytearray(path.read_bytes())
    counts = {"refused": 0, "same": 0, "other": 0}
    for _ in range(flips):
        place, bit = random_.randrange(len(data)), 1 << random_.randrange(8)
        data[place] ^= bit
        path.unlink()  # so that no open handle still reads the file as it was
        path.write_bytes(data)
        try:
            counts["same" if _equal(read_all(), truth) else "other"] += 1
        except BadFileError:
            counts["refused"] += 1
        data[place] ^= bit
    return Counts(**counts)


def _equal(left: tuple[FileDescription, Events], right: tuple[FileDescription, Events]) -> bool:
    (said, jets), (said_before, jets_before) = left, right
    if said != said_before or not np.array_equal(jets.lengths, jets_before.lengths):
        return False
    pairs = [(jets.particles, jets_before.particles), (jets.events, jets_before.events)]
    return all(np.array_equal(new[name], old[name]) for new, old in pairs for name in old)
