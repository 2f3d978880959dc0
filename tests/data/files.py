"""Small files of toy jets, laid out as a simulation lays them out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from anomaly_hep.data.plan import Slice
from anomaly_hep.formats import jetclass
from tests.toys import CLASSES, toy_jets


def write_toys(
    directory: Path,
    *,
    train: int = 300,
    test: int = 60,
    files: int = 3,
    mean_particles: float = 12.0,
) -> Path:
    """Write `files` QCD files to train, one to validate, and one per class to test; return it."""
    jobs = [("train", "QCD", i, train // files) for i in range(files)]
    jobs += [("val", "QCD", 0, test), *(("test", label, 0, test) for label in CLASSES)]
    for seed, (split, label, number, jets) in enumerate(jobs):
        path = directory / split / f"{jetclass.PREFIXES[label]}_{number:03d}.root"
        events = toy_jets(jets, label=label, seed=seed, mean_particles=mean_particles)
        jetclass.write(path, [events])
    return directory


def numbered(directory: Path, sizes: list[int]) -> list[Slice]:
    """Write QCD files whose jet_pt is 500 plus the number of the event, counted over all files."""
    made = []
    first = 0
    for i, size in enumerate(sizes):
        path = directory / "train" / f"ZJetsToNuNu_{i:03d}.root"
        events = toy_jets(size, seed=i, mean_particles=6.0)
        np.copyto(events.events["jet_pt"], 500 + first + np.arange(size), casting="same_kind")
        jetclass.write(path, [events])
        made.append(Slice(path, 0, size, first))
        first += size
    return made
