"""Runs that are killed and started again with the same command, in processes of their own.

Every step of a training is killed in `test_every_step`, in one process.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests import runs
from tests.data.files import write_toys

# 600 jets in batches of 16 for 2 epochs: 76 steps, a checkpoint after each
CHOICES = ("trainer.max_epochs=2", "trainer.checkpoint_every_seconds=0", *runs.TWO_CLASSES)


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toys(tmp_path_factory.mktemp("toys"), train=600)


@pytest.fixture(scope="module")
def unbroken(toys: Path) -> Path:
    command = runs.train_command("data.dir=.", "run_dir=unbroken", *CHOICES)
    runs.train_here(command, toys)
    return toys / "unbroken"


def _weights(run: Path, name: str) -> dict[str, torch.Tensor]:
    content = torch.load(run / "checkpoints" / name, weights_only=True)
    state: dict[str, torch.Tensor] = content["state_dict"]
    return state


def _step(run: Path) -> int:
    """Return the step of the last checkpoint; 0 before there is one."""
    path = run / "checkpoints" / "last.ckpt"
    step: int = torch.load(path, weights_only=True)["global_step"] if path.exists() else 0
    return step


def _wait_for_step(run: Path, process: subprocess.Popen[str], step: int) -> None:
    begin = time.monotonic()
    while _step(run) < step:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() - begin < 120
        time.sleep(0.02)


def _assert_same(one: Path, other: Path) -> None:
    for checkpoint in ("best.ckpt", "last.ckpt"):
        ours, theirs = _weights(one, checkpoint), _weights(other, checkpoint)
        assert ours.keys() == theirs.keys()
        for name, values in ours.items():
            assert torch.equal(values, theirs[name]), name
    pd.testing.assert_frame_equal(
        pd.read_parquet(one / "scores.parquet"), pd.read_parquet(other / "scores.parquet")
    )
    assert (one / "metrics.json").read_bytes() == (other / "metrics.json").read_bytes()
    assert (one / "metrics.csv").read_bytes() == (other / "metrics.csv").read_bytes()
    ledgers = [json.loads((run / "ledger.json").read_text()) for run in (one, other)]
    assert ledgers[0] == ledgers[1]


@pytest.mark.parametrize(("workers", "step"), [(0, 20), (2, 50)])
def test_killed_and_resumed_ends_with_the_same_bits(
    toys: Path, unbroken: Path, workers: int, step: int
) -> None:
    name = f"killed{workers}"
    command = runs.train_command(
        "data.dir=.", f"run_dir={name}", f"data.num_workers={workers}", *CHOICES
    )
    process = runs.start(command, toys)
    _wait_for_step(toys / name, process, step)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (toys / name / "done.json").exists()
    printed = runs.finish(runs.start(command, toys), 0)
    assert "going on from" in printed
    assert (toys / name / "done.json").exists()
    _assert_same(unbroken, toys / name)


def test_sigterm_before_the_first_step_ends_with_143(toys: Path) -> None:
    run = toys / "early"
    process = runs.start(runs.train_command("data.dir=.", f"run_dir={run}", *CHOICES), toys)
    while not (run / ".lock").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 143, printed
    assert _step(run) <= 1


def test_sigterm_saves_the_step_and_ends_with_143(toys: Path) -> None:
    # no checkpoint is due by time: the one that is there is the signal's own
    choices = ("trainer.checkpoint_every_seconds=3600", "trainer.check_val_every_n_epoch=1",
               "trainer.max_epochs=5", *runs.TWO_CLASSES)  # fmt: skip
    run = toys / "terminated"
    command = runs.train_command("data.dir=.", f"run_dir={run}", *choices)
    process = runs.start(command, toys)
    while not (run / "metrics.csv").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 143, printed
    assert not (run / "done.json").exists()
    saved = _step(run)
    assert 1 <= saved < 5 * 38
    printed = runs.finish(runs.start(command, toys), 0)
    assert "going on from" in printed
    steps = pd.read_csv(run / "metrics.csv").dropna(subset="train/loss")["step"]
    assert steps.tolist() == list(range(5 * 38))


def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(toys: Path) -> None:
    run = toys / "interrupted"
    choices = ("trainer.checkpoint_every_seconds=0", "trainer.check_val_every_n_epoch=1",
               "trainer.max_epochs=5", *runs.TWO_CLASSES)  # fmt: skip
    command = runs.train_command("data.dir=.", f"run_dir={run}", *choices)
    # a shell that runs the tests in the background has Ctrl-C ignored, and so would the training
    heeding = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    process = runs.start([sys.executable, "-c", heeding, *command], toys)
    _wait_for_step(run, process, 3)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 130, printed
    assert "the same command goes on" in printed
    assert not (run / "done.json").exists()
    process = runs.start(command, toys)
    assert process.stdout is not None
    assert any("going on from" in line for line in process.stdout)  # ends at the first such line
    process.kill()
    process.communicate()


def test_a_finished_run_is_shown_again_and_not_touched(toys: Path, unbroken: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in unbroken.rglob("*") if p.name != ".lock"}
    command = runs.train_command("data.dir=.", "run_dir=unbroken", *CHOICES)
    printed = runs.train_here(command, toys)
    assert "is finished" in printed
    after = {p: p.stat().st_mtime_ns for p in unbroken.rglob("*") if p.name != ".lock"}
    assert before == after


def test_another_configuration_is_refused_the_directory(toys: Path, unbroken: Path) -> None:
    command = runs.train_command("data.dir=.", "run_dir=unbroken", *CHOICES, "model.beta=0.5")
    printed = runs.train_here(command, toys, expect=1)
    assert "belongs to a run with other choices (model.beta)" in printed
