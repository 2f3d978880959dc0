"""A model of two stages by the command line: labels in the first alone, then frozen to the bit."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from anomaly_hep.formats import lhco
from anomaly_hep.types import Events
from tests import runs
from tests.data.files import write_toy_collisions
from tests.toys import toy_collisions

CHOICES = (
    "model=antelope", "data.dir=.", "data.if_missing=error", "data.batch_size=16",
    "data.chunk_events=10", "data.pool_batches=4", "trainer.max_epochs=6",
    "trainer.enable_progress_bar=false", "trainer.log_every_n_steps=1", "threads=1",
)  # fmt: skip


def _train(directory: Path, *overrides: str, expect: int = 0) -> str:
    command = [sys.executable, str(runs.ROOT / "train.py"), *CHOICES, *overrides]
    return runs.train_here(command, directory, expect)


@pytest.fixture(scope="module")
def collisions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_collisions(tmp_path_factory.mktemp("collisions"))


@pytest.fixture(scope="module")
def made(collisions: Path) -> tuple[Path, str]:
    printed = _train(collisions, "run_dir=run")
    return collisions / "run", printed


def _weights(run: Path, name: str) -> dict[str, torch.Tensor]:
    content = torch.load(run / "checkpoints" / name, weights_only=True)
    state: dict[str, torch.Tensor] = content["state_dict"]
    return state


def test_the_first_stage_stays_bit_by_bit_what_the_first_phase_made(
    made: tuple[Path, str],
) -> None:
    first, last = (_weights(made[0], name) for name in ("best-pfn.ckpt", "best.ckpt"))
    frozen = [n for n in first if n.startswith(("encoder.embedding", "classifier"))]
    assert len(frozen) == 2 + 2 * 3 + 2 * 4
    assert all(torch.equal(first[name], last[name]) for name in frozen)
    assert not torch.equal(first["decoder.0.weight"], last["decoder.0.weight"])
    # the range of the features in the events of the first phase, QCD and two-prong
    assert (last["encoder.embedding.scaling.most"] > 3).any()


def test_results_say_that_a_part_of_it_has_seen_labels(made: tuple[Path, str]) -> None:
    run, printed = made
    model = json.loads((run / "metrics.json").read_text())["model"]
    assert model["labels"] == {"pfn": ["two_prong"], "vae": []}
    assert model["parameters"] == 38_051
    assert "SEMI-SUPERVISED" in printed
    assert "labels of 2-prong" in printed.replace("\n", " ")
    ledger = json.loads((run / "ledger.json").read_text())["streams"]
    # half of 72 QCD and all of 36 two-prong, then the other half of QCD
    assert ledger["train"]["events"] == 36 + 36
    assert ledger["train, phase 2"]["events"] == 36
    table = pd.read_parquet(run / "scores.parquet")
    assert table["mass"].isna().all()  # nothing beside the events gives it
    assert set(table["label"]) == {"QCD", "two_prong"}


def test_a_file_without_truth_is_scored(collisions: Path, made: tuple[Path, str]) -> None:
    events = toy_collisions(12, seed=5)
    lhco.write(collisions / "box.h5", [Events(events.lengths, events.particles, {})])
    runs.command(
        collisions, "score", "checkpoint=run/checkpoints/best.ckpt", "input=box.h5",
        "output=box.parquet",
    )  # fmt: skip
    table = pd.read_parquet(collisions / "box.parquet")
    assert len(table) == 12
    assert "truth" not in table
    assert np.isfinite(table[["score_total", "score_pfn"]]).all().all()


def test_the_encoder_of_another_run_can_be_the_first_stage(
    collisions: Path, made: tuple[Path, str]
) -> None:
    printed = _train(
        collisions, "run_dir=again", "model.embedding=run/checkpoints/best.ckpt",
        "trainer.max_epochs=2",
    )  # fmt: skip
    model = json.loads((collisions / "again" / "metrics.json").read_text())["model"]
    # the labels that the first run saw are in its encoder
    assert model["labels"] == {"embedding: pfn": ["two_prong"], "embedding: vae": [], "vae": []}
    assert "SEMI-SUPERVISED" in printed
    table = pd.read_parquet(collisions / "again" / "scores.parquet")
    assert "score_pfn" not in table


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.signal=no_prong", "no_prong, which is no class"),
        ("model.signal=three_prong", "no file three_prong_"),
        ("model.phases.vae.background=[1,0.5]", "holds no event"),
        ("model.embedding=run/metrics.csv", "is no checkpoint of this package"),
    ],
)
def test_what_cannot_be_trained_is_refused_before(
    collisions: Path, made: tuple[Path, str], override: str, said: str
) -> None:
    printed = _train(collisions, "run_dir=bad", override, expect=1)
    assert said in printed.replace("\n", " ")
    assert "Cure" in printed
    assert not (collisions / "bad" / "checkpoints").exists()
