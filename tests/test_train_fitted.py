"""Scores fitted on embeddings, from the command line to scores of new files."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from anomaly_hep import catalogue
from anomaly_hep.arguments import split
from anomaly_hep.checking import settings_of
from anomaly_hep.configuration import compose
from anomaly_hep.models import fitted
from tests import runs
from tests.data.files import write_toy_images, write_toys

ROOT = Path(__file__).resolve().parents[1]

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


def test_every_fitted_score_of_particles_is_trained_evaluated_and_the_same_for_new_files(
    run: Path,
) -> None:
    directory = run.parent
    command = runs.train_command(
        "data.dir=.", "run_dir=all", *runs.TWO_CLASSES, "start_from=run/checkpoints/best.ckpt",
        "fitted_scores=all", "fitted_scores.svm.nu=0.1",
        "fitted_scores.last={_target_: anomaly_hep.models.fitted.Rank, scores: [rank, knn, ecod], "
        "how: product}",
    )  # fmt: skip
    runs.train_here(command, directory)
    names = list(yaml.safe_load((ROOT / "conf" / "fitted_scores" / "all.yaml").read_text()))
    _assert_reproduced(directory, "all", "test/HToBB_000.root", "Hbb", [*names, "last"])


def test_fitted_scores_of_images_are_those_of_new_files_too(tmp_path: Path) -> None:
    directory = write_toy_images(tmp_path)
    command = runs.image_command(
        "codae", "data.dir=.", "run_dir=run", "data.batch_size=4", "trainer.max_epochs=1",
        "fitted_scores=[event,combined]",
    )  # fmt: skip
    runs.train_here(command, directory)
    names = ["flow", "svdd", "iforest", "ecod", "rank", "average", "product"]
    precision = "precision=bf16-mixed"  # that of the training
    _assert_reproduced(directory, "run", "test/svj_2100_0_7.npz", "SVJ2100", names, precision)


def _assert_reproduced(
    directory: Path, run: str, file: str, label: str, names: list[str], *choices: str
) -> None:
    """The run has finite scores of these names, and the command `score` gives the same again."""
    runs.command(
        directory, "score", f"checkpoint={run}/checkpoints/best.ckpt", f"input={file}",
        f"output={run}.parquet", *choices,
    )  # fmt: skip
    table = pd.read_parquet(directory / run / "scores.parquet")
    before = table[table["label"] == label].reset_index(drop=True)
    new = pd.read_parquet(directory / f"{run}.parquet")
    metrics = json.loads((directory / run / "metrics.json").read_text())
    for name in names:
        assert name in metrics["scores"]
        assert np.isfinite(table[f"score_{name}"]).all()
        assert table[f"score_{name}"].nunique() > 1
        np.testing.assert_allclose(new[f"score_{name}"], before[f"score_{name}"], rtol=2e-5)


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ("[kl]", "fitted_scores.r combines kl. Cure: name two"),
        ("[kl,no]", "there is no score 'no' of"),
        ("[kl,r]", "fitted_scores.r combines itself"),
    ],
)
def test_ranks_that_cannot_be_are_refused_before_training(
    tmp_path: Path, scores: str, said: str
) -> None:
    choice = f"fitted_scores.r={{_target_: anomaly_hep.models.fitted.Rank, scores: {scores}}}"
    command = runs.train_command("data.dir=.", "run_dir=run", *runs.TWO_CLASSES, choice)
    printed = runs.train_here(command, tmp_path, expect=1)
    assert printed.startswith("ConfigError: ")
    assert said in printed
    assert len(printed.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_every_fitted_score_is_listed_with_what_chooses_it() -> None:
    listed = [entry for entry in catalogue.scores() if entry.kind == "fitted score"]
    assert {entry.name for entry in listed} == {*fitted.__all__} - {"FittedScore"}
    for entry in listed:
        assert entry.summary.endswith(".")
        (choice,) = shlex.split(entry.choice)
        chosen = compose("train", split([choice])[1])
        target = chosen["fitted_scores"]["NAME"]["_target_"]
        assert target == f"anomaly_hep.models.fitted.{entry.name}"
        assert settings_of("train", chosen)
