"""Small files of toy jets, laid out as a simulation lays them out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from anomaly_hep.data.plan import Slice
from anomaly_hep.data.samples import SampleFile
from anomaly_hep.formats import darkshowers, jetclass, lhco, rodem
from anomaly_hep.formats.files import format_of
from anomaly_hep.simulate.jetclass import PREFIXES
from anomaly_hep.types import Events, FileDescription
from tests.toys import CLASSES, toy_boosted, toy_collisions, toy_jets


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
        path = directory / split / f"{PREFIXES[label]}_{number:03d}.root"
        events = toy_jets(jets, label=label, seed=seed, mean_particles=mean_particles)
        jetclass.write(path, [events])
    return directory


def write_toy_images(
    directory: Path,
    *,
    train: int = 40,
    test: int = 8,
    signal: int = 0,
    val: int = 0,
    provenance: dict[str, Any] | None = None,
) -> Path:
    """Write QCD images to train and one file of each class to test, as published; return it.

    `signal` images of each other class in train, `val` images of QCD in val.
    """
    prefixes = {"QCD": ("qcd_gensim", 0, 0.0)}
    for mass in (125, 200, 300, 400, 700, 1000):
        name = f"suep_gensim_h{mass}_phi2_dp0p7_dt2"
        prefixes[f"SUEP{mass}"] = (name, 1, float(mass))
    for mass in (2100, 3100, 4100):
        prefixes[f"SVJ{mass}"] = (f"svj_{mass}", 2, float(mass))
    jobs = [("train", "QCD", train // 2, 0), ("train", "QCD", train - train // 2, 1)]
    jobs += [("test", label, test, 0) for label in prefixes]
    jobs += [("train", label, signal, 0) for label in prefixes if signal and label != "QCD"]
    jobs += [("val", "QCD", val, 0)] if val else []
    for seed, (split, label, number, part) in enumerate(jobs):
        prefix, code, mass = prefixes[label]
        rng = np.random.default_rng(seed)
        # a class has more hits than the one before it, so that there is something to find
        hit = rng.random((number, 72, 58, 3)) < 0.02 + 0.004 * list(prefixes).index(label)
        events = darkshowers.as_events((hit * rng.exponential(3.0, hit.shape)).astype(np.float32))
        own = {
            "label": np.full(number, code),
            "mass": np.full(number, mass, np.float32),
            "n_tracks": events.events["hits"].astype(np.float32),
        }
        path = directory / split / f"{prefix}_{part}_7.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        images = Events(events.lengths, events.particles, events.events | own)
        darkshowers.write(path, [images], provenance)
    return directory


def whole(path: Path) -> SampleFile:
    """All events of a file of which no sample is known."""
    return SampleFile.whole(format_of(path).describe(path))


def unread(name: str, entries: int = 100) -> SampleFile:
    """A file that is never opened."""
    return SampleFile.whole(FileDescription(Path(name), "toy", entries))


def numbered(directory: Path, sizes: list[int]) -> list[Slice]:
    """Write QCD files whose jet_pt is 500 plus the number of the event, counted over all files."""
    made = []
    first = 0
    for i, size in enumerate(sizes):
        path = directory / "train" / f"ZJetsToNuNu_{i:03d}.root"
        events = toy_jets(size, seed=i, mean_particles=6.0)
        np.copyto(events.events["jet_pt"], 500 + first + np.arange(size), casting="same_kind")
        jetclass.write(path, [events])
        made.append(Slice(whole(path), 0, size, first))
        first += size
    return made


def write_toy_collisions(directory: Path, *, background: int = 120, signal: int = 60) -> Path:
    """Write events of the LHC Olympics' layout as simulated: two classes, split by share."""
    for label, number, seed in (("QCD", background, 0), ("two_prong", signal, 1)):
        path = directory / "events" / f"{label}_000.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        lhco.write(path, [toy_collisions(number, seed=seed, signal=label != "QCD")])
    return directory


def write_toy_boosted(directory: Path, *, train: int = 200, test: int = 60) -> Path:
    """Write boosted jets as simulated, the bosons to test alone; return the directory."""
    classes = ("QCD", "top", "QCD_boosted", "StealthB80", "StealthB400")
    jobs = [(split, label) for split in ("train", "val") for label in classes[:3]]
    jobs += [("test", label) for label in classes]
    for seed, (split, label) in enumerate(jobs):
        path = directory / split / f"{label}_000.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        number = train if split == "train" else test
        mean = 15.0 if label.startswith("QCD") else 20.0
        rodem.write(path, [toy_boosted(number, seed=seed, mean_particles=mean)])
    return directory
