"""An experiment's own paper, data set and model: six files and an installation, no other change.

The model learns in two phases, the events have weights, and a score is fitted on its embedding.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import runs

FORMAT = '''
"""Showers as lines of text: weight; then share of pt,deta,dphi of each particle."""
import numpy as np
from anomaly_hep.formats.layout import Column, Layout, alike
from anomaly_hep.types import Events, FileDescription

FORMAT, SIGN, EVENT_NOUN, SUFFIXES = "shower text", "its first line", "showers", (".txt",)
PUBLISHED = frozenset()
F = np.dtype(np.float32)
COLUMNS = ("share", "eta", "phi")
LAYOUT = Layout(
    particles=alike(F, "", *COLUMNS),
    events={"size": Column(F, least=1), "shower_weight": Column(F, least=0)},
)

def recognises(path, head):
    return head.startswith(b"# showers")

def describe(path):
    lines = path.read_text().splitlines()[1:]
    return FileDescription(path=path, format=FORMAT, entries=len(lines), columns=LAYOUT.names)

def read(path, start, stop, columns):
    events = [line.split(";") for line in path.read_text().splitlines()[1:][start:stop]]
    rows = [[float(x) for x in p.split(",")] for _, *particles in events for p in particles]
    lengths = np.array([len(e) - 1 for e in events], np.int64)
    particles = dict(zip(COLUMNS, np.array(rows, np.float32).reshape(-1, 3).T))
    of_events = {
        "size": lengths.astype(np.float32),
        "shower_weight": np.array([float(e[0]) for e in events], np.float32),
    }
    return Events(
        lengths,
        {n: np.ascontiguousarray(c) for n, c in particles.items() if n in columns},
        {n: c for n, c in of_events.items() if n in columns},
    )
'''

MODEL = '''
"""An embedding of showers, and then a head that predicts it from their size alone."""
from typing import ClassVar
import torch
from torch import nn
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.layers.layouts import segments_of
from anomaly_hep.models.outputs import EventOutputs, ScoreDescription, weighted_mean

class TwoStage(AnomalyModel):
    """First the embedding learns to give the mean features back, then a head learns it."""

    title: ClassVar[str] = "Two-stage"
    default_score: str = "surprise"
    score_names = ("surprise",)
    embedding_names: ClassVar[tuple[str, ...]] = ("small",)

    def __init__(self, *, phases, features: int, seed: int) -> None:
        super().__init__(phases, seed)
        self.save_hyperparameters(logger=False)
        self.encoder = nn.Linear(features, 2)
        self.decoder = nn.Linear(2, features)
        self.head = nn.Linear(1, 2)

    @classmethod
    def score_descriptions(cls):
        return {"surprise": ScoreDescription("surprise of the head", "squared")}

    def _mean(self, batch):
        return segments_of(batch).mean(batch.features)

    def loss(self, batch, phase):
        mean = self._mean(batch)
        small = self.encoder(mean)
        if phase == "embed":
            error = (self.decoder(small) - mean).square().mean(1)
        else:
            size = batch.lengths[:, None].float().log()
            error = (self.head(size) - small).square().sum(1)
        return {"loss": weighted_mean(error, batch.weight)}

    def outputs(self, batch):
        small = self.encoder(self._mean(batch))
        size = batch.lengths[:, None].float().log()
        surprise = (self.head(size) - small).square().sum(1)
        return EventOutputs({"surprise": surprise}, embeddings={"small": small})

    def flops(self, multiplicity):
        return {"encoder": 2.0 * self.encoder.weight.numel(), "total": 100.0}
'''

PAPER = '''
"""Showers that bloom (a paper that was never written)."""
from pathlib import Path
from anomaly_hep.evaluate.figures import GENERAL_PLOTS
from anomaly_hep.evaluate.headline import best_and_worst_area
from anomaly_hep.evaluate.metrics import AREA
from anomaly_hep.evaluate.paper import Baseline, Paper, Signal, read_rows

PAPER = Paper(
    source="arXiv:0000.00000",
    headlines=(AREA,),
    sentence=best_and_worst_area,
    plots=GENERAL_PLOTS,
    one_training="One training.",
    signals=(Signal("bloom", "blooming showers"),),
    baselines=(Baseline("size", "number of particles", "particles", ("size",)),),
    reference="size",
    rows=read_rows(Path(__file__).with_suffix(".csv")),
    rows_measured="Measured by nobody.",
)
'''

ROWS = """table,row,choices,metric,score,signal,value,spread,inferred
7,Two-stage of the paper,model.name=twostage,auc,surprise,bloom,81.5,1.2,
"""

DATA = """
name: showers
title: Showers
paper: blooming
reading: anomaly_hep.data.particles.ParticleReading
dir: showers
test_dir: null
if_missing: error
background: dull
samples:
  train: {dull: {files: dull_*}}
  val: {}
  test: {dull: {files: dull_*}, bloom: {files: bloom_*}}
directories: {train: [train], test: [test]}
groups: null
signal_in_training: 0
validation_fraction: 0.2
features:
  share: {column: share, scale: 10}
  eta: {column: eta}
  phi: {column: phi}
particle_types: false
selection: {}
max_particles: 64
weight: shower_weight
batch_size: 16
chunk_events: 20
pool_batches: 2
num_workers: 0
on_bad_file: refuse
max_bad_fraction: 0
"""

MODEL_YAML = """# @package _global_
defaults:
  - /phase@model.phases.embed: default
  - /phase@model.phases.head: default
  - _self_
  - override /data: showers

model:
  name: twostage
  _target_: blooming_package.twostage.TwoStage
  features: 3
  seed: ${seed}
  phases:
    embed: {epochs: 2, trains: [encoder, decoder]}
    head: {epochs: 1, trains: [head]}
fitted_scores:
  near: {_target_: anomaly_hep.models.fitted.NearestNeighbours, embedding: small, neighbours: 3}
"""

ENTRY_POINTS = """[anomaly_hep.models]
twostage = blooming_package.twostage
[anomaly_hep.data]
showers = blooming_package.showers
[anomaly_hep.papers]
blooming = blooming_package.blooming
"""


def _install(directory: Path) -> None:
    """Write the six files, and what pip would write when it installs them."""
    package = directory / "blooming_package"
    files = {
        "showers.py": FORMAT, "twostage.py": MODEL, "blooming.py": PAPER, "blooming.csv": ROWS,
        "conf/data/showers.yaml": DATA, "conf/model/twostage.yaml": MODEL_YAML,
    }  # fmt: skip
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"))
    metadata = directory / "blooming_package-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: blooming-package\nVersion: 1\n"
    )
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)


def _write_showers(path: Path, number: int, particles: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lines = ["# showers"]
    for _ in range(number):
        pt = rng.exponential(20.0, 2 + rng.poisson(particles)) + 1.0
        eta, phi = rng.normal(0, 0.1, (2, len(pt)))
        columns = np.transpose([pt / pt.sum(), eta, phi])
        rows = [",".join(f"{x:.5g}" for x in row) for row in columns]
        lines.append(";".join([f"{rng.uniform(0.5, 2):.4f}", *rows]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("experiment")
    _install(directory)
    for split, label, number, particles in (
        ("train", "dull", 100, 10), ("test", "dull", 60, 10), ("test", "bloom", 40, 25),
    ):  # fmt: skip
        path = directory / "showers" / split / f"{label}_000.txt"
        _write_showers(path, number, particles, seed=number)
    command = [sys.executable, str(runs.ROOT / "train.py"), "model=twostage", "run_dir=run",
               "trainer.enable_progress_bar=false", "threads=1"]  # fmt: skip
    environment = os.pathsep.join([str(directory), os.environ.get("PYTHONPATH", "")])
    printed = runs.finish(runs.start(command, directory, PYTHONPATH=environment), expect=0)
    (directory / "printed.txt").write_text(printed)
    return directory / "run"


def test_it_trains_in_both_phases_and_is_finished(run: Path) -> None:
    assert (run / "done.json").exists()
    losses = pd.read_csv(run / "metrics.csv")
    assert len(losses)
    best = [path.name for path in (run / "checkpoints").glob("best*.ckpt")]
    assert len(best) == 2  # of each phase


def test_scores_weights_and_baselines_are_evaluated(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics["scores"]) == {"surprise", "near"}
    assert set(metrics["baselines"]) == {"size"}
    value, low, high = metrics["baselines"]["size"]["bloom"]["auc"]
    assert 0.9 < low <= value <= high <= 1
    table = pd.read_parquet(run / "scores.parquet")
    assert table["weight"].between(0.5, 2).all()
    assert table["weight"].nunique() > 50


def test_table_and_report_speak_the_papers_language(run: Path) -> None:
    printed = (run.parent / "printed.txt").read_text()
    page = (run / "report.html").read_text()
    for text in ("surprise of the head", "3 nearest neighbours", "number of particles"):
        assert text in printed
        assert text in page
    assert "Two-stage" in page
    assert "blooming showers" in page
    assert "81.5" in printed
