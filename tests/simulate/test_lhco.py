"""Whole files of LHC-Olympics-like events: labels, masterkeys, features, seeds, being killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from scipy.stats import ks_2samp

from anomaly_hep.errors import ConfigError, SimulationError
from anomaly_hep.formats import lhco as form
from anomaly_hep.formats import lhco_features
from anomaly_hep.simulate import jets, lhco, lhco_events, lhco_files
from anomaly_hep.simulate.lhco_events import shared
from anomaly_hep.simulate.plan import Shard, shards, task
from anomaly_hep.simulate.production import ProductionReport, produce
from anomaly_hep.simulate.vectors import direction, transverse
from anomaly_hep.simulate.worker import make_file
from anomaly_hep.types import Events

CONFIG = Path(__file__).parents[2] / "conf" / "simulation" / "lhco.yaml"
SIZES = {"QCD": 20, "two_prong": 20, "three_prong": 10, "BlackBox1": 20, "BlackBox2": 10,
         "BlackBox3": 40}  # fmt: skip


@pytest.fixture(scope="module")
def shipped() -> dict[str, Any]:
    plain: Any = OmegaConf.to_container(OmegaConf.load(CONFIG), resolve=True)
    return plain


@pytest.fixture(scope="module")
def quick(shipped: dict[str, Any]) -> dict[str, Any]:
    return {**shipped, "per_class": {}, "events_per_file": 40, "sizes": {"events": SIZES}}


@pytest.fixture(scope="module")
def made(
    quick: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ProductionReport]:
    directory = tmp_path_factory.mktemp("lhco")
    return directory, produce(quick, directory, workers=1)


def events_of(path: Path) -> Events:
    description = form.describe(path)
    return form.read(path, 0, description.entries, list(description.columns))


def make(config: dict[str, Any], shard: Shard) -> None:
    """Make a file in this process."""
    make_file(shard.path, lhco, task(config, shard), lambda _: None)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "events").iterdir())


def test_classes_are_those_that_can_be_made(shipped: dict[str, Any]) -> None:
    assert set(shipped["sizes"]["events"]) == set(lhco.PREFIXES)


def test_every_file_has_what_belongs_to_it(made: tuple[Path, ProductionReport]) -> None:
    wanted = [f"{label}_000{suffix}" for label in SIZES for suffix in (".h5", ".features.h5")]
    wanted += [f"{label}_000.masterkey" for label in ("BlackBox1", "BlackBox3")]
    assert names(made[0]) == sorted(wanted)


@pytest.mark.parametrize(
    ("label", "truths"),
    [("QCD", [20]), ("two_prong", [0, 20]), ("three_prong", [0, 10]), ("BlackBox1", [10, 10]),
     ("BlackBox3", [20, 8, 12])],
)  # fmt: skip
def test_truth(label: str, truths: list[int], made: tuple[Path, ProductionReport]) -> None:
    events = events_of(made[0] / "events" / f"{label}_000.h5")
    assert np.bincount(events.events["truth"]).tolist() == truths
    # black boxes are shuffled
    if label.startswith("BlackBox"):
        assert len(set(events.events["truth"][: truths[0]].tolist())) > 1


def test_the_truth_of_black_boxes_is_not_in_their_files(
    made: tuple[Path, ProductionReport], tmp_path: Path
) -> None:
    for label in ("BlackBox1", "BlackBox2", "BlackBox3"):
        alone = tmp_path / f"{label}.h5"
        alone.write_bytes((made[0] / "events" / f"{label}_000.h5").read_bytes())
        assert "truth" not in form.describe(alone).columns


def test_events_obey_the_selection(made: tuple[Path, ProductionReport]) -> None:
    """Jets of what is in the files, where particles have no mass."""
    for label in SIZES:
        events = events_of(made[0] / "events" / f"{label}_000.h5")
        pt, eta, phi = (
            events.particles[f"part_{name}"].astype(float) for name in ("pt", "eta", "phi")
        )
        momentum = np.stack(
            [pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)]
        )
        found = jets.cluster(momentum, events.lengths, radius=1.0, min_pt=1199.0)
        central = np.abs(direction(found.momentum).eta) < 2.5001
        assert (np.bincount(found.event[central], minlength=len(events)) > 0).all()
        # the two leading jets are those of the features beside the file
        hardest = np.zeros(len(events))
        np.maximum.at(hardest, found.event, transverse(found.momentum))
        leading = np.hypot(events.events["pxj1"], events.events["pyj1"])
        np.testing.assert_allclose(leading, hardest, rtol=1e-4)


def test_files_say_what_made_them(made: tuple[Path, ProductionReport]) -> None:
    said = form.describe(made[0] / "events" / "BlackBox3_000.h5").provenance
    assert said is not None
    assert said["origin"] == "simulated"
    assert "not the published data set" in said["note"]
    assert [part["truth"] for part in said["task"]["parts"]] == [0, 1, 2]
    assert said["counts"]["events_selected"] == 40


def test_the_same_seed_gives_the_same_bytes(
    quick: dict[str, Any], made: tuple[Path, ProductionReport], tmp_path: Path
) -> None:
    produce({**quick, "sizes": {"events": {"BlackBox1": 20}}}, tmp_path, workers=1)
    assert len(names(tmp_path)) == 3
    for name in names(tmp_path):
        assert (tmp_path / "events" / name).read_bytes() == (made[0] / "events" / name).read_bytes()


def test_a_file_depends_on_its_own_class_alone(quick: dict[str, Any]) -> None:
    other = {**quick, "black_box_signal": 0.1}
    for label in SIZES:
        changed = lhco.task(other, label) != lhco.task(quick, label)
        assert changed == (label in ("BlackBox1", "BlackBox3"))


@pytest.mark.parametrize(("share", "truths"), [(0.0, {0}), (1.0, {1, 2})])
def test_black_boxes_of_one_kind_alone(
    share: float, truths: set[int], quick: dict[str, Any]
) -> None:
    parts = lhco.task({**quick, "black_box_signal": share}, "BlackBox3")["parts"]
    assert {part["truth"] for part in parts} == truths
    assert sum(part["share"] for part in parts) == pytest.approx(1)


@pytest.mark.parametrize("number", [1, 2, 7, 500])
def test_shares_of_events(number: int) -> None:
    found = shared(number, [0.5, 0.1875, 0.3125])
    assert sum(found) == number
    assert np.abs(np.array(found) - number * np.array([0.5, 0.1875, 0.3125])).max() <= 1
    assert shared(number, [3.0]) == [number]


def test_black_box_2_has_another_shower(shipped: dict[str, Any], tmp_path: Path) -> None:
    config = {**shipped, "events_per_file": 2, "sizes": {"events": {"BlackBox2": 2, "QCD": 2}}}
    box, multijets = (task(config, shard) for shard in shards(config, tmp_path))
    assert box["parts"] == multijets["parts"]
    assert "PartonShowers:model = 2" in box["settings"]
    assert "PartonShowers:model = 2" not in multijets["settings"]
    (events,) = lhco_events.simulation(box).parts(2, 5)
    assert len(events) == 2


def test_a_file_is_whole_or_not_there(
    quick: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stands beside it is there first, and is no reason to refuse the directory."""
    config = {**quick, "sizes": {"events": {"BlackBox1": 4}}}
    (shard,) = shards(config, tmp_path)

    def full(*_: object) -> int:
        assert shard.path.with_suffix(".masterkey").exists()
        assert shard.path.with_suffix(".features.h5").exists()
        raise OSError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(lhco_files.lhco, "write", full)
        with pytest.raises(OSError, match="full"):
            make(config, shard)
    assert not shard.path.exists()
    make(config, shard)
    # there is no plan, and what stands beside a planned file is no foreign file
    assert produce(config, tmp_path, workers=1).complete == [shard.path]


@pytest.mark.parametrize("suffix", [".masterkey", ".features.h5"])
def test_what_was_lost_beside_a_file_is_noticed(
    suffix: str, quick: dict[str, Any], tmp_path: Path
) -> None:
    config = {**quick, "sizes": {"events": {"BlackBox1": 4}}}
    (shard,) = shards(config, tmp_path)
    make(config, shard)
    shard.path.with_suffix(suffix).unlink()
    with pytest.raises(SimulationError, match=r"has lost BlackBox1_000.*Cure: remove"):
        produce(config, tmp_path, workers=1)
    shard.path.unlink()  # the cure
    make(config, shard)
    assert lhco_files.describe(shard.path).entries == 4


def test_the_features_are_a_file_of_their_own(made: tuple[Path, ProductionReport]) -> None:
    path = made[0] / "events" / "QCD_000.features.h5"
    description = lhco_features.describe(path)
    assert description.entries == 20
    assert {"mj1", "mj2", "tau1j1", "pzj2"} <= set(description.columns)


def test_the_figure_and_its_table(made: tuple[Path, ProductionReport], tmp_path: Path) -> None:
    lines = lhco.report(made[0], tmp_path / "physics.png", None)
    assert lines[0] == f"figure: {tmp_path / 'physics.png'}"
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "medians", "QCD", "two_prong", "three_prong", "BlackBox1", "BlackBox2", "BlackBox3_dijet",
        "BlackBox3_trijet",
    ]  # fmt: skip
    assert (tmp_path / "physics.png").stat().st_size > 10_000


def test_published_events_stand_beside_simulated_ones(
    made: tuple[Path, ProductionReport], shared_data: Path, tmp_path: Path
) -> None:
    lhco.check_published(shared_data / "lhco")
    lines = lhco.report(made[0], tmp_path / "physics.png", shared_data / "lhco")
    assert [line.split("  ")[0] for line in lines[-2:]] == ["published QCD", "published two_prong"]
    with pytest.raises(ConfigError, match=r"compare=.* has no file events_anomalydetection\*"):
        lhco.check_published(tmp_path)


def test_multijets_resemble_the_published_ones(
    shipped: dict[str, Any], shared_data: Path, tmp_path: Path
) -> None:
    """Numbers of particles and pT of 150 simulated and 907 published events."""
    config = {**shipped, "sizes": {"events": {"QCD": 150}}}
    (shard,) = shards(config, tmp_path)
    (ours,) = lhco_events.simulation(task(config, shard)).parts(150, 100)
    theirs = events_of(shared_data / "lhco" / "events_anomalydetection_tiny.h5")
    theirs = theirs.take(np.flatnonzero(theirs.events["truth"] == 0))
    assert ks_2samp(ours.lengths, theirs.lengths).pvalue > 1e-3
    for least in (0.3, 1.0, 10.0, 100.0):
        found = [np.mean(events.particles["part_pt"] > least) for events in (ours, theirs)]
        assert found[0] == pytest.approx(found[1], rel=0.15)
    forward = [np.mean(np.abs(events.particles["part_eta"]) > 2.5) for events in (ours, theirs)]
    assert forward[0] == pytest.approx(forward[1], rel=0.2)
