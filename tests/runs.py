"""Runs of the real commands in processes of their own, small enough for a test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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


def train_command(*overrides: str) -> list[str]:
    """Return the command line of a small training."""
    return [sys.executable, str(ROOT / "train.py"), *SMALL, *overrides]


def image_command(model: str, *overrides: str) -> list[str]:
    """Return the command line of a small training on detector images."""
    choices = [choice for choice in SMALL if not choice.startswith("model.encoder")]
    return [sys.executable, str(ROOT / "train.py"), f"model={model}", *choices, *overrides]


def start(command: list[str], cwd: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a command in `cwd`."""
    return subprocess.Popen(
        command,
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"COLUMNS": "160"} | environment,
    )


def train(cwd: Path, *overrides: str, expect: int = 0) -> str:
    """Run a small training to its end and return what it printed."""
    return finish(start(train_command(*overrides), cwd), expect)


def command(cwd: Path, *arguments: str, expect: int = 0) -> str:
    """Run `python -m anomaly_hep ...` and return what it printed."""
    return finish(start([sys.executable, "-m", "anomaly_hep", *arguments], cwd), expect)


def finish(process: subprocess.Popen[str], expect: int) -> str:
    """Wait for a process, check its exit status, return what it printed."""
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == expect, printed
    return printed
