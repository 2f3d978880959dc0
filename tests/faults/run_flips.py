"""Single bits flipped at random in the files of a finished run, and what reading makes of it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from anomaly_hep import checksums
from anomaly_hep.errors import AnomalyHepError
from anomaly_hep.evaluate.learningcurve import read_curve
from anomaly_hep.evaluate.loading import load_fitted
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.models.fitted import NearestNeighbours
from anomaly_hep.models.loading import read_checkpoint
from anomaly_hep.models.outputs import ParticleReconstruction
from tests.evaluate.fake_run import fake_run

READERS: dict[str, Callable[[Path], Any]] = {
    "config.yaml": lambda run: RunFiles(run).config,
    "ledger.json": lambda run: RunFiles(run).ledger,
    "provenance.json": lambda run: RunFiles(run).provenance,
    "metrics.json": lambda run: RunFiles(run).results.to_json(),
    "metrics.csv": lambda run: _text(RunFiles(run).losses),
    "speed.json": lambda run: RunFiles(run).speed,
    "scores.parquet": lambda run: _text(RunFiles(run).table),
    "reconstructions.npz": lambda run: _bytes(
        RunFiles(run).reconstructions(ParticleReconstruction) or {}
    ),
    "curve.csv": lambda run: _text(read_curve(run / "curve.csv")),
    "checkpoints/best.ckpt": lambda run: _bytes(
        read_checkpoint(run / "checkpoints" / "best.ckpt")["state_dict"]
    ),
    "checkpoints/fitted-knn.npz": lambda run: _bytes(
        load_fitted(run / "checkpoints")["knn"].state()
    ),
    "checksums.json": lambda run: RunFiles(run).config,
}


class Counts(NamedTuple):
    """How many flips were refused in one line, changed nothing, or gave other values.

    `traceback` counts those that ended in an error that is none of this package.
    """

    refused: int
    same: int
    other: int
    traceback: int


def finished_run(directory: Path) -> Path:
    """Write a finished run with every file that is read back, and return it."""
    run = fake_run(directory / "run", events=300)
    (run / "curve.csv").write_text(
        "events_seen,score,group,auc,auc_low,auc_high\n1000,kl,SUEP,0.7,0.6,0.8\n"
    )
    checkpoints = run / "checkpoints"
    checkpoints.mkdir()
    weights = {"weight": torch.arange(200.0), "bias": torch.ones(20)}
    torch.save({"state_dict": weights}, checkpoints / "best.ckpt")
    fitted = NearestNeighbours(embedding="latent", neighbours=2)
    fitted.fit(np.random.default_rng(0).normal(size=(60, 2)), np.ones(60))
    settings = {
        "_target_": "anomaly_hep.models.fitted.NearestNeighbours",
        "embedding": "latent",
        "neighbours": 2,
    }
    np.savez(checkpoints / "fitted-knn.npz", settings=json.dumps(settings), **fitted.state())
    checksums.note_all(run)
    checksums.note(run, ["curve.csv"])
    return run


def count_flips(run: Path, name: str, flips: int, seed: int) -> Counts:
    """Flip one bit of a run's file at a time, read it as the package does, put the bit back."""
    draw, read, path = random.Random(seed), READERS[name], run / name
    truth, data = read(run), bytearray(path.read_bytes())
    counts = dict.fromkeys(Counts._fields, 0)
    for _ in range(flips):
        place, bit = draw.randrange(len(data)), 1 << draw.randrange(8)
        data[place] ^= bit
        path.write_bytes(data)
        try:
            counts["same" if read(run) == truth else "other"] += 1
        except AnomalyHepError as error:
            counts["refused" if "\n" not in str(error) else "traceback"] += 1
        except Exception:
            counts["traceback"] += 1
        data[place] ^= bit
    path.write_bytes(data)
    return Counts(**counts)


def _text(table: Any) -> str:
    return str(table.to_csv())


def _bytes(arrays: Any) -> dict[str, bytes]:
    return {name: np.asarray(values).tobytes() for name, values in arrays.items()}
