"""What a training does where files are missing: it uses what is there, and adds to no stranger."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from anomaly_hep.commands.simulate import ensure
from anomaly_hep.errors import MissingDataError, SimulationError
from anomaly_hep.formats import jetclass
from anomaly_hep.settings import DataSettings
from tests import runs
from tests.data.files import write_toy_images
from tests.modules import CONF, data_of
from tests.toys import toy_jets

SIMULATED = {"origin": "simulated", "generator": "Pythia 8", "task": {"seed": 1}}
QUICK = {
    "settings": ["Beams:eCM = 13000.", "PhaseSpace:pTHatMin = 450.", "PartonLevel:MPI = off"],
    "jets_per_file": 4,
    "batch": 10,
    "sizes": {"train": {"QCD": 8}, "test": {"QCD": 4, "Wqq": 4}},
}


def settings(directory: Path, name: str = "jetclass", **simulation: Any) -> DataSettings:
    """The data of a configuration, with a quick simulation where it is of jets."""
    shipped = yaml.safe_load((CONF / "simulation" / f"{name}.yaml").read_text())
    quick = QUICK if name == "jetclass" else {}
    return data_of(name, directory, simulation=shipped | quick | simulation)


def files(directory: Path) -> dict[str, int]:
    return {
        str(p.relative_to(directory)): p.stat().st_mtime_ns
        for p in directory.rglob("*.*")
        if p.is_file()
    }


def colleague(directory: Path, **sizes: int) -> Path:
    """Simulated jets that came without their plan, in files of other sizes."""
    for name, jets in sizes.items():
        jetclass.write(
            directory / f"{name.replace('__', '/')}_000.root", [toy_jets(jets)], SIMULATED
        )
    return directory


def other_sizes(directory: Path) -> DataSettings:
    return settings(colleague(directory, train__ZJetsToNuNu=7, test__ZJetsToNuNu=3, test__WToQQ=2))


def a_part(directory: Path) -> DataSettings:
    return settings(colleague(directory, test__ZJetsToNuNu=4))


def another_format(directory: Path) -> DataSettings:
    return settings(
        write_toy_images(directory, train=4, test=2, provenance=SIMULATED), "darkshowers"
    )


def training_alone(directory: Path) -> DataSettings:
    data = settings(colleague(directory / "here", train__ZJetsToNuNu=4))
    return replace(data, test_dir=str(colleague(directory / "there", test__ZJetsToNuNu=4)))


@pytest.mark.parametrize("if_missing", ["simulate", "error"])
@pytest.mark.parametrize("case", [other_sizes, a_part, another_format, training_alone])
def test_files_that_are_there_are_used_and_nothing_is_added(
    tmp_path: Path, case: Callable[[Path], DataSettings], if_missing: str
) -> None:
    data = case(tmp_path)
    before = files(tmp_path)
    assert before
    ensure(replace(data, if_missing=if_missing), Console())
    assert files(tmp_path) == before


def test_what_is_missing_is_refused_where_it_may_not_be_simulated(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"lacks 4 files, .*if_missing=error\. Cure"):
        ensure(replace(settings(tmp_path), if_missing="error"), Console())


@pytest.mark.parametrize("if_missing", ["simulate", "error"])
def test_data_that_cannot_be_simulated_say_so(tmp_path: Path, if_missing: str) -> None:
    data = replace(settings(tmp_path), if_missing=if_missing, name="mine", simulation=None)
    with pytest.raises(MissingDataError, match=r"no files of data=mine.*cannot be simulated.*Cure"):
        ensure(data, Console())


def test_a_training_on_data_that_cannot_be_simulated_ends_with_one_line(tmp_path: Path) -> None:
    command = runs.train_command("data.dir=nothing", "data.if_missing=error", "~data.simulation")
    printed = runs.train_here(command, tmp_path, expect=1)
    assert "KeyError" not in printed
    assert "MissingDataError: there are no files of data=jetclass in nothing" in printed


def test_the_command_refuses_data_that_cannot_be_simulated(tmp_path: Path) -> None:
    printed = runs.command(tmp_path, "simulate", "data.dir=.", "~data.simulation", expect=1)
    assert "data=jetclass cannot be simulated" in printed


# ---- productions


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("production")
    ensure(settings(directory), Console())
    return directory


@pytest.fixture
def copy(production: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(production, tmp_path / "copy"))


def test_a_directory_without_files_is_simulated_and_says_what_it_is(production: Path) -> None:
    plan = json.loads((production / "production.json").read_text())
    assert plan["sizes"] == QUICK["sizes"]
    assert sorted(files(production)) == [
        "production.json", "test/WToQQ_000.root", "test/ZJetsToNuNu_000.root",
        "train/ZJetsToNuNu_000.root", "train/ZJetsToNuNu_001.root",
    ]  # fmt: skip


def test_an_unfinished_production_is_continued_up_to_its_own_plan(copy: Path) -> None:
    before = files(copy)
    (copy / "train" / "ZJetsToNuNu_001.root").unlink()
    # whatever sizes the run asks for
    asked = settings(copy, sizes={"train": {"QCD": 400}, "test": {"QCD": 4}})
    ensure(asked, Console())
    assert files(copy).keys() == before.keys()
    (copy / "train" / "ZJetsToNuNu_000.root").unlink()
    with pytest.raises(MissingDataError, match="lacks 1 files"):
        ensure(replace(asked, if_missing="error"), Console())


def test_classes_that_the_plan_does_not_know_are_added(copy: Path) -> None:
    before = files(copy)
    ensure(settings(copy, sizes={"train": {"QCD": 8, "Wqq": 2}, "test": {"QCD": 4}}), Console())
    after = files(copy)
    assert after.keys() - before.keys() == {"train/WToQQ_000.root"}
    assert all(after[name] == before[name] for name in before if name != "production.json")
    plan = json.loads((copy / "production.json").read_text())
    assert plan["sizes"] == {"train": {"QCD": 8, "Wqq": 2}, "test": {"QCD": 4, "Wqq": 4}}


def test_a_production_of_other_values_is_refused_or_used_as_it_is(copy: Path) -> None:
    before = files(copy)
    data = settings(copy, seed=2, batch=11)
    with pytest.raises(SimulationError, match=r"other values of batch, seed .*~data\.simulation"):
        ensure(data, Console())
    ensure(replace(data, simulation=None), Console())
    assert files(copy) == before


def test_tests_that_are_elsewhere_are_not_simulated(tmp_path: Path) -> None:
    data = settings(tmp_path, sizes={"train": {"QCD": 2}, "test": {"QCD": 2}})
    ensure(replace(data, test_dir="elsewhere"), Console())
    assert sorted(files(tmp_path)) == ["production.json", "train/ZJetsToNuNu_000.root"]


@pytest.mark.parametrize("content", ["", "[]", '{"sizes": 3}', '{"sizes": {"train": {"QCD": 1}}}'])
def test_a_damaged_plan_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "production.json").write_text(content)
    with pytest.raises(SimulationError, match=r"production\.json is damaged.*Cure"):
        ensure(settings(tmp_path), Console())


def test_the_command_adds_to_no_files_of_a_stranger(tmp_path: Path) -> None:
    colleague(tmp_path, train__ZJetsToNuNu=7)
    printed = runs.command(tmp_path, "simulate", "data.dir=.", expect=1)
    assert "is no production of these values, and nothing is added to it" in " ".join(
        printed.split()
    )
    assert sorted(files(tmp_path)) == ["train/ZJetsToNuNu_000.root"]


def test_nothing_is_simulated_beside_files_of_another_name(tmp_path: Path) -> None:
    jetclass.write(tmp_path / "train" / "Another_000.root", [toy_jets(5)])
    with pytest.raises(MissingDataError, match=r"holds Another_000\.root and no file of data"):
        ensure(settings(tmp_path), Console())
    assert set(files(tmp_path)) == {"train/Another_000.root"}
