"""The public API: its names, and the same results as the commands."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import awkward as ak
import numpy as np
import pandas as pd
import pytest

import anomaly_hep
from anomaly_hep.api import TrainedModel
from anomaly_hep.errors import AnomalyHepError, CheckpointError, ConfigError
from anomaly_hep.evaluate.results import Results
from anomaly_hep.formats import jetclass
from tests import runs
from tests.data.files import write_toy_images, write_toys

TRAINER = {"max_epochs": 2, "enable_progress_bar": False, "log_every_n_steps": 1}
SMALL = {
    "model.encoder.layers": 1,
    "model.encoder.decoder_layers": 1,
    "data.samples.test": {"QCD": {"files": "ZJetsToNuNu_*"}, "Hbb": {"files": "HToBB_*"}},
    "data.batch_size": 16,
    "data.pool_batches": 2,
    "data.chunk_events": 30,
    "threads": 1,
}


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toys(tmp_path_factory.mktemp("toys"), train=90, test=20)


@pytest.fixture(scope="module")
def trained(toys: Path) -> Results:
    return anomaly_hep.train(
        model="clipvae",
        data={"dir": str(toys)},
        trainer=TRAINER,
        run_dir=str(toys / "by_api"),
        **SMALL,
    )


def test_the_public_names_are_these() -> None:
    assert anomaly_hep.__all__ == ["events", "load", "train"]
    public = {name for name in dir(TrainedModel) if not name.startswith("_")}
    assert public == {"default_score", "score", "score_names"}


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import anomaly_hep, sys; print({'torch', 'hydra', 'awkward', 'pandas'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_name_that_does_not_exist_is_an_error_of_python() -> None:
    with pytest.raises(AttributeError, match="'anomaly_hep' has no attribute 'trian'"):
        _ = anomaly_hep.trian


def test_training_gives_the_files_of_the_command(toys: Path, trained: Results) -> None:
    runs.train_here(
        runs.train_command("model=clipvae", "data.dir=.", *runs.TWO_CLASSES, "run_dir=by_command"),
        toys,
    )
    one, other = (pd.read_parquet(toys / d / "scores.parquet") for d in ("by_api", "by_command"))
    scores = [column for column in one if column.startswith("score_")]
    assert scores == [f"score_{name}" for name in anomaly_hep.load(toys / "by_api").score_names]
    pd.testing.assert_frame_equal(one[["label", *scores]], other[["label", *scores]])
    assert isinstance(trained, Results)
    assert trained.default_score == "kl"
    assert trained.signals == ["Hbb"]


def test_a_finished_run_is_read_and_not_made_again(toys: Path, trained: Results) -> None:
    before = (toys / "by_api" / "metrics.json").stat().st_mtime_ns
    again = partial(
        anomaly_hep.train, "clipvae", {"dir": str(toys)}, trainer=TRAINER,
        run_dir=str(toys / "by_api"), **SMALL,
    )  # fmt: skip
    assert again().scores == trained.scores
    # a thread, which may not handle signals
    with ThreadPoolExecutor() as threads:
        assert threads.submit(again).result().scores == trained.scores
    assert (toys / "by_api" / "metrics.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "call",
    [
        lambda: anomaly_hep.events(""),
        lambda: anomaly_hep.events("/data/**.root"),
        lambda: anomaly_hep.events("~nobody-of-this-name/a.root"),
        lambda: anomaly_hep.load("~nobody-of-this-name/run"),
    ],
)
def test_paths_that_are_none_are_refused_in_one_line(call: Callable[[], object]) -> None:
    with pytest.raises(AnomalyHepError, match="Cure: "):
        call()


@pytest.mark.parametrize("place", ["by_api", "by_api/checkpoints/best.ckpt"])
def test_scoring_gives_the_table_of_the_command(toys: Path, trained: Results, place: str) -> None:
    table = anomaly_hep.load(toys / place).score(toys / "test" / "HTo[BC]*.root")
    checkpoint = f"checkpoint={toys}/by_api/checkpoints/best.ckpt"
    files = [f"input='{toys}/test/HTo[BC]*.root'", "output=s.parquet", "overwrite=true"]
    runs.command(toys, "score", checkpoint, *files)
    pd.testing.assert_frame_equal(table, pd.read_parquet(toys / "s.parquet"))
    assert len(table) == 40
    assert table.attrs == {"rejected": 0, "cut": 0, "impossible": 0}


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        anomaly_hep.load(tmp_path)


def test_events_are_those_of_the_files(toys: Path) -> None:
    found = anomaly_hep.events([toys / "test" / "HToBB_000.root", str(toys / "test" / "HToC*")])
    assert len(found) == 40
    one = jetclass.read(toys / "test" / "HToCC_000.root", 3, 4, ["part_px", "jet_pt"])
    assert found["jet_pt"][23] == one.events["jet_pt"][0]
    np.testing.assert_array_equal(found["part_px"][23], one.particles["part_px"])
    assert ak.all(ak.num(found["part_px"]) == found["jet_nparticles"])


def test_events_of_images_are_their_pixels(tmp_path: Path) -> None:
    write_toy_images(tmp_path, train=2, test=3)
    found = anomaly_hep.events(tmp_path / "test" / "qcd*.npz")
    assert len(found) == 3
    of_the_tracker = ak.sum(found["hit_channel"] == 0, axis=1)
    assert ak.all(of_the_tracker == found["hits"])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"model.betta": 1}, r"model.betta does not exist. Did you mean beta\?"),
        ({"sead": 1}, r"sead does not exist. Did you mean seed\?"),
        ({"trainer": {"max_epoch": 1}}, r"Did you mean max_epochs\?"),
        ({"logger": {"tag": 1}}, r"logger.tag does not exist"),
        ({"data.batch_size": "abc"}, r"data.batch_size=abc. Cure: it should be a valid integer"),
        ({"model/encoder": "cnn"}, r"model/encoder=cnn does not exist. Cure: one of deepset"),
    ],
)
def test_wrong_keys_and_values_are_refused_as_on_the_command_line(
    overrides: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        anomaly_hep.train("setvae", **overrides)
