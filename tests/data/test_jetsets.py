"""Data sets of jets in layouts other than JetClass': which jets train, validate and are tested."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from anomaly_hep.data.module import EventDataModule
from anomaly_hep.formats import rodem
from tests.data.files import write_toy_boosted
from tests.formats import test_jetnet, test_toptagging
from tests.modules import module_of
from tests.toys import toy_boosted


def sizes(module: EventDataModule) -> dict[str, dict[str, int]]:
    """Return the number of jets that train, validate and are tested, by class."""
    module.setup("fit")
    found: dict[str, Counter[str]] = {"train": Counter(), "val": Counter(), "test": Counter()}
    for split in ("train", "val"):
        for part in module.parts(split):
            found[split][part.file.sample.label] += len(part)
    for label in module.classes:
        found["test"][label] += sum(map(len, module.files("test", label)))
    return {split: dict(counts) for split, counts in found.items()}


@pytest.mark.parametrize("background", ["QCD", "top", "QCD_boosted"])
def test_simulated_boosted_jets_train_on_one_class(tmp_path: Path, background: str) -> None:
    write_toy_boosted(tmp_path, train=50, test=20)
    module = module_of("stealthjets", tmp_path, background=background)
    assert sizes(module) == {
        "train": {background: 50},
        "val": {background: 20},
        "test": dict.fromkeys(("QCD", "top", "StealthB80", "StealthB400", "QCD_boosted"), 20),
    }
    batch = next(module.events_once())
    assert batch.features.shape == (int(batch.lengths.sum()), 4)
    assert batch.lengths.max() <= 20


def test_published_boosted_jets_validate_on_the_last_tenth(tmp_path: Path) -> None:
    names = ("QCDjj_pT_450_1200_train01", "QCDjj_pT_450_1200_test",
             "ttbar_allhad_pT_450_1200_test")  # fmt: skip
    for seed, name in enumerate(names):
        rodem.write(tmp_path / f"{name}.h5", [toy_boosted(60, seed=seed)])
    assert sizes(module_of("stealthjets", tmp_path)) == {
        "train": {"QCD": 54},
        "val": {"QCD": 6},
        "test": {"QCD": 60, "top": 60},
    }


def test_top_tagging_parts_classes_by_truth(tmp_path: Path) -> None:
    for seed, (name, number) in enumerate((("train", 40), ("val", 20), ("test", 30))):
        # labels of either kind, and other jets in each file
        labels = (np.arange(number) % 4 == seed).astype(int)
        test_toptagging.put(tmp_path / f"{name}.h5", number, labels=labels, seed=seed)
    module = module_of("toptagging", tmp_path)
    assert sizes(module) == {
        "train": {"QCD": 30},
        "val": {"QCD": 15},
        "test": {"QCD": 23, "top": 7},
    }
    batch = next(module.events_once())
    assert batch.features.shape == (int(batch.lengths.sum()), 8)


def test_jetnet_mixes_gluons_and_quarks_in_every_split(tmp_path: Path) -> None:
    (tmp_path / "jetnet30").mkdir()
    for seed, name in enumerate("gqtwz"):
        test_jetnet.put(tmp_path / "jetnet30" / f"{name}.hdf5", 200, seed=seed)
    module = module_of("jetnet", tmp_path)
    found = sizes(module)
    whole = {split: counts["QCD"] for split, counts in found.items()}
    assert sum(whole.values()) == 400
    assert whole["train"] == pytest.approx(280, abs=30)
    assert set(found["test"]) == {"QCD", "top", "W", "Z"}
    for split in ("train", "val"):
        of_file = Counter(part.path.stem for part in module.parts(split) for _ in range(len(part)))
        assert set(of_file) == {"g", "q"}
        assert min(of_file.values()) > 0.25 * sum(of_file.values())
    numbers = [
        (part.path.stem, int(number))
        for split in ("train", "val")
        for part in module.parts(split)
        for number in part.file.numbers(part.start, part.stop)
    ]
    assert len(set(numbers)) == len(numbers)
