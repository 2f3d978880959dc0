"""Event weights from the files to losses, metrics and scores.parquet, by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import awkward as ak
import numpy as np
import pandas as pd
import pytest
import uproot

from anomaly_hep.simulate.jetclass import PREFIXES
from tests import runs
from tests.toys import toy_jets


def write(path: Path, jets: int, label: str, seed: int, weights: np.ndarray) -> None:
    """Jets with a branch of weights that the format does not know."""
    events = toy_jets(jets, label=label, seed=seed, mean_particles=8)
    columns = {n: ak.unflatten(v, events.lengths) for n, v in events.particles.items()}
    columns |= {**events.events, "w": weights}
    path.parent.mkdir(parents=True, exist_ok=True)
    with uproot.recreate(path) as file:
        types = {
            n: c.type.content if isinstance(c, ak.Array) else c.dtype for n, c in columns.items()
        }
        file.mktree("tree", types)
        file["tree"].extend(columns)


def data(directory: Path, weights: np.ndarray, number: int = 60) -> Path:
    for seed, (split, label) in enumerate(
        (("train", "QCD"), ("val", "QCD"), ("test", "QCD"), ("test", "Hbb"))
    ):
        path = directory / split / f"{PREFIXES[label]}_000.root"
        write(path, number, label, seed, weights)
    return directory


def train(directory: Path, name: str, *overrides: str, expect: int = 0) -> str:
    command = runs.train_command(
        "data.dir=.", f"run_dir={name}", "trainer.max_epochs=1", *runs.TWO_CLASSES, *overrides
    )
    return runs.train_here(command, directory, expect)


def validation(run: Path) -> pd.Series:
    return pd.read_csv(run / "metrics.csv").dropna(subset="val/loss")["val/loss"]


def test_weights_enter_losses_metrics_and_the_table(tmp_path: Path) -> None:
    weights = np.where(np.arange(60) % 3 == 0, 3.0, 0.5)
    directory = data(tmp_path, weights)
    train(directory, "weighted", "data.weight=w")
    train(directory, "plain")
    table = pd.read_parquet(directory / "weighted" / "scores.parquet")
    np.testing.assert_array_equal(table["weight"], np.tile(weights, 2))
    assert (pd.read_parquet(directory / "plain" / "scores.parquet")["weight"] == 1).all()
    assert not np.allclose(validation(directory / "weighted"), validation(directory / "plain"))
    metrics = [
        json.loads((directory / n / "metrics.json").read_text()) for n in ("weighted", "plain")
    ]
    assert metrics[0]["baselines"]["multiplicity"] != metrics[1]["baselines"]["multiplicity"]


def test_weights_of_one_size_change_nothing(tmp_path: Path) -> None:
    directory = data(tmp_path, np.full(60, 4.0))
    train(directory, "weighted", "data.weight=w")
    train(directory, "plain")
    np.testing.assert_allclose(
        validation(directory / "weighted"), validation(directory / "plain"), rtol=1e-6
    )


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_bad_weights_are_refused_before_the_training(tmp_path: Path, split: str) -> None:
    directory = data(tmp_path, np.ones(60))
    path = directory / split / f"{PREFIXES['QCD']}_000.root"
    write(path, 60, "QCD", 9, np.where(np.arange(60) == 7, np.inf, 1.0))
    printed = train(directory, "refused", "data.weight=w", expect=1)
    assert "branch 'w', entry 7: the value is inf" in " ".join(printed.split())
    assert not (directory / "refused" / "checkpoints").exists()


def test_a_weight_that_the_files_lack_is_refused_before_the_training(tmp_path: Path) -> None:
    directory = data(tmp_path, np.ones(60))
    printed = train(directory, "missing", "data.weight=weigth", expect=1)
    assert "branch 'weigth': the branch is missing" in " ".join(printed.split())
