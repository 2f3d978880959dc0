"""Starts of a training: each in its process and its file, and what becomes of broken ones."""

from __future__ import annotations

import os
import pickle
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from anomaly_hep.checking import settings_of
from anomaly_hep.configuration import compose
from anomaly_hep.errors import CheckpointError, ExportError
from anomaly_hep.fpga import alternatives, starts
from anomaly_hep.fpga.budget import Candidate
from anomaly_hep.fpga.distillation import Examples, Lesson
from anomaly_hep.fpga.integers import Port
from anomaly_hep.fpga.starts import Start, Trained
from anomaly_hep.models.layers.trigger import TriggerEncoder

SHAPE: dict[str, Any] = {"ranges": [1.0], "outputs": 1, "constituents": 2, "phi": [3], "rho": [2],
                         "context_ranges": []}  # fmt: skip


def _start(path: Path, number: int = 1) -> Start:
    inputs = torch.rand(20, 2, 1)
    examples = Examples(inputs, inputs.sum((1, 2)))
    lesson = Lesson("squared", examples, examples, 5.0)
    settings = settings_of("fpga", compose("fpga", ["fpga=rtl", "fpga.target_lut=500"]))
    return Start(
        settings.fpga, SHAPE, (Port("pt", 1.0, False),), (), lesson, number, number + 6, path
    )


def remember(start: Start) -> None:
    """Write which start it was, with how many threads, and what it had to learn."""
    start.path.parent.mkdir(parents=True, exist_ok=True)
    total = start.lesson.examples.targets.sum().item()
    start.path.write_text(f"{start.number} {torch.get_num_threads()} {total:.4f}")


def vanish(start: Start) -> None:
    """End the process as a kill for its memory does."""
    os._exit(9)


def test_starts_that_are_missing_are_trained_each_with_one_thread(tmp_path: Path) -> None:
    there = [_start(tmp_path / f"{number}.ckpt", number) for number in (1, 2, 3)]
    there[1].path.write_text("kept")
    starts.train([(remember, start) for start in there])
    totals = [start.lesson.examples.targets.sum().item() for start in there]
    assert there[0].path.read_text() == f"1 1 {totals[0]:.4f}"
    assert there[1].path.read_text() == "kept"
    assert there[2].path.read_text() == f"3 1 {totals[2]:.4f}"


def test_a_process_that_is_killed_is_one_error_and_the_others_stay(tmp_path: Path) -> None:
    first, second = (_start(tmp_path / f"{number}.ckpt", number) for number in (1, 2))
    starts.train([(remember, first)])
    with pytest.raises(ExportError, match=r"a start was killed.*Cure: the same command goes on"):
        starts.train([(remember, first), (vanish, second)])
    assert first.path.exists()


def fail_soon(start: Start) -> None:
    """Fail as soon as another start has begun."""
    while not start.path.with_suffix(".begun").exists():
        time.sleep(0.01)
    raise ExportError("it failed. Cure: none")


def take_long(start: Start) -> None:
    """Begin, and train for minutes."""
    start.path.with_suffix(".begun").touch()
    time.sleep(300)


def test_an_error_in_one_start_does_not_wait_for_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    first, second = (_start(tmp_path / "same.ckpt", number) for number in (1, 2))
    begin = time.monotonic()
    with pytest.raises(ExportError, match="it failed"):
        starts.train([(fail_soon, first), (take_long, second)])
    assert time.monotonic() - begin < 200
    assert not first.path.exists()


def test_examples_travel_as_arrays() -> None:
    context = torch.rand(20, 2)
    start = _start(Path("x"))
    for given in (start.lesson.examples, replace(start.lesson.examples, context=context)):
        again = pickle.loads(pickle.dumps(given))
        assert torch.equal(again.inputs, given.inputs)
        assert torch.equal(again.targets, given.targets)
        assert (again.context is None) == (given.context is None)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "starts" / "learned-1.ckpt"
    state = TriggerEncoder(**SHAPE, precision=None).state_dict()
    Trained(state, [Candidate(1, 2.0, 3, 0.5, {"a": torch.ones(1)})]).save(path)
    again = Trained.load(path)
    assert [(o.step, o.ebops, o.lut, o.agreement) for o in again.candidates] == [(1, 2.0, 3, 0.5)]
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match=r"learned-1.ckpt is damaged .* Cure: remove it"):
        Trained.load(path)


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    start = _start(tmp_path / "learned-1.ckpt")
    state = TriggerEncoder(**SHAPE, precision=None).state_dict()
    Trained(state, [Candidate(1, 2.0, 3, 0.5, {"phi.0.integer": torch.ones(1)})]).save(start.path)
    with pytest.raises(CheckpointError, match=r"written by another version. Cure: remove it"):
        alternatives._loaded(start, learned=True)
