"""Scores fitted on embeddings, from the command line to scores of new files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import runs
from tests.data.files import write_toys

FITTED = (
    "fitted_scores.knn={_target_: anomaly_hep.models.fitted.NearestNeighbours, embedding: latent}",
    "fitted_scores.far={_target_: anomaly_hep.models.fitted.Mahalanobis, embedding: latent}",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = write_toys(tmp_path_factory.mktemp("fitted"))
    choices = [f"+{choice}" for choice in FITTED]
    command = runs.train_command("data.dir=.", "run_dir=run", *runs.TWO_CLASSES, *choices)
    runs.train_here(command, directory, with_figures=True)
    return directory / "run"


def test_fitted_scores_stand_beside_the_models_and_are_evaluated(run: Path) -> None:
    table = pd.read_parquet(run / "scores.parquet")
    assert {"score_knn", "score_far", "score_kl"} <= set(table)
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics["scores"]["knn"]["Hbb"]) >= {"auc", "efficiency_at_rejection_10"}


def test_the_fit_saw_training_background_alone(run: Path) -> None:
    with np.load(run / "checkpoints" / "fitted-knn.npz", allow_pickle=False) as kept:
        assert len(kept["values"]) == 300  # the jets of the three QCD training files


def test_new_files_get_the_same_scores(run: Path) -> None:
    directory = run.parent
    runs.command(
        directory, "score", "checkpoint=run/checkpoints/best.ckpt", "input=test/HToBB_000.root",
        "output=new.parquet",
    )  # fmt: skip
    table = pd.read_parquet(run / "scores.parquet")
    before = table[table["label"] == "Hbb"].reset_index(drop=True)
    new = pd.read_parquet(directory / "new.parquet")
    for name in ("score_knn", "score_far"):
        np.testing.assert_allclose(new[name], before[name], rtol=1e-5)


def test_an_embedding_that_the_model_lacks_is_refused_before_training(tmp_path: Path) -> None:
    directory = write_toys(tmp_path)
    choice = "+fitted_scores.knn={_target_: anomaly_hep.models.fitted.Mahalanobis, embedding: no}"
    command = runs.train_command("data.dir=.", "run_dir=run", *runs.TWO_CLASSES, choice)
    printed = runs.train_here(command, directory, expect=1)
    assert "has no embedding 'no'. Cure: choose one of latent" in printed
    assert not (directory / "run" / "checkpoints").exists()
