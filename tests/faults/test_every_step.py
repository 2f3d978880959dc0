"""A training killed anywhere and started again ends as the unbroken one does, bit by bit.

A SIGKILL leaves the files as they are, and every file of a run is written under another name and
renamed. So what the renames of an unbroken training leave, one after the other, is all that any
kill can leave: each is copied aside, and gone on from.
"""

from __future__ import annotations

import io
import itertools
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from rich.console import Console

from anomaly_hep.errors import CheckpointError
from anomaly_hep.fitting import Training
from anomaly_hep.models.loading import read_checkpoint
from anomaly_hep.runtime import endings_restored
from tests.trainings import BATCHES, SCHEDULES, TwoStageToy, fit, toy_data, training, two_phases

STEPS = 2 * 2 * BATCHES  # of two phases of two epochs


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_data(tmp_path_factory.mktemp("toys"))


@contextmanager
def every_state(run: Path, aside: Path) -> Iterator[list[Path]]:
    """Copy `run` after each rename inside it; yield the growing list of copies."""
    states: list[Path] = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        done = replace(self, target)
        states.append(aside / str(len(states)))
        shutil.copytree(run, states[-1], ignore=shutil.ignore_patterns(".*.part"))
        return done

    with mock.patch.object(Path, "replace", watched), mock.patch("os.fsync"):
        yield states


def content(path: Path) -> Any:
    found = torch.load(path, weights_only=True)
    del found["datamodule_hyper_parameters"]["num_workers"]
    return found


def differences(one: Any, other: Any, where: str = "") -> Iterator[str]:
    """Yield where two contents of checkpoints differ, in any bit."""
    if type(one) is not type(other):
        yield where
    elif isinstance(one, dict):
        if one.keys() != other.keys():
            yield f"{where}: {one.keys() ^ other.keys()}"
        for key in one.keys() & other.keys():
            yield from differences(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        if len(one) != len(other):
            yield where
        for number, (left, right) in enumerate(zip(one, other, strict=False)):
            yield from differences(left, right, f"{where}.{number}")
    elif isinstance(one, torch.Tensor):
        if not torch.equal(one, other):
            yield where
    elif one != other:
        yield f"{where}: {one} and {other}"


def assert_same(whole: Path, resumed: Path) -> None:
    names = {path.name for path in (whole / "checkpoints").iterdir()}
    assert names >= {"best-first.ckpt", "best.ckpt", "last.ckpt"}
    for name in names - {"previous.ckpt"}:
        one, other = (content(run / "checkpoints" / name) for run in (whole, resumed))
        assert list(differences(one, other)) == [], name
    assert (whole / "metrics.csv").read_bytes() == (resumed / "metrics.csv").read_bytes()


def position(run: Path) -> tuple[str, int, bool] | None:
    """Return phase, step and whether a validation is due of what a run goes on from."""
    for name in ("last.ckpt", "previous.ckpt"):
        if (path := run / "checkpoints" / name).exists():
            found = content(path)["position"]
            return found["phase"], found["step"], found["validates"]
    return None


CASES = {
    **{name: (two_phases(name), {}) for name in SCHEDULES},
    "patience": (two_phases("plateau", patience=1), {"check_val_every_n_epoch": 1}),
    "validated in mid-epoch": (
        two_phases(), {"val_check_interval": 1, "check_val_every_n_epoch": 1}
    ),
    "accumulated": (two_phases("one-cycle"), {"accumulate_grad_batches": 2}),
    "embedded once": (
        two_phases(background=[0.25, 1], batch_size=6, labels=[]), {"toy": TwoStageToy}
    ),
    "milestones": (two_phases(), {"milestones": [20, 70], "limit_train_batches": 2}),
}  # fmt: skip


def last_of_each_position(states: list[Path]) -> list[Path]:
    """Return of all states with one last.ckpt the last, whose other files are the newest."""
    return list({position(state): state for state in states}.values())


@pytest.mark.parametrize("case", CASES)
def test_a_kill_at_any_moment_costs_nothing(tmp_path: Path, data: Path, case: str) -> None:
    phases, choices = CASES[case]
    whole = tmp_path / "whole"
    with every_state(whole, tmp_path / "states") as states:
        fit(whole, data, phases, **choices)
    if case in SCHEDULES:
        # behind each step, before and after the validation of each phase, and before the first
        assert len({position(state) for state in states}) == STEPS + 2 + 1
    with mock.patch("os.fsync"):
        # the schedules have been killed behind each step; the others are behind every second
        chosen = last_of_each_position(states)[:: 1 if case in SCHEDULES else 2]
        for state in states if case == "constant" else chosen:
            fit(state, data, phases, **choices)
            assert_same(whole, state)


@pytest.mark.parametrize("case", ["one-cycle", "plateau"])
def test_two_kills_cost_nothing(tmp_path: Path, data: Path, case: str) -> None:
    phases, choices = CASES[case]
    whole = tmp_path / "whole"
    with every_state(whole, tmp_path / "states") as states:
        fit(whole, data, phases, **choices)
    for number, first in enumerate(last_of_each_position(states)[1::4]):
        with every_state(first, tmp_path / f"again{number}") as later:
            fit(first, data, phases, **choices)
        assert_same(whole, first)
        for second in last_of_each_position(later)[1 + number % 3 :: 4]:
            with mock.patch("os.fsync"):
                fit(second, data, phases, **choices)
            assert_same(whole, second)


def test_reading_processes_make_no_difference(tmp_path: Path, data: Path) -> None:
    phases, choices = CASES["one-cycle"]
    fit(tmp_path / "whole", data, phases, **choices)
    with every_state(tmp_path / "with", tmp_path / "states") as states:
        fit(tmp_path / "with", data, phases, workers=2, **choices)
    assert_same(tmp_path / "whole", tmp_path / "with")
    for state in last_of_each_position(states)[1::11]:
        fit(state, data, phases, workers=2, **choices)
        assert_same(tmp_path / "whole", state)


class Terminator(Callback):
    """Sends this process a SIGTERM at the nth of the hooks that it sees."""

    def __init__(self, at: int) -> None:
        self.left = at

    def _count(self, *_: Any, **__: Any) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    on_fit_start = on_train_start = on_train_batch_start = on_before_optimizer_step = _count
    on_validation_start = on_validation_batch_start = on_validation_end = _count
    on_train_epoch_end = on_train_end = on_fit_end = _count


def terminated_at(at: int) -> type[Training]:
    terminator = Terminator(at)

    class Terminated(Training):
        def _trainer(self, *arguments: Any) -> lightning.Trainer:
            made = super()._trainer(*arguments)
            made.callbacks.insert(0, terminator)
            return made

    return Terminated


@pytest.fixture
def sigterm() -> Iterator[None]:
    with endings_restored():
        yield


def test_sigterm_at_any_moment_ends_with_143_and_loses_nothing(
    tmp_path: Path, data: Path, sigterm: None
) -> None:
    # checkpoints are due at the signal alone
    choices = {"checkpoint_every_seconds": 1e9, "check_val_every_n_epoch": 1}
    phases = two_phases("plateau")
    fit(tmp_path / "whole", data, phases, **choices)
    for at in itertools.count(1, 9):
        run = tmp_path / str(at)
        if not left_with_143(training(run, data, phases, kind=terminated_at(at), **choices)):
            break
        fit(run, data, phases, **choices)
        assert_same(tmp_path / "whole", run)
    assert at > 50  # the hooks of the whole training were tried


def left_with_143(made: Training) -> bool:
    """Make a training; return whether it left by SIGTERM and not at its end."""
    made.termination.install()
    try:
        with mock.patch("os.fsync"):
            made.fit(None, Console(quiet=True))
    except SystemExit as left:
        return left.code == 143
    return False


def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_taken(
    tmp_path: Path, data: Path
) -> None:
    phases = two_phases("one-cycle")
    whole = tmp_path / "whole"
    with every_state(whole, tmp_path / "states") as states:
        fit(whole, data, phases)
    state = last_of_each_position(states)[9]
    last, previous = (state / "checkpoints" / name for name in ("last.ckpt", "previous.ckpt"))
    flip(last, seed=1)
    again = Path(shutil.copytree(state, tmp_path / "again"))
    said = printed(state, data, phases)
    assert f"{last} is no checkpoint of this package, or it is damaged" in said
    assert f"goes on from {previous}" in said
    assert_same(whole, state)
    flip(again / "checkpoints" / "previous.ckpt", seed=2)
    assert "starts anew" in printed(again, data, phases)
    assert_same(whole, again)


def printed(run: Path, data: Path, phases: Any) -> str:
    console = Console(file=io.StringIO(), width=10_000)
    training(run, data, phases).fit(None, console)
    return console.file.getvalue()


def flip(path: Path, *, seed: int) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    rng = random.Random(seed)
    content[rng.randrange(len(content) // 2)] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def test_no_flipped_bit_of_a_checkpoint_goes_unnoticed(tmp_path: Path, data: Path) -> None:
    fit(tmp_path, data, two_phases())
    best = tmp_path / "checkpoints" / "best.ckpt"
    whole, whole_bytes = content(best), best.read_bytes()
    fates: Counter[str] = Counter()
    for seed in range(150):
        flip(best, seed=seed)
        fates[fate(best, whole)] += 1
        best.write_bytes(whole_bytes)
    assert fates["refused in one line"] > 100
    assert set(fates) <= {"refused in one line", "the same"}  # bytes between the records


def fate(path: Path, whole: Any) -> str:
    try:
        found = read_checkpoint(path)
    except CheckpointError as error:
        return "refused" if "\n" in str(error) else "refused in one line"
    del found["datamodule_hyper_parameters"]["num_workers"]
    return "other values" if list(differences(whole, found)) else "the same"
