"""A model with an adversary by the command line: three phases, in the last it is frozen."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from anomaly_hep.formats import rodem
from tests import runs
from tests.data.files import write_toy_boosted
from tests.toys import toy_boosted

CHOICES = (
    "model=ibvae", "data.dir=.", "data.if_missing=error", "data.chunk_events=10",
    "data.batch_size=20", "data.pool_batches=4", "trainer.max_epochs=6", "threads=1",
    "trainer.enable_progress_bar=false", "trainer.log_every_n_steps=1",
    "fitted_scores.svm.events=100",
)  # fmt: skip
SCORES = ["mse", "emd", "kl", "adversary", "knn", "svm"]


def _train(directory: Path, *overrides: str, expect: int = 0, with_figures: bool = False) -> str:
    command = [sys.executable, str(runs.ROOT / "train.py"), *CHOICES, *overrides]
    return runs.train_here(command, directory, expect, with_figures=with_figures)


@pytest.fixture(scope="module")
def jets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_boosted(tmp_path_factory.mktemp("jets"))


@pytest.fixture(scope="module")
def made(jets: Path) -> Path:
    _train(jets, "run_dir=run", with_figures=True)
    return jets / "run"


def _content(run: Path, name: str) -> dict[str, torch.Tensor]:
    content: dict[str, torch.Tensor] = torch.load(run / "checkpoints" / name, weights_only=True)
    return content


def test_the_adversary_learns_in_the_second_phase_alone(made: Path) -> None:
    first, second, last = (
        _content(made, name)["state_dict"]
        for name in ("best-vae.ckpt", "best-adversary.ckpt", "best.ckpt")
    )
    of_adversary = [name for name in first if name.startswith("adversary.")]
    assert len(of_adversary) == 8
    assert not any(torch.equal(first[name], second[name]) for name in of_adversary)
    assert all(torch.equal(second[name], last[name]) for name in of_adversary)
    assert not torch.equal(second["decoder.6.weight"], last["decoder.6.weight"])


def test_the_last_optimiser_knows_nothing_of_the_adversary(made: Path) -> None:
    content = _content(made, "last.ckpt")
    (optimizer,) = content["optimizer_states"]
    held = sum(len(group["params"]) for group in optimizer["param_groups"])
    assert held == len(optimizer["state"]) == 2 * 8  # of encoder and decoder


def test_every_phase_has_its_terms_in_the_record(made: Path) -> None:
    rows = pd.read_csv(made / "metrics.csv")
    terms = {
        phase: {
            c.removeprefix("val/") for c in part.dropna(axis=1, how="all") if c.startswith("val/")
        }
        for phase, part in rows.groupby("phase")
    }
    both = {"loss", "mse", "kl", "adversary", "objective"}
    assert terms == {
        "vae": {"loss", "mse", "kl"}, "adversary": both | {"penalty"}, "frozen": both
    }  # fmt: skip
    assert np.isfinite(rows.filter(like="/").fillna(0).to_numpy()).all()


def test_all_scores_masses_and_figures_are_there(made: Path) -> None:
    table = pd.read_parquet(made / "scores.parquet")
    assert [c.removeprefix("score_") for c in table if c.startswith("score_")] == SCORES
    assert np.isfinite(table[[f"score_{name}" for name in SCORES]]).all().all()
    # massless constituents: the mass of the 20 hardest is at most that of all
    before = table["relative_mass"] * table["jet_pt"]
    assert (before <= table["mass"] * 1.001 + 0.1).all()
    assert (table["reconstructed_relative_mass"] >= 0).all()
    drawn = {path.stem for path in (made / "figures").iterdir()}
    assert {"average_jets", "masses_before_and_after", "histogram_emd", "losses"} <= drawn
    results = json.loads((made / "metrics.json").read_text())
    assert results["model"]["parameters"] == 187_749
    assert set(results["baselines"]) == {"jet_mass", "jet_pt"}


def test_trained_on_top_the_other_class_is_the_signal(jets: Path, made: Path) -> None:
    _train(jets, "run_dir=top", "data.background=top", "trainer.max_epochs=3")
    results = json.loads((jets / "top" / "metrics.json").read_text())
    assert results["data"]["background"] == "top"
    assert "QCD" in results["scores"]["mse"]
    (jets / "both").mkdir()
    for name in ("run", "top"):
        (jets / name).rename(jets / "both" / name)
    runs.command(jets, "collect", "both")
    assert (jets / "both" / "collected_trainings.png").is_file()
    for name in ("run", "top"):
        (jets / "both" / name).rename(jets / name)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data/features=jet", "the IB-VAE takes frame_px"),
        ("model.phases.vae.checkpoint=[objective,min]", "objective"),
        ("data.background=StealthB80", "is no class of data.samples.train"),
    ],
)
def test_what_cannot_be_trained_is_refused_before(
    jets: Path, made: Path, override: str, said: str
) -> None:
    printed = _train(jets, "run_dir=bad", override, expect=1)
    assert said in printed.replace("\n", " ")
    assert "Cure" in printed
    assert not (jets / "bad" / "checkpoints").exists()


def test_masses_that_are_all_equal_are_refused_before(jets: Path, tmp_path: Path) -> None:
    shutil.copytree(jets, tmp_path / "data", ignore=shutil.ignore_patterns("run", "top", "both"))
    events = toy_boosted(200)
    equal = np.full(200, 50.0, np.float32)
    changed = replace(events, events={**events.events, "jet_mass": equal})
    rodem.write(tmp_path / "data" / "train" / "QCD_000.h5", [changed])
    printed = _train(tmp_path, "data.dir=data", "run_dir=bad", "score.decorrelate=mass", expect=1)
    assert "all training background has the same jet_mass (50 GeV)" in printed.replace("\n", " ")
    assert not (tmp_path / "bad" / "checkpoints").exists()
