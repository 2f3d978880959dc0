from __future__ import annotations

import contextlib
import copy
import errno
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from anomaly_hep import provenance
from anomaly_hep.atomic import atomic_path, write_text
from anomaly_hep.configuration import compose, resolved
from anomaly_hep.errors import RunDirectoryError
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.models.layers import operators
from anomaly_hep.processor import processor
from anomaly_hep.provenance import _git_revision, moved, starts
from anomaly_hep.run import RunDirectory, default_path, digest, hold
from anomaly_hep.settings import Composed

CONFIG: dict[str, Any] = {
    "model": {"name": "setvae", "beta": 0.1},
    "data": {"name": "jetclass"},
    "seed": 1,
    "run_dir": None,
    "logger": {"kind": "none"},
    "threads": None,
}


def test_two_configurations_never_share_a_default_directory(tmp_path: Path) -> None:
    other = CONFIG | {"model": {"name": "setvae", "beta": 0.2}}
    assert default_path(CONFIG, tmp_path) != default_path(other, tmp_path)
    # where a run is shown and how many threads it takes are no part of what it computes
    same = CONFIG | {"logger": {"kind": "wandb"}, "threads": 1, "run_dir": "elsewhere"}
    same["data"] = {"name": "jetclass", "num_workers": 4}
    assert default_path(CONFIG, tmp_path) == default_path(same, tmp_path)


def test_a_held_directory_tells_what_made_it(tmp_path: Path) -> None:
    for _ in range(2):
        with hold(tmp_path / "run", CONFIG) as run:
            assert not run.finished
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text()) == CONFIG
    made = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert made["versions"]["torch"]
    assert len(made["starts"]) == 2


@pytest.mark.parametrize("ends", [None, SystemExit, ValueError])
def test_a_start_tells_what_it_computed_with(
    ends: type[BaseException] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operators, "path", lambda: None)
    with (
        contextlib.suppress(SystemExit, ValueError),
        hold(tmp_path / "run", CONFIG),
    ):
        monkeypatch.setattr(operators, "path", lambda: "plain")
        if ends:
            raise ends
    made = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert made["starts"][0]["arithmetic"] == {
        "processor": processor().name,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "products": "convolution" if processor().vendor == "AuthenticAMD" else "linear",
        "kernels": "plain",
    }


def test_a_start_says_precision_and_device(tmp_path: Path) -> None:
    trainer = {"precision": "bf16-mixed", "accelerator": "auto"}
    with hold(tmp_path / "run", CONFIG | {"trainer": trainer}):
        pass
    (start,) = starts(tmp_path / "run")
    assert start["precision"] == "bf16-mixed"
    assert start["device"] == (torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu")


@pytest.fixture
def _threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
def test_a_run_goes_on_with_the_threads_that_it_was_begun_with(tmp_path: Path) -> None:
    """Two threads sum otherwise than one: a resumed run was neither the one nor the other."""
    path = tmp_path / "run"
    with hold(path, CONFIG | {"threads": 2}):
        assert torch.get_num_threads() == 2
    with hold(path, CONFIG | {"threads": 1}):  # nothing is computed yet
        assert torch.get_num_threads() == 1
    (path / "checkpoints").mkdir()
    (path / "checkpoints" / "last.ckpt").touch()
    (path / ".metrics.csv.1.part").touch()  # a kill left it
    torch.set_num_threads(2)
    with hold(path, CONFIG | {"threads": None}):
        assert torch.get_num_threads() == 1
    with (
        pytest.raises(RunDirectoryError, match=r"begun with threads=1.*Cure: threads=1"),
        hold(path, CONFIG | {"threads": 2}),
    ):
        pass
    RunDirectory(path).finish({})
    with hold(path, CONFIG | {"threads": 2}) as run:  # it is shown, not computed
        assert run.finished


def test_a_run_that_moved_to_another_processor_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("EPYC", "EPYC", "Xeon"):
        found = {"processor": name, "threads": 1}
        monkeypatch.setattr(provenance, "arithmetic", lambda found=found: found)
        before = moved(tmp_path / "run")
        with hold(tmp_path / "run", CONFIG):
            after = moved(tmp_path / "run")
    assert before is None
    assert "EPYC" in str(after)


def test_another_start_is_refused_while_the_run_is_held(tmp_path: Path) -> None:
    # the kernel's lock belongs to an opened file, so a second one here stands for a process
    with (
        hold(tmp_path / "run", CONFIG),
        pytest.raises(RunDirectoryError, match=f"in use by process {os.getpid()}"),
        hold(tmp_path / "run", CONFIG),
    ):
        pass
    with hold(tmp_path / "run", CONFIG):
        pass


def test_another_configuration_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with hold(tmp_path / "run", CONFIG):
        pass
    other = CONFIG | {"model": {"name": "setvae", "beta": 0.2}}
    with hold(tmp_path / "run", other):  # nothing is trained yet
        pass
    with hold(tmp_path / "run", CONFIG):
        (tmp_path / "run" / "checkpoints").mkdir()
    with (
        pytest.raises(RunDirectoryError, match=r"other choices \(model.beta\)"),
        hold(tmp_path / "run", other),
    ):
        pass
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").touch()
    with (
        pytest.raises(RunDirectoryError, match=r"thesis.tex"),
        hold(tmp_path / "home", CONFIG),
    ):
        pass


def test_a_failure_leaves_its_traceback_and_a_success_removes_it(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        hold(tmp_path / "run", CONFIG),
    ):
        _ = 1 / 0
    assert "ZeroDivisionError" in (tmp_path / "run" / "error.txt").read_text()
    with hold(tmp_path / "run", CONFIG) as run:
        run.finish({"default_score": "kl"})
        assert run.finished
    assert not (tmp_path / "run" / "error.txt").exists()


def test_an_exhausted_disk_leaves_the_old_file_and_no_remains(tmp_path: Path) -> None:
    target = tmp_path / "metrics.json"
    write_text(target, "old")

    def fill_the_disk() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fill_the_disk()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_revision_is_that_of_the_source_and_of_no_repository_around_it(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        own = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", str(tmp_path), *own, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    tracked, installed = tmp_path / "tracked.py", tmp_path / "installed.py"
    tracked.touch()
    installed.touch()
    git("add", "tracked.py")
    git("commit", "--quiet", "--message", "one file")
    revision = git("rev-parse", "HEAD")
    assert _git_revision(tracked) == f"{revision} with changes"
    installed.unlink()
    assert _git_revision(tracked) == revision
    installed.touch()
    assert _git_revision(installed) is None


def _state(path: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in path.iterdir()}


def test_nothing_is_written_into_a_finished_run(tmp_path: Path) -> None:
    """It may be another user's, on a disk that cannot be written."""
    path = tmp_path / "run"
    with hold(path, CONFIG) as run:
        run.finish({})
    (path / ".lock").unlink()
    before = _state(path)
    with hold(path, CONFIG) as run:
        assert run.finished
    assert _state(path) == before


def test_a_directory_removed_in_mid_run_is_named_and_its_advice_works(tmp_path: Path) -> None:
    path = tmp_path / "run"

    def lose_it() -> None:
        with hold(path, CONFIG) as run:
            shutil.rmtree(path)
            write_text(path / "metrics.csv", "written before it was noticed")
            run.finish({})

    with pytest.raises(RunDirectoryError, match=r"was removed or moved .*rm -r "):
        lose_it()
    assert [p.name for p in path.iterdir()] == ["metrics.csv"]
    shutil.rmtree(path)
    with hold(path, CONFIG) as run:
        run.finish({})


def test_texts_of_the_environment_are_not_saved_but_tell_runs_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def composed(secret: str) -> Composed:
        monkeypatch.setenv("SECRET", secret)
        overrides = ["data.dir=${oc.env:SECRET}", "logger=wandb", "threads=1"]
        return compose("train", overrides, {"logger.project": "p-${oc.env:SECRET}"})

    path, config = tmp_path / "run", composed("hunter2")
    assert config["data"]["dir"] == "hunter2"
    with hold(path, config):
        (path / "checkpoints").mkdir()
    for file in path.iterdir():
        assert file.is_dir() or "hunter2" not in file.read_text()
    saved = RunFiles(path).config
    assert saved["data"]["dir"] == "${oc.env:SECRET}"
    assert saved["logger"]["project"] == "p-${oc.env:SECRET}"
    assert resolved(saved) == config
    with hold(path, config):
        pass
    other = composed("another")
    assert digest(other) != digest(config)
    with pytest.raises(RunDirectoryError, match=r"other choices \(data.dir\)"), hold(path, other):
        pass


def test_numbers_of_the_environment_are_shown_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEED", "7")
    assert compose("train", ['seed="${oc.decode:${oc.env:SEED}}"']).shown["seed"] == 7
    tags = compose("train", ["logger=wandb", 'logger.tags=[a,"${oc.env:SEED}"]'])
    assert tags.shown["logger"]["tags"] == ["a", "${oc.env:SEED}"]
    whole = compose("train", ["data.title=${oc.env:SEED}"], {"fitted_scores": "${data}"})
    assert whole.shown["fitted_scores"]["title"] == "${oc.env:SEED}"


EVALUATION = ("fitted_scores", "title", "paper", "test_dir", "samples", "groups")


@pytest.mark.parametrize("key", EVALUATION)
def test_choices_of_the_evaluation_change_until_the_run_is_finished(
    tmp_path: Path, key: str
) -> None:
    config = compose("train", ["data=darkshowers", "model=codae", "threads=1"])
    other = copy.deepcopy(dict(config))
    if key == "samples":
        del other["data"]["samples"]["test"]["SVJ2100"]
    elif key == "fitted_scores":
        other[key] = {"knn": {}}
    else:
        other["data"][key] = "other"
    path = tmp_path / "run"
    with hold(path, config):
        (path / "checkpoints").mkdir()
    assert digest(config) == digest(other)
    with hold(path, other) as run:
        assert [name.split(".")[-1] for name in run.retested] != []
        run.finish({})
    assert RunFiles(path).config == other
    with (
        pytest.raises(RunDirectoryError, match=r"finished with another choice of .*done.json"),
        hold(path, config),
    ):
        pass
    (path / "done.json").unlink()  # the cure
    with hold(path, config):
        pass


def test_groups_decide_the_training_where_signals_take_part(tmp_path: Path) -> None:
    config = compose("train", ["data=darkshowers", "model=codae", "data.signal_in_training=0.1"])
    other = copy.deepcopy(dict(config))
    del other["data"]["groups"]["SVJ"]
    assert digest(config) != digest(other)
