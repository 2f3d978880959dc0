"""Whole runs in every precision, compiled, and on devices that are not there."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from tests import runs
from tests.data.files import write_toys

ENCODERS = ("deepset", "transformer", "trigger")
PRECISIONS = ("32-true", "bf16-mixed")
# two layers in each half, as few as there are kinds of
ONE_EPOCH = ("trainer.max_epochs=1", "trainer.check_val_every_n_epoch=1", "data.dir=.")


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toys(tmp_path_factory.mktemp("toys"))


@pytest.mark.parametrize(("encoder", "precision"), list(product(ENCODERS, PRECISIONS)))
def test_every_encoder_trains_scores_and_reports_in_every_precision(
    toys: Path, encoder: str, precision: str
) -> None:
    name = f"{encoder}-{precision}"
    command = [c for c in runs.train_command(*runs.TWO_CLASSES, *ONE_EPOCH)
               if encoder != "trigger" or "encoder.layers" not in c]  # fmt: skip
    choices = (f"model/encoder={encoder}", f"trainer.precision={precision}", f"run_dir={name}")
    runs.train_here([*command, *choices], toys)
    scores = pd.read_parquet(toys / name / "scores.parquet")
    assert len(scores) == 120
    assert scores.filter(like="score_").notna().all(axis=None)
    assert json.loads((toys / name / "metrics.json").read_text())["default_score"] == "kl"
    # another precision in this process scores the same checkpoint
    other = PRECISIONS[precision == "32-true"]
    runs.command(
        toys, "score", f"checkpoint={name}/checkpoints/best.ckpt", "input=test/ZJets*.root",
        f"output={name}/again.parquet", f"precision={other}",
    )  # fmt: skip
    again = pd.read_parquet(toys / name / "again.parquet")["score_kl"].to_numpy()
    first = scores[scores["label"] == "QCD"]["score_kl"].to_numpy()
    assert abs(again - first).max() < 0.05 * first.std() + 0.02 * abs(first).max()


@pytest.mark.parametrize("accelerator", ["gpu", "tpu", "none"])
def test_an_accelerator_that_is_not_there_ends_in_one_line_before_anything_is_begun(
    toys: Path, accelerator: str
) -> None:
    printed = runs.train_here(
        runs.train_command("data.dir=.", "run_dir=nothing", f"trainer.accelerator={accelerator}"),
        toys,
        expect=1,
    )
    assert printed.count("\n") == 1
    assert f"finds no accelerator '{accelerator}'" in printed
    assert "Cure: accelerator=auto" in printed
    assert not (toys / "nothing").exists()
