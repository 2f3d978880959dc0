"""Whole files of boosted jets: selection, spectra, seeds, being killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from scipy.stats import ks_2samp

from anomaly_hep.errors import ConfigError
from anomaly_hep.formats import rodem
from anomaly_hep.simulate import stealthjets
from anomaly_hep.simulate.detector import Candidates
from anomaly_hep.simulate.jets import Jets
from anomaly_hep.simulate.production import ProductionReport, produce
from anomaly_hep.simulate.stealthjets_events import as_events
from anomaly_hep.types import Events

CONFIG = Path(__file__).parents[2] / "conf" / "simulation" / "stealthjets.yaml"
SIZES = {"QCD": 100, "top": 60, "StealthB80": 40, "StealthB400": 150, "QCD_boosted": 150}


@pytest.fixture(scope="module")
def shipped() -> dict[str, Any]:
    plain: Any = OmegaConf.to_container(OmegaConf.load(CONFIG), resolve=True)
    return plain


@pytest.fixture(scope="module")
def quick(shipped: dict[str, Any]) -> dict[str, Any]:
    """Jets without multiparton interactions: what takes the time."""
    settings = [*shipped["settings"], "PartonLevel:MPI = off"]
    return {**shipped, "settings": settings, "jets_per_file": 400, "sizes": {"test": SIZES}}


@pytest.fixture(scope="module")
def made(
    quick: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ProductionReport]:
    directory = tmp_path_factory.mktemp("stealthjets")
    return directory, produce(quick, directory, workers=1)


def jets_of(directory: Path, label: str) -> Events:
    path = directory / "test" / f"{label}_000.h5"
    description = rodem.describe(path)
    return rodem.read(path, 0, description.entries, list(description.columns))


def counts_of(directory: Path, label: str) -> dict[str, int]:
    said = rodem.describe(directory / "test" / f"{label}_000.h5").provenance
    assert said is not None
    return dict(said["counts"])


def test_classes_are_those_that_can_be_made(shipped: dict[str, Any]) -> None:
    assert set(shipped["sizes"]["test"]) == set(stealthjets.PREFIXES)
    # signals are for tests alone; of top quarks a model is trained as a control
    assert set(shipped["sizes"]["train"]) == set(shipped["sizes"]["val"]) == {"QCD", "top"}


@pytest.mark.parametrize("label", SIZES)
def test_jets_obey_the_selection(label: str, made: tuple[Path, ProductionReport]) -> None:
    jets = jets_of(made[0], label)
    assert len(jets) == SIZES[label]
    assert (jets.events["jet_pt"] >= 450).all()
    assert (np.abs(jets.events["jet_eta"]) < 2).all()
    assert jets.lengths.max() <= 100


@pytest.mark.parametrize("label", SIZES)
def test_a_jet_is_the_sum_of_its_constituents(
    label: str, made: tuple[Path, ProductionReport]
) -> None:
    """But for the masses of hadrons, and for the softest of more than 100."""
    jets = jets_of(made[0], label)
    jet = np.repeat(np.arange(len(jets)), jets.lengths)
    px, py, pz, energy = (
        np.bincount(jet, jets.particles[f"part_{name}"].astype(float))
        for name in ("px", "py", "pz", "energy")
    )
    whole = jets.lengths < 100
    np.testing.assert_allclose(np.hypot(px, py)[whole], jets.events["jet_pt"][whole], rtol=1e-5)
    squared = energy**2 - px**2 - py**2 - pz**2
    more = jets.events["jet_mass"].astype(float) ** 2 - squared
    # energy that the masses of hadrons add, to first order; one of some GeV has m^2 / 2p
    added = (more / (2 * energy))[whole]
    assert added.min() > -1e-3 * jets.events["jet_pt"].max() / 100
    assert 0.1 < np.median(added) < 2
    first = np.cumsum(jets.lengths) - jets.lengths
    falling = np.diff(jets.particles["part_pt"]) <= 0
    falling[first[1:] - 1] = True
    assert falling.all()


def test_bosons_have_their_mass(made: tuple[Path, ProductionReport]) -> None:
    """Half of the bosons of 400 GeV are in their jets."""
    heavy, light = (jets_of(made[0], f"StealthB{mass}").events["jet_mass"] for mass in (400, 80))
    assert 0.3 < (heavy > 320).mean() < 0.7
    assert np.median(heavy[heavy > 320]) == pytest.approx(395, abs=15)
    assert np.median(light) == pytest.approx(83, abs=8)
    assert np.median(jets_of(made[0], "top").events["jet_mass"]) == pytest.approx(175, abs=8)


def test_shaped_multijets_have_the_spectrum_of_the_heavy_boson(
    made: tuple[Path, ProductionReport], capsys: pytest.CaptureFixture[str]
) -> None:
    pt = {label: jets_of(made[0], label).events["jet_pt"] for label in SIZES}
    shaped = ks_2samp(pt["QCD_boosted"], pt["StealthB400"])
    with capsys.disabled():
        print(f" distance {shaped.statistic:.3f}, p = {shaped.pvalue:.2g}", end="")
    assert shaped.pvalue > 1e-3
    assert ks_2samp(pt["QCD"], pt["StealthB400"]).statistic > 0.5
    counts = counts_of(made[0], "QCD_boosted")
    assert counts["jets_selected"] < counts["jets_in_acceptance"] < counts["events_generated"]
    assert counts["probability_above_1"] < 0.1 * counts["jets_in_acceptance"]


def test_what_was_made_is_counted(made: tuple[Path, ProductionReport]) -> None:
    counts = made[1].classes["QCD"].counts
    assert counts["events_vetoed"] > 0
    assert counts["jets_selected"] >= SIZES["QCD"]
    assert counts["jets_selected"] == counts["jets_in_acceptance"] <= counts["events_generated"]
    assert made[1].classes["StealthB80"].counts["events_vetoed"] == 0
    said = stealthjets.counted({**counts, "jets_cut": 1234, "probability_above_1": 5})
    assert said.startswith(f"events: {counts['events_vetoed']:,} vetoed early")
    assert "5 of a probability above 1, 1,234 that lost their softest constituents" in said
    for label in SIZES:
        cut = (jets_of(made[0], label).lengths == 100).sum()
        assert counts_of(made[0], label)["jets_cut"] <= cut


def test_the_hardest_constituents_are_kept() -> None:
    pt = np.array([1.0, 5.0, 3.0, 2.0, 4.0])
    momentum = np.stack([pt, 0 * pt, 0 * pt, pt])
    candidates = Candidates(
        np.array([0, 0, 0, 1, 1]), momentum, 0 * pt, np.zeros(5, np.int64), np.zeros((4, 5))
    )
    sums = np.stack([momentum[:, :3].sum(axis=1), momentum[:, 3:].sum(axis=1)], axis=1)
    jets = Jets(np.array([0, 1]), sums, np.array([3, 2]), np.arange(5))
    found = as_events(candidates, jets, np.array([0, 1]), 2)
    assert found.lengths.tolist() == [2, 2]
    assert found.particles["part_pt"].tolist() == [5, 3, 4, 2]
    # the jet's own momentum is that of all
    assert found.events["jet_pt"].tolist() == [9, 6]
    assert len(as_events(candidates, jets, np.array([], np.int64), 2)) == 0


def test_the_same_seed_gives_the_same_bytes(
    quick: dict[str, Any], made: tuple[Path, ProductionReport], tmp_path: Path
) -> None:
    some = {"QCD_boosted": 150, "StealthB80": 40}
    produce({**quick, "sizes": {"test": some}}, tmp_path, workers=2)
    for label in some:
        name = f"test/{label}_000.h5"
        assert (tmp_path / name).read_bytes() == (made[0] / name).read_bytes()


def test_a_production_continues_where_it_stopped(quick: dict[str, Any], tmp_path: Path) -> None:
    config = {**quick, "jets_per_file": 10, "sizes": {"test": {"StealthB400": 30}}}
    produce(config, tmp_path, workers=1)
    paths = sorted((tmp_path / "test").iterdir())
    whole = [path.read_bytes() for path in paths]
    paths[1].unlink()
    again = produce(config, tmp_path, workers=1)
    assert again.made == [paths[1]]
    assert again.complete == [paths[0], paths[2]]
    assert [path.read_bytes() for path in paths] == whole
    assert len(set(whole)) == 3


def test_a_file_depends_on_its_own_class_alone(quick: dict[str, Any]) -> None:
    changes = {
        "min_pt_hat": (500.0, {"QCD", "top"}),
        "spectrum": ({**quick["spectrum"], "power": 3.0}, {"QCD_boosted"}),
        "veto": (None, {"QCD", "top", "QCD_boosted"}),
    }
    for name, (value, changed) in changes.items():
        other = {**quick, name: value}
        different = {
            label for label in SIZES
            if stealthjets.task(other, label) != stealthjets.task(quick, label)
        }  # fmt: skip
        assert different == changed


@pytest.mark.parametrize(
    "table", [{"pt": [450.0, 900.0], "keep": [0.1]}, {"pt": [900.0, 450.0], "keep": [0.1, 0.2]},
              {"pt": [450.0, 450.0], "keep": [0.1, 0.2]}],
)  # fmt: skip
def test_a_table_that_cannot_be_is_refused(quick: dict[str, Any], table: dict[str, Any]) -> None:
    config = {**quick, "spectrum": {**quick["spectrum"], **table}}
    with pytest.raises(ConfigError, match=r"data\.simulation\.spectrum: .* Cure: give one"):
        stealthjets.task(config, "QCD_boosted")
    assert stealthjets.task(config, "QCD")["spectrum"] is None


def test_files_say_what_made_them(made: tuple[Path, ProductionReport]) -> None:
    said = rodem.describe(made[0] / "test" / "StealthB400_000.h5").provenance
    assert said is not None
    assert said["origin"] == "simulated"
    assert "not a published data set" in said["note"]
    assert "5100039:oneChannel = 1 1.0 100 9000011 9000011" in said["task"]["process"]


def test_the_figure_and_its_table(made: tuple[Path, ProductionReport], tmp_path: Path) -> None:
    lines = stealthjets.report(made[0], tmp_path / "physics.png", None)
    assert lines[0] == f"figure: {tmp_path / 'physics.png'}"
    assert [line.split("  ")[0] for line in lines[1:7]] == ["medians", *SIZES]
    assert lines[7].startswith("pT of QCD_boosted and StealthB400: Kolmogorov-Smirnov distance")
    assert (tmp_path / "physics.png").stat().st_size > 10_000
    with pytest.raises(ConfigError, match="not compared with published files"):
        stealthjets.report(made[0], tmp_path / "again.png", tmp_path)
