"""A whole run by the command line, and what outsiders rely on in its directory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from anomaly_hep.evaluate.loading import load_model
from anomaly_hep.formats import jetclass
from tests import runs
from tests.data.files import write_toys
from tests.toys import CLASSES, toy_jets


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toys(tmp_path_factory.mktemp("toys"))


@pytest.fixture(scope="module")
def run(toys: Path) -> Path:
    printed = runs.train(toys, "data.dir=.", "run_dir=run", "logger=wandb", "logger.mode=offline")
    assert "H -> bb" in printed
    return toys / "run"


def test_the_run_directory_is_what_the_house_promises(run: Path) -> None:
    for name in (
        "config.yaml", "provenance.json", "ledger.json", "metrics.csv", "metrics.json",
        "scores.parquet", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "report.html",
        "done.json", "figures/roc.png", "figures/losses.png", "figures/particles.png",
    ):  # fmt: skip
        assert (run / name).stat().st_size > 0, name
    assert not (run / "error.txt").exists()


def test_metrics_json_has_the_layout_that_outsiders_rely_on(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["data"]["origin"] == "user"
    assert metrics["data"]["background"] == "QCD"
    assert metrics["data"]["events"] == dict.fromkeys(CLASSES, 60)
    assert metrics["model"]["name"] == "clipvae"
    assert metrics["model"]["parameters"] > metrics["model"]["encoder_parameters"] > 0
    assert metrics["model"]["flops_per_event"] > 0
    assert metrics["default_score"] == "kl"
    for name in ("train_events_per_second", "score_events_per_second"):
        assert json.loads((run / "speed.json").read_text())[name] > 0
    assert set(metrics["scores"]) == {"chamfer", "kl", "total", "chamfer_sum"}
    for signals in [*metrics["scores"].values(), *metrics["baselines"].values()]:
        assert set(signals) == set(CLASSES) - {"QCD"}
        for values in signals.values():
            value, low, high = values["auc"]
            assert 0 <= low <= value <= high <= 1
            assert "efficiency_at_rejection_100" in values


def test_scores_have_one_row_per_event_in_file_order(run: Path) -> None:
    table = pd.read_parquet(run / "scores.parquet")
    assert len(table) == 600
    assert table["event_id"].is_unique
    assert table.groupby("label")["entry"].apply(list).map(lambda e: e == list(range(60))).all()
    truth = toy_jets(60, label="Hbb", seed=5, mean_particles=12.0)
    ours = table[table["label"] == "Hbb"]
    np.testing.assert_array_equal(ours["jet_sdmass"], truth.events["jet_sdmass"])


def test_the_ledger_says_which_files_and_what_happened_to_their_events(run: Path) -> None:
    ledger = json.loads((run / "ledger.json").read_text())
    assert {Path(f["path"]).parent.name for f in ledger["files"]} == {"train", "val", "test"}
    assert all(len(f["sha256"]) == 64 for f in ledger["files"])
    assert ledger["streams"]["train"]["events"] == 300
    assert ledger["streams"]["test"]["events"] == 600
    assert ledger["streams"]["train"]["values_clipped"]["pt_rel"] > 0


def test_no_label_is_read_in_training(run: Path) -> None:
    _, reading, _ = load_model(run / "checkpoints" / "best.ckpt")
    assert not [name for name in reading.columns if name.startswith("label")]


def test_offline_wandb_has_losses_efficiencies_figures_and_the_checkpoint(run: Path) -> None:
    (directory,) = (run / "wandb").glob("offline-run-*")
    (record,) = directory.glob("run-*.wandb")
    content = record.read_bytes()
    for text in (b"train/loss", b"efficiencies", b"figures/roc", b"best.ckpt"):
        assert text in content, text


def test_the_same_seed_gives_the_same_metrics(toys: Path, run: Path) -> None:
    runs.train_here(runs.train_command("data.dir=.", "run_dir=again"), toys)
    one, other = ((p / "metrics.json").read_bytes() for p in (run, toys / "again"))
    assert one == other
    first, second = (torch.load(p / "checkpoints/last.ckpt") for p in (run, toys / "again"))
    for name, values in first["state_dict"].items():
        assert torch.equal(values, second["state_dict"][name])


def test_new_files_are_scored_without_labels_in_their_order(toys: Path, run: Path) -> None:
    for i, jets in enumerate((30, 1, 0)):
        events = toy_jets(max(jets, 1), seed=77 + i, mean_particles=9.0).take(np.arange(jets))
        jetclass.write(toys / f"new_{i}.root", [events])
    printed = runs.command(
        toys,
        "score",
        "checkpoint=run/checkpoints/best.ckpt",
        "input='new_*.root'",
        "output=new.parquet",
    )
    assert "31 events of 3 files" in printed
    table = pd.read_parquet(toys / "new.parquet")
    assert [f"{Path(f).stem}:{e}" for f, e in zip(table["file"], table["entry"], strict=True)] == [
        *(f"new_0:{i}" for i in range(30)),
        "new_1:0",
    ]
    model, reading, _ = load_model(run / "checkpoints" / "best.ckpt")
    with torch.inference_mode():
        for row in range(3):
            one = jetclass.read(toys / "new_0.root", row, row + 1, reading.columns)
            alone = model.scores(reading.batch(one, np.arange(1), "one")[0])
            for name, value in alone.items():
                assert table[f"score_{name}"][row] == pytest.approx(float(value[0]), rel=1e-4)
    only = ("checkpoint=run/checkpoints/best.ckpt", "input=new_2.root", "output=none.parquet")
    assert "0 events of 1 files" in runs.command(toys, "score", *only)
    assert len(pd.read_parquet(toys / "none.parquet")) == 0


def test_parquet_files_are_scored_too(toys: Path, run: Path, shared_data: Path) -> None:
    jets = shared_data / "jetclass2" / "JetClassII_example.parquet"
    runs.command(
        toys,
        "score",
        "checkpoint=run/checkpoints/best.ckpt",
        f"input={jets}",
        "output=second.parquet",
    )
    table = pd.read_parquet(toys / "second.parquet")
    assert table["entry"].tolist() == list(range(100))
    assert np.isfinite(table["score_kl"]).all()


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "does not exist"), (b"\x80junk", "is damaged"), (b"", "is damaged")],
)
def test_what_is_no_checkpoint_is_refused(
    toys: Path, tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "some.ckpt"
    if content is not None:
        path.write_bytes(content)
    printed = runs.command(
        toys, "score", f"checkpoint={path}", "input=x.root", "output=y.parquet", expect=1
    )
    assert said in " ".join(printed.split())


def test_a_run_can_be_evaluated_again(toys: Path, run: Path) -> None:
    before = (run / "metrics.json").read_bytes()
    (run / "report.html").unlink()
    runs.command(toys, "evaluate", "run_dir=run")
    assert (run / "metrics.json").read_bytes() == before
    assert (run / "report.html").exists()


def test_a_loss_that_is_not_finite_stops_the_run_and_never_finishes_it(toys: Path) -> None:
    printed = runs.train(
        toys, "data.dir=.", "run_dir=diverged", "model.phases.train.optimizer.lr=1e30", expect=1
    )
    assert "is not finite at step" in printed
    assert "batch" in printed
    assert not (toys / "diverged" / "done.json").exists()
    assert "NonFiniteError" in (toys / "diverged" / "error.txt").read_text()


def test_bad_files_stop_a_run_or_are_skipped_and_counted(tmp_path: Path) -> None:
    toys = write_toys(tmp_path)
    bad = toys / "train" / "ZJetsToNuNu_001.root"
    bad.write_bytes(bad.read_bytes()[:5000])
    refused = runs.train_here(runs.train_command("data.dir=."), toys, expect=1)
    assert "ZJetsToNuNu_001.root" in refused
    skip = runs.train_command("data.dir=.", "data.on_bad_file=skip", *runs.TWO_CLASSES)
    few = runs.train_here(skip, toys, expect=1)
    assert "TooManyBadFilesError" in few
    runs.train_here([*skip, "data.max_bad_fraction=0.5", "run_dir=skipped"], toys)
    ledger = json.loads((toys / "skipped" / "ledger.json").read_text())
    assert [Path(entry["path"]).name for entry in ledger["refused"]] == [bad.name]
    assert ledger["streams"]["train"]["events"] == 200


def test_missing_data_are_refused_when_they_may_not_be_simulated(tmp_path: Path) -> None:
    command = runs.train_command("data.dir=nothing", "data.if_missing=error")
    printed = runs.train_here(command, tmp_path, expect=1)
    assert "MissingDataError" in printed
    assert "simulate" in printed


def test_two_ranks_train_on_all_events_between_them(toys: Path) -> None:
    runs.train(
        toys, "data.dir=.", "run_dir=ddp", "trainer.devices=2", "+trainer.strategy=ddp",
        "trainer.check_val_every_n_epoch=1", *runs.TWO_CLASSES,
    )  # fmt: skip
    metrics = json.loads((toys / "ddp" / "metrics.json").read_text())
    assert metrics["data"]["events"]["QCD"] == 60
    config = yaml.safe_load((toys / "ddp" / "config.yaml").read_text())
    assert config["trainer"]["devices"] == 2
    steps = pd.read_csv(toys / "ddp" / "metrics.csv").dropna(subset="train/loss")["step"]
    # 300 events, two ranks, batches of at most 16: ten steps an epoch, two epochs
    assert steps.max() == 19
