"""Runs with signal in their training by the command line: stamped, or refused before any work."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests import runs
from tests.data.files import write_toy_images

CHOICES = ("data.dir=.", "data.batch_size=16", "trainer.max_epochs=1", "trainer.milestones=null")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_images(tmp_path_factory.mktemp("images"), signal=8)


def _run(images: Path, model: str, *overrides: str, expect: int = 0) -> str:
    command = runs.image_command(model, *CHOICES, f"run_dir={model}", *overrides)
    return runs.train_here(command, images, expect, with_figures=model == "cct")


def test_a_supervised_run_is_stamped_and_shows_no_reconstruction(images: Path) -> None:
    printed = _run(images, "cct")
    assert "SUPERVISED" in printed
    metrics = json.loads((images / "cct" / "metrics.json").read_text())
    assert "signal_in_training" not in metrics["data"]
    assert metrics["model"]["supervised"] is True
    assert metrics["model"]["labels"] == {"train": ["*"]}
    assert metrics["model"]["parameters"] == 406_084
    assert set(metrics["scores"]) == {"signal_probability"}
    assert not (images / "cct" / "reconstructions.npz").exists()
    ledger = json.loads((images / "cct" / "ledger.json").read_text())
    # three quarters of 40 QCD and of 9 times 8 signals
    assert ledger["streams"]["train"]["events"] == 30 + 9 * 6
    assert ledger["streams"]["val"]["events"] == 10 + 9 * 2
    # scoring needs no label
    content = torch.load(images / "cct" / "checkpoints" / "best.ckpt", weights_only=True)
    assert content["hyper_parameters"]["phases"]["train"]["labels"] == ["*"]
    runs.command(
        images, "score", "checkpoint=cct/checkpoints/best.ckpt", "input=test/svj_2100_0_7.npz",
        "output=svj.parquet",
    )  # fmt: skip
    assert pd.read_parquet(images / "svj.parquet")["score_signal_probability"].between(0, 1).all()


@pytest.fixture(scope="module")
def weak(images: Path) -> Path:
    _run(images, "dirichletvae", "data.signal_in_training=0.1")
    return images / "dirichletvae"


def test_a_weakly_supervised_run_says_how_much_signal_it_saw(weak: Path) -> None:
    metrics = json.loads((weak / "metrics.json").read_text())
    assert metrics["data"]["signal_in_training"] == 0.1
    assert "supervised" not in metrics["model"]
    assert {"latent_1", "latent_2", "latent_3"} <= set(metrics["scores"])
    ledger = json.loads((weak / "ledger.json").read_text())
    assert ledger["streams"]["train"]["events"] == 30 + 3 + 3
    assert ledger["streams"]["val"]["events"] == 10


def test_a_training_may_start_from_another_and_test_elsewhere(images: Path, weak: Path) -> None:
    start = f"start_from={weak}/checkpoints/best.ckpt"
    printed = _run(images, "dirichletvae", "run_dir=started", "data.test_dir=.", start)
    assert "starting with the weights of" in printed
    assert (images / "started" / "done.json").exists()


def test_a_supervised_model_without_labels_is_refused_before_any_file_is_made(
    tmp_path: Path,
) -> None:
    printed = _run(tmp_path, "cct", "model.phases.train.labels=[]", expect=1)
    assert "CCT is supervised, but model.phases.train.labels is empty" in printed
    assert {path.name for path in tmp_path.iterdir()} <= {"cct", "outputs"}
