"""Whole files of Dark-Machines-like events: names, weights, seeds, what they say of themselves."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from anomaly_hep.errors import ConfigError
from anomaly_hep.formats import darkmachines as form
from anomaly_hep.simulate import darkmachines
from anomaly_hep.simulate.darkmachines_events import simulation
from anomaly_hep.simulate.darkmachines_figure import read_classes
from anomaly_hep.simulate.darkmachines_processes import PARTS, SIGNALS
from anomaly_hep.simulate.plan import shards, task
from anomaly_hep.simulate.production import ProductionReport, produce
from anomaly_hep.types import Events

CONFIG = Path(__file__).parents[2] / "conf" / "simulation" / "darkmachines.yaml"


def config_of(channel: str) -> dict[str, Any]:
    config = OmegaConf.load(CONFIG)
    config.channel = channel
    plain: Any = OmegaConf.to_container(config, resolve=True)
    return plain


@pytest.fixture(scope="module")
def quick() -> dict[str, Any]:
    config = config_of("2b")
    config |= {"events_per_file": 20, "sizes": {"events": {"SM": 20, "stlp_st1000": 10}}}
    config["mix"]["2b"] = {"ttbar": 0.75, "zz": 0.25}
    return config


@pytest.fixture(scope="module")
def made(
    quick: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ProductionReport]:
    directory = tmp_path_factory.mktemp("darkmachines")
    return directory, produce(quick, directory, workers=1)


def events_of(path: Path) -> Events:
    return form.read(path, 0, form.describe(path).entries, list(form.LAYOUT.names))


@pytest.mark.parametrize("channel", ["1", "2a", "2b", "3"])
def test_sizes_and_processes_are_those_of_the_channel(channel: str) -> None:
    config = config_of(channel)
    assert set(config["sizes"]["events"]) == {"SM", *SIGNALS[channel]}
    assert set(config["mix"][channel]) == set(PARTS[channel])
    assert sum(config["mix"][channel].values()) == pytest.approx(1)


def test_files_are_named_like_the_published_ones(quick: dict[str, Any], tmp_path: Path) -> None:
    names = [str(s.path.relative_to(tmp_path)) for s in shards(quick, tmp_path)]
    assert names == ["events/background_chan2b_000.csv.gz", "events/stlp_st1000_chan2b_000.csv.gz"]


def test_a_signal_of_another_channel_is_refused(quick: dict[str, Any], tmp_path: Path) -> None:
    wrong = {**quick, "sizes": {"events": {"glgl1400_neutralino1100": 1}}}
    with pytest.raises(ConfigError, match="Channel 2b has no class 'glgl1400"):
        shards(wrong, tmp_path)


def test_an_unknown_part_of_the_background_is_refused(quick: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"mix\.2b\.qcd does not exist.*ttbar"):
        darkmachines.task({**quick, "mix": {"2b": {"qcd": 1.0}}}, "SM")


def test_events_obey_the_selection(made: tuple[Path, ProductionReport]) -> None:
    for path in sorted((made[0] / "events").glob("*.gz")):
        events = events_of(path)
        columns, code = {**events.particles, **events.events}, events.particles["obj_type"]
        event = np.repeat(np.arange(len(events)), events.lengths)
        leptons = np.bincount(event, (code >= 3) & (code <= 6), len(events))
        assert (leptons >= 2).all()
        assert (columns["met"] > 49.9).all()
        assert (columns["ht"] > 49.9).all()
        # jets first, by falling pT; then electrons, muons and photons
        kind = np.maximum((code + 1) // 2, 1)
        same = np.diff(event) == 0
        assert (np.diff(kind)[same] >= 0).all()
        assert (np.diff(columns["obj_pt"])[same & (np.diff(kind) == 0)] <= 0).all()
        bound = np.where(code <= 2, 2.8, np.where(code == 7, 2.37, 2.7))
        assert (np.abs(columns["obj_eta"]) < bound + 1e-4).all()


def test_shares_weights_and_numbers(made: tuple[Path, ProductionReport]) -> None:
    events = events_of(made[0] / "events" / "background_chan2b_000.csv.gz").events
    names, counts = np.unique(events["process"], return_counts=True)
    assert dict(zip(names, counts, strict=True)) == {"ttbar": 15, "zz": 5}
    assert (events["event"] == np.arange(1, 21)).all()
    # the file is shuffled
    assert len(set(events["process"][:15].tolist())) == 2
    for name in names:
        assert len(np.unique(events["weight"][events["process"] == name])) == 1
    # 43 pb of ttbar to two leptons, of which some 15 to 20 % are selected, in 10 fb-1
    total = events["weight"][events["process"] == "ttbar"].sum()
    assert 3e4 < total < 1.8e5
    assert total > 50 * events["weight"][events["process"] == "zz"].sum()


def test_files_say_what_made_them(made: tuple[Path, ProductionReport]) -> None:
    said = form.describe(made[0] / "events" / "stlp_st1000_chan2b_000.csv.gz").provenance
    assert said is not None
    assert said["origin"] == "simulated"
    assert "not the published data set" in said["note"]
    assert said["task"]["channel"] == "2b"
    assert "DECAY 1000006" in said["task"]["parts"][0]["slha"]
    assert said["counts"]["events_selected"] == 10


def test_the_same_seed_gives_the_same_bytes(
    quick: dict[str, Any], made: tuple[Path, ProductionReport], tmp_path: Path
) -> None:
    produce({**quick, "sizes": {"events": {"stlp_st1000": 10}}}, tmp_path, workers=1)
    name = "events/stlp_st1000_chan2b_000.csv.gz"
    assert (tmp_path / name).read_bytes() == (made[0] / name).read_bytes()


def test_channels_and_seeds_have_other_events(quick: dict[str, Any], tmp_path: Path) -> None:
    """The same process, veto and selection in another channel or with another seed."""
    config = {**quick, "sizes": {"events": {"stlp_st1000": 3}}, "batch": 20}
    job = task(config, shards(config, tmp_path)[0])
    found = [
        next(simulation({**job, **change}).parts(3, 20)).particles["obj_pt"][0]
        for change in ({}, {"channel": "3"}, {"seed": 2})
    ]
    assert len(set(found)) == 3


def test_weights_do_not_depend_on_the_early_veto(quick: dict[str, Any], tmp_path: Path) -> None:
    config = deepcopy(quick)
    config["mix"]["2b"] = {"ttbar": 1.0}
    total = []
    for veto in (config["veto"], None):
        job = task({**config, "veto": veto}, shards(config, tmp_path)[0])
        events = next(simulation(job).parts(150, 100)).events
        total.append(events["weight"].sum())
    # each to 150**-0.5 and the cross-section's few per cent
    assert total[0] == pytest.approx(total[1], rel=0.4)


def test_the_figure_shows_all_classes(made: tuple[Path, ProductionReport], tmp_path: Path) -> None:
    assert set(read_classes(made[0])) == {"SM", "stlp_st1000"}
    lines = darkmachines.report(made[0], tmp_path / "physics.png", None)
    assert lines == [f"figure: {tmp_path / 'physics.png'}"]
    assert (tmp_path / "physics.png").stat().st_size > 10_000
    with pytest.raises(ConfigError, match="not compared"):
        darkmachines.check_published(tmp_path)
