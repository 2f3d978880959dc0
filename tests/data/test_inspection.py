"""Every file is looked at before it is used: its first events obey all rules, and are new."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from anomaly_hep.data.inspection import SeenEvents, inspect
from anomaly_hep.data.module import EventDataModule
from anomaly_hep.errors import AnomalyHepError, BadFileError, ConfigError, TooManyBadFilesError
from anomaly_hep.formats import jetclass, jetclass2
from anomaly_hep.types import Events
from tests.data.files import write_toys
from tests.faults.injections import write_foreign
from tests.formats.test_jetclass2 import toy_jets2
from tests.modules import module_of
from tests.toys import toy_jets

FILES = 3


@pytest.fixture
def toys(tmp_path: Path) -> Path:
    return write_toys(tmp_path, train=60, test=12, files=FILES)


def opened(directory: Path, **choices: Any) -> EventDataModule:
    module = module_of("jetclass", directory, **choices)
    module.setup("fit")
    return module


def spoil(path: Path, entries: list[int], name: str = "part_dphi", value: float = 6.0) -> None:
    """Write jets of which the first particle of some has an impossible value."""

    def change(columns: dict[str, Any]) -> None:
        lists = columns[name]
        values, lengths = ak.to_numpy(ak.flatten(lists)).copy(), ak.to_numpy(ak.num(lists))
        values[np.cumsum([0, *lengths])[entries]] = value
        columns[name] = ak.unflatten(values, lengths)

    write_foreign(path, change)


def test_a_rule_holds_for_columns_that_no_network_reads(tmp_path: Path) -> None:
    def change(columns: dict[str, Any]) -> None:
        columns["part_pz"] = columns["part_pz"] * np.float32(1000)

    write_foreign(tmp_path / "a.root", change)
    with pytest.raises(BadFileError, match="energy of a particle is below its momentum"):
        inspect(jetclass.describe(tmp_path / "a.root"))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_column_that_is_unusable_makes_its_rules_void(tmp_path: Path, value: float) -> None:
    def change(columns: dict[str, Any]) -> None:
        columns["part_pz"] = columns["part_pz"] * np.float32(value)

    write_foreign(tmp_path / "a.root", change)
    assert inspect(jetclass.describe(tmp_path / "a.root"))


def test_a_link_to_nowhere_is_no_missing_file(toys: Path) -> None:
    path = toys / "train" / "ZJetsToNuNu_001.root"
    path.unlink()
    path.symlink_to("/gone")
    with pytest.raises(BadFileError, match="it is a link to /gone, where there is no file"):
        opened(toys)
    module = opened(toys, on_bad_file="skip", max_bad_fraction=0.5)
    refused = module.ledger.to_json()["refused"]
    assert [Path(file["path"]).name for file in refused] == ["ZJetsToNuNu_001.root"]


def copied(path: Path) -> Path:
    other = path.with_name("ZJetsToNuNu_copy.root")
    other.write_bytes(path.read_bytes())
    return other


def linked(path: Path) -> Path:
    other = path.with_name("ZJetsToNuNu_link.root")
    other.symlink_to(path.name)
    return other


def hard_linked(path: Path) -> Path:
    other = path.with_name("ZJetsToNuNu_hard.root")
    os.link(path, other)
    return other


def merged(path: Path) -> Path:
    """The same jets after others, as hadd makes them."""
    other = path.with_name("ZJetsToNuNu_all.root")
    own = jetclass.read(path, 0, 20, list(jetclass.LAYOUT.names))
    jetclass.write(other, [toy_jets(30, seed=99), own])
    return other


def in_another_format(path: Path) -> Path:
    """The same jets as Parquet, under another name."""
    jets = jetclass.read(path, 0, 20, list(jetclass.LAYOUT.names))
    wanted = jetclass2.WRITTEN
    parts = {n: jets.particles[n].astype(c.dtype) for n, c in wanted.particles.items()}
    label = {"jet_label": np.zeros(len(jets), np.int32)}
    events = {n: (jets.events | label)[n].astype(c.dtype) for n, c in wanted.events.items()}
    other = path.with_name("ZJetsToNuNu_other.parquet")
    jetclass2.write(other, [Events(jets.lengths, parts, events)])
    return other


@pytest.mark.parametrize("make", [copied, linked, hard_linked, merged, in_another_format])
def test_the_same_events_under_two_names_are_refused(toys: Path, make: Any) -> None:
    make(toys / "train" / "ZJetsToNuNu_000.root")
    with pytest.raises(ConfigError, match="hold the same events of QCD"):
        opened(toys)


def test_two_formats_of_one_name_are_refused(toys: Path) -> None:
    jetclass2.write(toys / "train" / "ZJetsToNuNu_000.parquet", [toy_jets2(20, seed=50)])
    with pytest.raises(ConfigError, match="differ in their suffix alone"):
        opened(toys)


def test_events_of_a_split_in_another_one_are_refused(toys: Path) -> None:
    first = toys / "train" / "ZJetsToNuNu_000.root"
    (toys / "val" / "ZJetsToNuNu_009.root").write_bytes(first.read_bytes())
    with pytest.raises(ConfigError, match="hold the same events of QCD"):
        opened(toys)


def test_impossible_events_are_left_out_and_counted(toys: Path) -> None:
    path = toys / "train" / "ZJetsToNuNu_001.root"
    spoil(path, [3, 700, 1100])
    with pytest.raises(BadFileError, match=r"entry 3: the value 6\.0 must be"):
        for _ in opened(toys).train_dataloader():
            pass
    module = opened(toys, on_bad_event="skip", max_bad_fraction=0.01)
    (entry,) = module.ledger.to_json()["left_out"]
    assert (Path(entry["path"]).name, entry["events"], entry["of"]) == (path.name, 3, 1200)
    assert [*entry["reasons"].values()] == [3]
    seen = sum(len(batch) for batch in module.train_dataloader())
    assert seen == 20 + 1197 + 20
    with pytest.raises(TooManyBadFilesError, match="3 of 1,240 events are impossible"):
        opened(toys, on_bad_event="skip", max_bad_fraction=0.001)


@pytest.mark.parametrize("name", ["part_energy", "part_deta", "jet_pt"])
def test_no_impossible_event_is_read_whatever_is_skipped(toys: Path, name: str) -> None:
    def change(columns: dict[str, Any]) -> None:
        columns[name] = columns[name] * np.float32(-1)

    write_foreign(toys / "train" / "ZJetsToNuNu_001.root", change)
    for choices in ({}, {"on_bad_event": "skip"}, {"on_bad_file": "skip"}):
        if name == "part_deta":
            continue  # the mirror image of an angle is an angle
        with pytest.raises(AnomalyHepError):
            for _ in opened(toys, **choices).train_dataloader():
                pass


@pytest.mark.parametrize("jets", [60, 700])
def test_a_file_that_was_added_to_itself_is_refused(tmp_path: Path, jets: int) -> None:
    path = tmp_path / "a.root"
    events = toy_jets(jets, mean_particles=4)
    jetclass.write(path, [events, events])
    with pytest.raises(BadFileError, match=r"occur twice\. Cure: write each event once"):
        inspect(jetclass.describe(path))


def test_a_column_that_no_file_has_is_named_before_any_step(toys: Path) -> None:
    with pytest.raises(BadFileError, match="branch 'jet_nosuch': the branch is missing"):
        opened(toys, selection={"jet_nosuch": {"min": 1}})


def test_single_events_of_the_same_numbers_are_no_copy() -> None:
    seen, one, other, third = SeenEvents(), Path("a.h5"), Path("b.h5"), Path("c.h5")
    assert seen.add("QCD", one, ["sha", *range(1000)]) is None
    assert seen.add("QCD", other, ["sha2", *range(996, 2000)]) is None
    assert seen.add("QCD", third, ["sha3", *range(995, 1000), *range(3000, 4000)]) == one
    assert seen.add("two_prong", third, ["sha", *range(1000)]) is None
    assert seen.add("QCD", third, ["sha2"]) == other
