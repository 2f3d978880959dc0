"""Whole events: the dark shower in Pythia's record, the preselection, files and their seeds."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from anomaly_hep.errors import ConfigError, SimulationError
from anomaly_hep.formats import darkshowers_raw as raw
from anomaly_hep.formats.pixels import LAYOUT
from anomaly_hep.simulate import darkshowers
from anomaly_hep.simulate.darkshowers_events import Selection, simulation, with_dark_shower
from anomaly_hep.simulate.detector import INVISIBLE, Candidates
from anomaly_hep.simulate.generator import Generator
from anomaly_hep.simulate.plan import shards, task
from anomaly_hep.simulate.production import ProductionReport, produce
from anomaly_hep.simulate.thermal import Dark

CONFIG = Path(__file__).parents[2] / "conf" / "simulation" / "darkshowers.yaml"
DARK = Dark(2.0, 2.0, 0.7, {11: 0.15, 13: 0.15, 211: 0.70})


@pytest.fixture(scope="module")
def quick() -> dict[str, Any]:
    """Few events, without multiparton interactions: what takes the time."""
    config: Any = OmegaConf.to_container(OmegaConf.load(CONFIG))
    config["settings"].append("PartonLevel:MPI = off")
    config["qcd"]["min_pt_hat"] = 300.0
    config["pile_up"] = {"mean": 2.0, "pool": 4,
                         "settings": ["HardQCD:all = on", "PhaseSpace:pTHatMin = 30."]}  # fmt: skip
    sizes = {"QCD": 12, "SUEP1000": 6, "SVJ2100": 6}
    return {**config, "events_per_file": 6, "batch": 8, "sizes": {"test": sizes}}


@pytest.fixture(scope="module")
def made(quick: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory = tmp_path_factory.mktemp("darkshowers")
    return directory, produce(quick, directory, workers=1)


def columns(path: Path) -> dict[str, np.ndarray]:
    events = raw.read(path, 0, raw.describe(path).entries, LAYOUT.names)
    return {"lengths": events.lengths, **events.particles, **events.events}


# ---- events


def test_the_record_gains_what_the_scalar_becomes() -> None:
    particles = Generator(
        ["Beams:eCM = 13000.", "HiggsSM:gg2H = on", "25:m0 = 125.", "25:mayDecay = off",
         "PartonLevel:MPI = off"], 3,
    ).batch(4)  # fmt: skip
    after = with_dark_shower(particles, DARK, np.random.default_rng(1))
    for record in (particles, after):
        total = [np.bincount(record.event[record.final], p[record.final], 4)
                 for p in record.momentum]  # fmt: skip
        np.testing.assert_allclose(total[:3], 0, atol=0.05)
        np.testing.assert_allclose(total[3], 13000, atol=0.05)
        charge = np.bincount(record.event[record.final], record.charge[record.final], 4)
        np.testing.assert_allclose(charge, 2)
    assert 25 in particles.pid[particles.final]
    assert 25 not in after.pid[after.final]
    assert (np.diff(after.event) >= 0).all()
    # what was there stays where it was, so that daughters keep their numbers
    first, then = (np.cumsum(r.lengths) - r.lengths for r in (particles, after))
    for i in range(4):
        old = particles.pid[first[i] : first[i] + particles.lengths[i]]
        np.testing.assert_array_equal(after.pid[then[i] : then[i] + particles.lengths[i]], old)


def test_ht_is_the_sum_of_central_jets() -> None:
    """Four narrow objects, one too soft, one too far forward."""
    pt, eta, phi = np.array([300.0, 250, 15, 400]), np.array([0, 1.0, 0, 3.0]), np.arange(4.0)
    momentum = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)])
    event = np.array([1, 1, 1, 1])
    seen = Candidates(event, momentum, np.zeros(4), np.zeros(4, np.int64), np.zeros((4, 4)))
    ht = Selection(min_ht=500.0, radius=0.5, min_pt=20.0, max_abs_eta=2.5).ht(seen, 3)
    np.testing.assert_allclose(ht, [0, 550, 0])


def test_events_below_the_cut_are_left_out_and_counted(quick: dict[str, Any]) -> None:
    config = {**quick, "selection": {**quick["selection"], "min_ht": 800.0}, "veto": None}
    job = {"seed": 4, "settings": quick["settings"], **darkshowers.task(config, "QCD")}
    made = simulation(job)
    events = list(made.parts(2, 20))
    assert sum(map(len, events)) == 2
    assert made.counts.events_generated > made.counts.events_selected >= 2
    assert made.counts.events_vetoed == 0


def test_invisible_mesons_leave_nothing_in_the_detector(quick: dict[str, Any]) -> None:
    energy = {}
    for fraction in (0.0, 1.0):
        config = deepcopy(quick)
        config["svj"]["invisible_fraction"] = fraction
        job = {"seed": 4, "settings": [*quick["settings"], "PartonLevel:ISR = off"],
               **darkshowers.task(config, "SVJ2100")}  # fmt: skip
        made = simulation(job)
        particles = made.generator.batch(10)
        seen = made.detector.read_out(particles, np.random.default_rng(1))
        energy[fraction] = seen.hits.energy.sum()
        assert not np.isin(np.abs(seen.hits.pid), INVISIBLE).any()
        # dark quarks and mesons have all decayed
        assert not (np.abs(particles.pid[particles.final]) > 4_900_000).any()
    assert energy[1.0] < 0.5 * energy[0.0]


# ---- files


def test_files_are_named_like_the_published_ones(quick: dict[str, Any], tmp_path: Path) -> None:
    names = [str(s.path.relative_to(tmp_path)) for s in shards(quick, tmp_path)]
    assert names == [
        "test/qcd_gensim_000.h5",
        "test/qcd_gensim_001.h5",
        "test/suep_gensim_h1000_phi2_dp0p7_dt2_000.h5",
        "test/svj_2100_000.h5",
    ]
    with pytest.raises(ConfigError, match=r"No class 'SUEP126'.*SVJ4100"):
        shards({**quick, "sizes": {"test": {"SUEP126": 1}}}, tmp_path)
    with pytest.raises(ConfigError, match=r"events_per_file=5001. Cure: choose 1 to 5000"):
        shards({**quick, "events_per_file": 5001}, tmp_path)


def test_files_hold_what_they_say(made: tuple[Path, ProductionReport]) -> None:
    directory, report = made
    assert report.entries == 24
    assert "24 simulated events" in report.summary()
    for name, label, mass, entries in (
        ("qcd_gensim_001", 0, 0, 6), ("suep_gensim_h1000_phi2_dp0p7_dt2_000", 1, 1000, 6),
        ("svj_2100_000", 2, 2100, 6),
    ):  # fmt: skip
        path = directory / "test" / f"{name}.h5"
        assert raw.describe(path).entries == entries
        column = columns(path)
        assert set(column["label"].tolist()) == {label}
        assert set(column["mass"].tolist()) == {mass}
        # pixels that tracks share are fewer than tracks
        assert (column["hits"] <= column["n_tracks"]).all()
        assert (column["hits"] > 10).all()
        for channel in ("tracker", "ecal", "hcal"):
            assert (column[f"energy_{channel}"] > 0).all()


def test_files_say_what_made_them(made: tuple[Path, ProductionReport]) -> None:
    said = raw.describe(made[0] / "test" / "suep_gensim_h1000_phi2_dp0p7_dt2_000.h5").provenance
    assert said is not None
    assert said["origin"] == "simulated"
    assert "not the published" in said["note"]
    assert said["task"]["dark"]["temperature"] == 2.0
    assert said["task"]["pile_up"]["mean"] == 2.0
    assert said["counts"]["events_selected"] >= 6
    svj = raw.describe(made[0] / "test" / "svj_2100_000.h5").provenance
    assert svj is not None
    assert svj["task"]["dark"] is None
    assert svj["task"]["veto"] is None


def test_the_same_seed_gives_the_same_bytes(
    quick: dict[str, Any], made: tuple[Path, ProductionReport], tmp_path: Path
) -> None:
    produce({**quick, "sizes": {"test": {"QCD": 12}}}, tmp_path, workers=2)
    for path in sorted(tmp_path.rglob("*.h5")):
        assert path.read_bytes() == (made[0] / "test" / path.name).read_bytes()
    first, second = (columns(tmp_path / "test" / f"qcd_gensim_00{i}.h5") for i in (0, 1))
    assert first["hit_energy"].tobytes() != second["hit_energy"].tobytes()


def test_only_what_concerns_a_class_decides_its_files(
    quick: dict[str, Any], made: tuple[Path, ProductionReport]
) -> None:
    changed = deepcopy(quick)
    changed["svj"]["invisible_fraction"] = 0.6
    changed["suep"]["temperature"] = 3.0
    for shard in shards(quick, made[0]):
        before, after = task(quick, shard), task(changed, shard)
        different = [name for name in before if before[name] != after[name]]
        expected = {"QCD": [], "SVJ2100": ["process"], "SUEP1000": ["dark"]}
        assert different == expected[shard.label]
    with pytest.raises(SimulationError, match="other values of dark"):
        produce(changed, made[0])


def test_a_task_is_json_of_the_configuration(quick: dict[str, Any], tmp_path: Path) -> None:
    shard = shards(quick, tmp_path)[0]
    job = task(quick, shard)
    assert (job["label"], job["events"], job["seed"]) == ("QCD", 6, shard.seed)
    off = task({**quick, "pile_up": {**quick["pile_up"], "mean": 0}}, shard)
    assert off["pile_up"] is None
