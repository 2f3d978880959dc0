"""Runs of the real commands, in processes of their own or in this one, small enough for a test."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from anomaly_hep import cli
from anomaly_hep.runtime import endings_restored
from tests.toys import CLASSES

ROOT = Path(__file__).resolve().parents[1]
SMALL = (
    "model.encoder.layers=1",
    "model.encoder.decoder_layers=1",
    "trainer.max_epochs=2",
    "trainer.enable_progress_bar=false",
    "trainer.log_every_n_steps=1",
    "data.batch_size=16",
    "data.pool_batches=2",
    "data.chunk_events=30",
    "threads=1",
)
# figures and tables of all ten classes take longer than such a training
TWO_CLASSES = tuple(
    f"~data.samples.test.{label}" for label in CLASSES if label not in ("QCD", "Hbb")
)


def train_command(*overrides: str) -> list[str]:
    """Return the command line of a small training."""
    return [sys.executable, str(ROOT / "train.py"), *SMALL, *overrides]


def image_command(model: str, *overrides: str) -> list[str]:
    """Return the command line of a small training on detector images."""
    choices = [choice for choice in SMALL if not choice.startswith("model.encoder")]
    return [sys.executable, str(ROOT / "train.py"), f"model={model}", *choices, *overrides]


def start(command: list[str], cwd: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a command in `cwd`, without the service of W&B that a test here may have begun."""
    own = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    return subprocess.Popen(
        command,
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=own | {"COLUMNS": "160"} | environment,
    )


def train(cwd: Path, *overrides: str, expect: int = 0) -> str:
    """Run a small training to its end and return what it printed."""
    return finish(start(train_command(*overrides), cwd), expect)


def command(cwd: Path, *arguments: str, expect: int = 0, columns: int = 160) -> str:
    """Do `python -m anomaly_hep ...` as `here` does and return what it printed."""
    return here(["anomaly_hep", *arguments], cwd, cli.main, expect, columns)


def train_here(
    command: list[str], cwd: Path, expect: int = 0, *, with_figures: bool = False
) -> str:
    """Do a command line of this module's as `here` does and return what it printed.

    Drawing takes four times as long as all the rest of such a training.
    """
    drawing = "anomaly_hep.commands.train.write_figures"
    with contextlib.nullcontext() if with_figures else mock.patch(drawing):
        return here(command[1:], cwd, lambda: cli.run("train"), expect)


def here(
    arguments: list[str], cwd: Path, main: Callable[[], None], expect: int, columns: int = 160
) -> str:
    """Call `main` in this process, as if it were one of its own, and return what it printed.

    The imports of a new process take longer than most commands.
    """
    printed, status = io.StringIO(), 0
    with (
        endings_restored(),
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        mock.patch.object(sys, "argv", arguments),
        mock.patch.dict(os.environ, {"COLUMNS": str(columns)}),
    ):
        try:
            main()
        except SystemExit as leaving:
            status = leaving.code if isinstance(leaving.code, int) else 1
    assert status == expect, printed.getvalue()
    return printed.getvalue()


def finish(process: subprocess.Popen[str], expect: int) -> str:
    """Wait for a process, check its exit status, return what it printed."""
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == expect, printed
    return printed
