"""What would end a run after hours is refused before its first step, and what can be mended is."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from anomaly_hep.formats import jetclass
from tests import runs
from tests.data.files import write_toys
from tests.faults.injections import write_foreign
from tests.toys import toy_jets

NEIGHBOURS = (
    "+fitted_scores={knn:{_target_:anomaly_hep.models.fitted.NearestNeighbours,"
    "embedding:latent,neighbours:5000}}"
)
TEST = "data.samples.test"


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toys(tmp_path_factory.mktemp("toys"), train=48, test=24, mean_particles=5.0)


@pytest.fixture(scope="module")
def run(toys: Path) -> Path:
    train(toys, "run_dir=run")
    return toys / "run"


def train(toys: Path, *overrides: str, expect: int = 0) -> str:
    choices = ("data.dir=.", "trainer.max_epochs=1", *runs.TWO_CLASSES, *overrides)
    return " ".join(runs.train_here(runs.train_command(*choices), toys, expect).split())


REFUSED = {
    "a class without files": ([f"+{TEST}.Foo={{files:nosuch*}}"], "no file nosuch*"),
    "a class without events": ([f"+{TEST}.Foo={{files:empty*}}"], f"{TEST}.Foo holds no event"),
    "a damaged file": ([f"+{TEST}.Foo={{files:junk*}}"], "junk.root"),
    "weights that are not there": ([f"+{TEST}.Hbb.weight=w"], "branch 'w': the branch is missing"),
    "weights below zero": ([f"+{TEST}.Hbb.weight=part_charge"], "part_charge"),
    "a column of the paper": (["data.test_dir=few"], "Cure: data.paper=null"),
    "too few events for a fit": ([NEIGHBOURS], "needs 5,000 background events and gets 48"),
    "validations that never come": (["+trainer.val_check_interval=1000"], "val_check_interval"),
    "no gradient": (["+trainer.accumulate_grad_batches=0"], "accumulate_grad_batches=0. Cure"),
    "no training": (["+trainer.limit_train_batches=0"], "limit_train_batches=0. Cure: it should"),
    "no validation": (["+trainer.limit_val_batches=0"], "limit_val_batches=0. Cure: it should"),
    "no steps": (["+trainer.max_steps=0"], "max_steps=0. Cure: it should be"),
    "no logs": (["+trainer.barebones=true"], "trainer.barebones does not exist"),
    "more processes than cores": (["trainer.devices=9999"], "more processes than this machine"),
}


def lacking(directory: Path) -> None:
    """Files of jets without a column that the paper needs."""
    (directory / "test").mkdir(parents=True)
    for prefix in ("ZJetsToNuNu", "HToBB"):
        path = directory / "test" / f"{prefix}_000.root"
        write_foreign(path, lambda columns: columns.pop("jet_sdmass"))


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_in_one_line_before_the_first_step(toys: Path, case: str) -> None:
    overrides, said = REFUSED[case]
    jetclass.write(toys / "test" / "empty.root", [])
    (toys / "test" / "junk.root").write_bytes(b"junk")
    if not (toys / "few").exists():
        lacking(toys / "few")
    printed = train(toys, f"run_dir={case.replace(' ', '_')}", *overrides, expect=1)
    assert said in printed
    assert "Traceback" not in printed
    assert "Cure: " in printed or "Error: " in printed
    assert not (toys / case.replace(" ", "_") / "checkpoints").exists()


def test_a_disk_without_room_is_refused_with_numbers(
    toys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 2_000_000))
    printed = train(toys, "run_dir=full", expect=1)
    assert "full has 2.0 MB free, and the run needs about 1" in printed
    assert "for the scores of 48 events" in printed
    monkeypatch.undo()
    shutil.rmtree(toys / "full")


def test_a_directory_takes_the_mended_command_after_a_refusal(toys: Path) -> None:
    train(toys, "run_dir=mended", f"+{TEST}.Foo={{files:nosuch*}}", "seed=2", expect=1)
    printed = train(toys, "run_dir=mended", "trainer.milestones=[20,5000,6000]")
    assert "the training sees 48 events, so 5,000 and what follows is not reached" in printed
    assert "the training ended before 5,000 and what follows, of which no weights are" in printed


def test_a_finished_training_is_tested_otherwise_without_training_again(
    toys: Path, run: Path
) -> None:
    copy = shutil.copytree(run, toys / "tested")
    weights = (copy / "checkpoints" / "last.ckpt").read_bytes()
    scores = (copy / "scores.parquet").read_bytes()
    other = ("run_dir=tested", f"+{TEST}.Top={{files:TTBar_*}}")
    refused = train(toys, *other, expect=1)
    assert f"finished with another choice of {TEST}.Top" in refused
    assert "remove tested/done.json and give this command again" in refused
    (copy / "done.json").unlink()
    # this mends a table that was damaged, too
    (copy / "scores.parquet").write_bytes(scores[:-9] + b"\0" * 9)
    printed = train(toys, *other)
    assert f"begun with another choice of {TEST}.Top" in printed
    assert "Top" in printed
    assert (copy / "checkpoints" / "last.ckpt").read_bytes() == weights
    assert "is finished; its results" in train(toys, *other)
    assert "other choices (model.seed, seed)" in train(toys, *other, "seed=3", expect=1)


def test_a_training_does_not_go_on_with_other_data(toys: Path, run: Path) -> None:
    copy = shutil.copytree(run, toys / "changed")
    (copy / "done.json").unlink()
    path = toys / "train" / "ZJetsToNuNu_001.root"
    before = path.read_bytes()
    jetclass.write(path, [toy_jets(16, seed=99, mean_particles=5)])
    printed = train(toys, "run_dir=changed", expect=1)
    assert "train/ZJetsToNuNu_001.root is not what it was when the training in changed" in printed
    path.write_bytes(before)  # the cure
    train(toys, "run_dir=changed")
