"""A whole run on detector images by the command line, killed and resumed, and its curve."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests import runs
from tests.data.files import write_toy_images

# 30 images to train in batches of 4, for 2 epochs: 16 steps; the last 10 images validate
CHOICES = (
    "data.dir=.",
    "data.batch_size=4",
    "trainer.milestones=[20,40]",
    "model.score_draws=2",
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def run(images: Path) -> Path:
    command = runs.image_command("codvae", *CHOICES, "run_dir=run")
    printed = runs.train_here(command, images, with_figures=True)
    assert "SUEP" in printed
    return images / "run"


def test_the_run_directory_is_complete(run: Path) -> None:
    for name in (
        "config.yaml", "ledger.json", "metrics.csv", "metrics.json", "scores.parquet",
        "checkpoints/best.ckpt", "report.html", "done.json",
    ):  # fmt: skip
        assert (run / name).stat().st_size > 0, name


def test_metrics_have_means_and_the_quality_of_reconstructions(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["data"]["origin"] == "user"
    assert metrics["data"]["events"] == dict.fromkeys(metrics["data"]["events"], 8)
    assert len(metrics["data"]["events"]) == 10
    assert metrics["model"]["parameters"] == 1_653_124
    assert set(metrics["means"]["sse"]) == {"SUEP", "SVJ"}
    for signals in [*metrics["scores"].values(), *metrics["baselines"].values()]:
        for values in signals.values():
            value, low, high = values["fpr_at_tpr_40"]
            assert 0 <= low <= value <= high <= 1
    # more hits in every class than in QCD, by construction
    value = metrics["means"]["hits"]["SVJ"]["auc"][0]
    assert value == pytest.approx(1.0)
    assert -1 <= metrics["reconstruction"]["QCD"]["ssim"]["mean"][0] <= 1


def test_scores_have_masses_and_latent_vectors(run: Path) -> None:
    table = pd.read_parquet(run / "scores.parquet")
    assert set(table.loc[table["label"] == "SVJ2100", "mass"]) == {2100.0}
    assert {"score_latent_1", "score_latent_2", "score_kl_forward"} <= set(table)
    assert "reconstruction_mse" in table
    # a score's values stand in its own column alone
    assert not {name for name in table if name.startswith("latent")}
    assert table["event_id"].is_unique


def test_validation_is_the_end_of_the_training_images(run: Path) -> None:
    ledger = json.loads((run / "ledger.json").read_text())
    assert ledger["streams"]["train"]["events"] == 30
    assert ledger["streams"]["val"]["events"] == 10


def test_a_killed_run_ends_with_the_same_bits(images: Path, run: Path) -> None:
    command = runs.image_command(
        "codvae", *CHOICES, "run_dir=killed", "trainer.checkpoint_every_seconds=0"
    )
    process = runs.start(command, images)
    last = images / "killed" / "checkpoints" / "last.ckpt"
    begin = time.monotonic()
    # in the middle of the second epoch: augmentation, latent noise and order go on from there
    while not last.exists() or torch.load(last, weights_only=True)["global_step"] < 10:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() - begin < 120
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert "going on from" in runs.finish(runs.start(command, images), 0)
    states = [
        torch.load(images / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("run", "killed")
    ]
    for name, values in states[0].items():
        assert torch.equal(values, states[1][name]), name


def test_the_curve_of_a_run(images: Path, run: Path) -> None:
    printed = runs.command(images, "curve", "run_dir=run")
    curve = pd.read_csv(run / "curve.csv")
    # the first steps that reach the marks, of at most four images each
    first, second = sorted(set(curve["events_seen"]))
    assert 20 <= first < 24
    assert 40 <= second < 44
    assert f"{first} events seen: sse SUEP" in printed
    assert set(curve["group"]) == {"SUEP", "SVJ"}
    assert {"sse", "hits", "kl_reverse"} <= set(curve["score"])
    assert (curve["auc_low"] <= curve["auc"]).all()
    before = (run / "curve.csv").read_bytes()
    runs.command(images, "curve", "run_dir=run")
    assert (run / "curve.csv").read_bytes() == before


def test_weights_of_another_network_are_refused(images: Path, run: Path) -> None:
    command = runs.image_command("codae", "data.dir=.", "run_dir=other",
                                 "start_from=run/checkpoints/best.ckpt")  # fmt: skip
    printed = runs.train_here(command, images, expect=1)
    assert "holds the weights of another network" in printed


def test_new_images_are_scored_without_their_labels(images: Path, run: Path) -> None:
    runs.command(
        images, "score", "checkpoint=run/checkpoints/best.ckpt", "input=test/svj_2100_0_7.npz",
        "output=new.parquet",
    )  # fmt: skip
    table = pd.read_parquet(images / "new.parquet")
    assert len(table) == 8
    assert {"n_tracks", "hits", "score_sse"} <= set(table)
    assert not {"label", "mass"} & set(table)
