from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.errors import ConfigError, SimulationError
from anomaly_hep.formats import jetclass
from anomaly_hep.simulate import jetclass as jetclass_simulator
from anomaly_hep.simulate import pool
from anomaly_hep.simulate.generator import MAX_SEED
from anomaly_hep.simulate.jetclass import PREFIXES
from anomaly_hep.simulate.plan import FILE, max_base_seed, shards
from anomaly_hep.simulate.production import ProductionReport, produce

NAME = "anomaly_hep.simulate.jetclass"
MAX_BASE_SEED = max_base_seed(jetclass_simulator)
SIZES = {"simulator": NAME, "seed": 1, "jets_per_file": 10}


def content(path: Path) -> dict[str, bytes]:
    entries = jetclass.describe(path).entries
    events = jetclass.read(path, 0, entries, list(jetclass.LAYOUT.names))
    columns = {**events.particles, **events.events, "lengths": events.lengths}
    return {name: values.tobytes() for name, values in columns.items()}


def names(directory: Path) -> list[str]:
    files = (p for p in directory.rglob("*") if p.is_file() and p.name != FILE)
    return sorted(str(p.relative_to(directory)) for p in files)


# ---- plans


def test_files_are_named_like_the_published_ones(tmp_path: Path) -> None:
    found = shards({**SIZES, "sizes": {"train": {"QCD": 25}, "test": {"Tbl": 10}}}, tmp_path)
    assert [(str(s.path.relative_to(tmp_path)), s.entries) for s in found] == [
        ("train/ZJetsToNuNu_000.root", 10),
        ("train/ZJetsToNuNu_001.root", 10),
        ("train/ZJetsToNuNu_002.root", 5),
        ("test/TTBarLep_000.root", 10),
    ]


def test_no_two_files_share_a_seed(tmp_path: Path) -> None:
    sizes = {split: dict.fromkeys(jetclass.LABELS, 300) for split in ("train", "val", "test")}
    seeds = [
        shard.seed
        for base in (0, 1, 2, MAX_BASE_SEED)
        for shard in shards({**SIZES, "seed": base, "sizes": sizes}, tmp_path)
    ]
    assert len(set(seeds)) == len(seeds) == 4 * 3 * 10 * 30
    assert min(seeds) > 0
    assert max(seeds) <= MAX_SEED


@given(st.integers(1, 7), st.integers(0, 300), st.integers(0, 95))
def test_parts_are_a_partition(parts: int, signal_jets: int, background_jets: int) -> None:
    config = {**SIZES, "sizes": {"train": {"QCD": background_jets}, "test": {"Hbb": signal_jets}}}
    directory = Path("somewhere")
    whole = shards(config, directory)
    shares = [shards(config, directory, part=i, parts=parts) for i in range(parts)]
    assert sorted((s for share in shares for s in share), key=str) == sorted(whole, key=str)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_seeds_of_the_same_file_do_not_depend_on_sizes(tmp_path: Path) -> None:
    few = shards({**SIZES, "sizes": {"train": {"QCD": 10}}}, tmp_path)
    more = shards({**SIZES, "sizes": {"val": {"Hbb": 90}, "train": {"QCD": 50}}}, tmp_path)
    assert few[0] in more


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": {"tests": {"QCD": 1}}}, "No split 'tests'.*train, val, test"),
        ({"sizes": {"events": {"QCD": 1}, "train": {"QCD": 1}}}, "events and train.*same seeds"),
        ({"sizes": {"test": {"Higgs": 1}}}, "No class 'Higgs'.*Tbl"),
        ({"per_class": {"Higgs": ["a"]}}, "No class 'Higgs'.*Tbl"),
        ({"sizes": {"test": {"QCD": -1}}}, "-1 jets"),
        ({"sizes": {"test": {"QCD": 10_001}}}, "at most 1000 files|no more than 1000 files"),
        ({"seed": MAX_BASE_SEED + 1}, "seed=30000"),
        ({"jets_per_file": 0}, "jets_per_file=0"),
        ({"jets_per_file": 20_001}, "jets_per_file=20001"),
    ],
)
def test_impossible_plans_are_refused(change: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        shards({**SIZES, "sizes": {"test": {"QCD": 1}}, **change}, tmp_path)


def test_a_part_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no part 2 of 2"):
        shards({**SIZES, "sizes": {}}, tmp_path, part=2, parts=2)


# ---- productions


def test_files_say_what_made_them(sample: tuple[Path, ProductionReport]) -> None:
    directory, report = sample
    description = jetclass.describe(directory / "test" / "HToBB_000.root")
    made_by = description.provenance
    assert description.entries == 150
    assert made_by is not None
    assert made_by["origin"] == "simulated"
    assert "not the published JetClass" in made_by["note"]
    assert made_by["generator"] == "Pythia 8"
    assert {"pythia8mc", "fastjet", "anomaly_hep"} <= set(made_by["versions"])
    assert "PhaseSpace:pTHatMin = 450." in made_by["task"]["settings"]
    assert made_by["task"]["process"][0] == "HiggsSM:ffbar2HZ = on"
    assert made_by["task"]["seed"] == 1 + 30_000 + 21_000
    counts = made_by["counts"]
    assert counts["events_generated"] > counts["jets_in_acceptance"] > counts["jets_matched"] >= 150
    # times differ from run to run, so they are in the report and not in the file
    assert "seconds" not in json.dumps(made_by)
    assert report.classes["Hbb"].counts == counts


def test_workers_are_small_and_busy_with_pythia(sample: tuple[Path, ProductionReport]) -> None:
    _, report = sample
    assert report.peak_memory_mb < 300
    cpu = sum(totals.cpu_seconds for totals in report.classes.values())
    assert sum(totals.pythia_seconds for totals in report.classes.values()) > 0.75 * cpu
    assert report.entries == 6 * 150 + 4 * 20
    text = report.summary()
    assert "980 simulated jets" in text
    assert all(label in text for label in jetclass.LABELS)


def test_the_same_seed_gives_the_same_content(quick: dict[str, Any], tmp_path: Path) -> None:
    for name, workers in (("one", 1), ("two", 2)):
        report = produce(quick, tmp_path / name, workers=workers)
        assert len(report.made) == 4
    assert names(tmp_path / "one") == names(tmp_path / "two")
    for name in names(tmp_path / "one"):
        assert content(tmp_path / "one" / name) == content(tmp_path / "two" / name)
    first, second = (tmp_path / "one" / "test" / f"ZJetsToNuNu_00{i}.root" for i in (0, 1))
    assert content(first)["jet_pt"] != content(second)["jet_pt"]


def test_complete_files_are_kept_and_strange_ones_refused(
    quick: dict[str, Any], tmp_path: Path
) -> None:
    quick["sizes"] = {"test": {"Wqq": 4}}
    produce(quick, tmp_path, workers=2)
    assert names(tmp_path) == ["test/WToQQ_000.root"]
    before = (tmp_path / "test" / "WToQQ_000.root").stat().st_mtime_ns
    again = produce(quick, tmp_path)
    assert len(again.complete) == 1
    assert again.made == []
    assert again.summary() == "1 files were complete, 0 made now."
    assert (tmp_path / "test" / "WToQQ_000.root").stat().st_mtime_ns == before
    changed = {**quick, "selection": {**quick["selection"], "min_pt": 510.0}, "seed": 2}
    with pytest.raises(SimulationError, match=r"WToQQ_000.*seed, selection.*another directory"):
        produce(changed, tmp_path)


def test_a_setting_that_pythia_refuses_is_named(quick: dict[str, Any], tmp_path: Path) -> None:
    quick["settings"].append("PartonLevel:ISRR = off")
    with pytest.raises(SimulationError, match=r"(?s)ZJetsToNuNu_000.*'PartonLevel:ISRR = off'"):
        produce(quick, tmp_path, workers=1)
    assert names(tmp_path) == []


# ---- kills

PRODUCE = """
import json, signal, sys
from pathlib import Path
from anomaly_hep.simulate.production import produce
# a shell that runs the tests in the background has told its children to ignore Ctrl-C
signal.signal(signal.SIGINT, signal.default_int_handler)
produce(json.loads(sys.argv[1]), Path(sys.argv[2]), workers=2)
"""


def start(config: dict[str, Any], directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PRODUCE, json.dumps(config), str(directory)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
    )


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(child) for child in path.read_text().split()]


def alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Any, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def endless(quick: dict[str, Any]) -> dict[str, Any]:
    """A production whose first file is quick and whose others last."""
    quick |= {"jets_per_file": 20_000, "batch": 20}
    quick["sizes"] = {"val": {"Wqq": 2}, "test": {"QCD": 40_000}}
    return quick


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, -2)]
)
def test_a_stopped_production_leaves_nothing_half_done(
    number: int, status: int, endless: dict[str, Any], tmp_path: Path
) -> None:
    process = start(endless, tmp_path)
    # the first file is there, so its worker is at the next one
    wait_until((tmp_path / "val" / "WToQQ_000.root").exists)
    workers = workers_of(process)
    assert len(workers) == 2
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == status
    wait_until(lambda: not any(alive(worker) for worker in workers))
    assert names(tmp_path) == ["val/WToQQ_000.root"]


def test_a_killed_worker_is_an_error_that_names_its_file(
    endless: dict[str, Any], tmp_path: Path
) -> None:
    process = start(endless, tmp_path)
    wait_until((tmp_path / "val" / "WToQQ_000.root").exists)
    os.kill(workers_of(process)[1], signal.SIGKILL)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "SimulationError: The worker of" in said
    assert "ZJetsToNuNu_00" in said
    assert "killed by SIGKILL" in said
    assert "free memory or use fewer workers" in said
    assert names(tmp_path) == ["val/WToQQ_000.root"]


def test_a_killed_production_continues_where_it_stopped(
    quick: dict[str, Any], tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    produce(quick, whole, workers=1)
    process = start(quick, broken)
    wait_until(lambda: broken.exists() and any(broken.rglob("*.root")))
    process.kill()
    process.communicate()
    kept = [path for path in broken.rglob("*_*.root") if not path.name.startswith(".")]
    report = produce(quick, broken, workers=1)
    assert set(report.complete) >= set(kept)
    assert len(report.made) == 4 - len(report.complete)
    assert names(broken) == names(whole)
    for name in names(whole):
        assert content(broken / name) == content(whole / name)


def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_kept(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    path = tmp_path / "HToBB_000.root"
    of_dead, of_living = (tmp_path / f".{path.name}.{pid}.part" for pid in (dead.pid, os.getpid()))
    other = tmp_path / f".HToCC_000.root.{dead.pid}.part"
    for leftover in (of_dead, of_living, other):
        leftover.touch()
    pool.remove_leftovers(path)
    assert [leftover.exists() for leftover in (of_dead, of_living, other)] == [False, True, True]


# ---- jets


@pytest.mark.parametrize("label", jetclass.LABELS)
def test_jets_are_consistent(label: str, sample: tuple[Path, ProductionReport]) -> None:
    path = sample[0] / "test" / f"{PREFIXES[label]}_000.root"
    jets = jetclass.read(path, 0, jetclass.describe(path).entries, list(jetclass.LAYOUT.names))
    column = {**jets.particles, **jets.events}
    assert (column[f"label_{label}"] == 1).all()
    assert sum((column[f"label_{name}"] != 0).sum() for name in jetclass.LABELS) == len(jets)
    np.testing.assert_array_equal(column["jet_nparticles"], jets.lengths)
    assert ((column["jet_pt"] > 500) & (column["jet_pt"] < 1000)).all()
    assert (np.abs(column["jet_eta"]) < 2).all()

    jet = np.repeat(np.arange(len(jets)), jets.lengths)
    px, py, energy = (np.bincount(jet, column[f"part_{n}"]) for n in ("px", "py", "energy"))
    np.testing.assert_allclose(np.hypot(px, py), column["jet_pt"], rtol=1e-5)
    np.testing.assert_allclose(energy, column["jet_energy"], rtol=1e-5)
    pt = np.hypot(column["part_px"], column["part_py"])
    assert (np.diff(pt)[np.diff(jet) == 0] <= 1e-3).all()
    # coordinates relative to the axis, mirrored so that larger deta is away from the centre
    sign = np.where(column["jet_eta"] > 0, 1, -1)[jet]
    eta = np.arcsinh(column["part_pz"] / pt)
    np.testing.assert_allclose(
        sign * (eta - column["jet_eta"][jet]), column["part_deta"], atol=2e-5
    )
    apart = np.hypot(column["part_deta"], column["part_dphi"])
    assert (apart < 0.8).mean() > 0.97
    assert apart.max() < 2 * 0.8 + 0.4

    kinds = [
        column[f"part_is{k}"]
        for k in ("ChargedHadron", "NeutralHadron", "Photon", "Electron", "Muon")
    ]
    assert (np.sum(kinds, axis=0) == 1).all()
    charged = kinds[0] + kinds[3] + kinds[4] == 1
    np.testing.assert_array_equal(column["part_charge"] != 0, charged)
    np.testing.assert_array_equal(column["part_d0err"] > 0, charged)
    for higher, lower in product(range(2, 5), range(1, 5)):
        if higher > lower:
            assert (column[f"jet_tau{higher}"] <= column[f"jet_tau{lower}"] + 1e-6).all()


@pytest.mark.parametrize(
    ("label", "pid", "codes"),
    [
        ("QCD", {0}, {50}), ("Hbb", {25}, {41}), ("Hcc", {25}, {42}), ("Hgg", {25}, {44}),
        ("H4q", {25}, {45}), ("Hqql", {25}, {46}), ("Zqq", {23}, {31, 32, 33}),
        ("Wqq", {24, -24}, {21, 22}), ("Tbqq", {6, -6}, {11, 12}), ("Tbl", {6, -6}, {15, 16}),
    ],
)  # fmt: skip
def test_truth_is_that_of_the_class(
    label: str, pid: set[int], codes: set[int], sample: tuple[Path, ProductionReport]
) -> None:
    path = sample[0] / "test" / f"{PREFIXES[label]}_000.root"
    columns = ["aux_genpart_pid", "aux_truth_match", "aux_genpart_eta", "aux_genpart_phi",
               "jet_eta", "jet_phi"]  # fmt: skip
    column = jetclass.read(path, 0, jetclass.describe(path).entries, columns).events
    assert set(column["aux_genpart_pid"].tolist()) <= pid
    assert set(column["aux_truth_match"].tolist()) <= codes
    if label != "QCD":
        turn = np.mod(column["aux_genpart_phi"] - column["jet_phi"] + np.pi, 2 * np.pi) - np.pi
        apart = np.hypot(column["aux_genpart_eta"] - column["jet_eta"], turn)
        assert np.median(apart) < 0.1
        assert apart.max() < 0.8
