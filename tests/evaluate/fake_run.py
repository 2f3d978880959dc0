"""A run directory as a finished run leaves it, with made-up scores: every file, no training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from tests.toys import CLASSES, toy_jets

from anomaly_hep.evaluate.evaluation import evaluate
from anomaly_hep.evaluate.paper import load_paper
from anomaly_hep.evaluate.results import (
    DataDescription,
    EventRates,
    ModelDescription,
    Results,
    write_results,
)
from anomaly_hep.evaluate.runfiles import write_scores
from anomaly_hep.models.clipvae import CLIPVAE
from anomaly_hep.models.setvae import SetVAE

# How far each class lies from QCD in the made-up scores, in widths of the QCD distribution.
SHIFT = {"QCD": 0.0, "Hbb": 0.9, "Hcc": 0.8, "Hgg": 0.1, "H4q": 0.6, "Hqql": 2.4, "Zqq": 0.8,
         "Wqq": 0.8, "Tbqq": 1.2, "Tbl": 3.0}  # fmt: skip

PAPER = load_paper("liu2023")
DATA = DataDescription("JetClass", "simulated", "toy", "QCD", event_noun="jets")
MODELS = {"clipvae": CLIPVAE, "setvae": SetVAE}
RATES = EventRates(3210.0, 17000.0)


def described(name: str = "clipvae") -> ModelDescription:
    """What is said of a model."""
    return ModelDescription(
        name, 205155, 103264, 6.95e6, 3.5e6,
        title=MODELS[name].title, scores=MODELS[name].score_descriptions(),
    )  # fmt: skip


def jet_results(
    table: pd.DataFrame, *, data: DataDescription = DATA, model: str = "clipvae"
) -> Results:
    """Results of a table of jets."""
    return evaluate(
        table,
        data=data,
        model=described(model),
        default_score=MODELS[model].default_score,
        speed=RATES,
        paper=PAPER,
    )


def score_table(
    n: int = 3000, *, seed: int = 0, weighted: bool = False, classes: Sequence[str] = CLASSES
) -> pd.DataFrame:
    """Scores of `n` events of random classes, QCD ten times as often as any signal.

    `seed` makes the scores; the jets are always the same.
    """
    rng, training = np.random.default_rng(n), np.random.default_rng([n, seed])
    odds = np.array([10.0 if name == "QCD" else 1.0 for name in classes])
    label = rng.choice(classes, n, p=odds / odds.sum())
    shift = np.array([SHIFT[name] for name in label])
    common, own = training.normal(size=(2, n))
    tau = np.sort(rng.uniform(0.01, 0.3, (n, 4)), axis=1)[:, ::-1]
    mass = {"QCD": 40, "Wqq": 80, "Zqq": 91, "Tbqq": 173, "Tbl": 150}
    return pd.DataFrame(
        {
            "event_id": [f"toy.root:{i}" for i in range(n)],
            "label": label,
            "weight": rng.uniform(0.5, 1.5, n) if weighted else 1.0,
            "jet_pt": rng.uniform(500, 1000, n),
            "jet_sdmass": np.abs([mass.get(name, 125) for name in label] + 15 * rng.normal(size=n)),
            "jet_nparticles": rng.poisson(40, n).astype(np.float64),
            **{f"jet_tau{i + 1}": tau[:, i] for i in range(4)},
            "score_chamfer": np.exp(-3 + 0.5 * (0.8 * common + 0.6 * own + shift)),
            "score_kl": np.exp(1 + 0.3 * (0.6 * common - 0.8 * own + 0.8 * shift)),
            "score_total": np.exp(-2.5 + 0.4 * (common + shift)),
        }
    )


@cache
def _results(seed: int, events: int, classes: tuple[str, ...], model: str) -> Results:
    """Results of the usual data: most tests take the same ones, and they take half a second."""
    return jet_results(score_table(events, seed=seed, classes=classes), model=model)


def fake_run(
    directory: Path,
    *,
    model: str = "clipvae",
    seed: int = 0,
    events: int = 3000,
    classes: Sequence[str] = CLASSES,
    data: DataDescription = DATA,
    mass: bool = False,
) -> Path:
    """Write a finished run into `directory`, with or without masses, and return it."""
    directory.mkdir(parents=True)
    table = score_table(events, seed=seed, classes=classes)
    if mass:
        table["mass"] = table["jet_sdmass"]
        data = replace(data, mass="soft-drop mass")
    write_scores(directory / "scores.parquet", table)
    if data is DATA:
        results = _results(seed, events, tuple(classes), model)
    else:
        results = jet_results(table, data=data, model=model)
    write_results(directory, results)
    config = {
        "seed": seed,
        "run_dir": str(directory),
        "model": {
            "name": model,
            "_target_": f"{MODELS[model].__module__}.{MODELS[model].__name__}",
            "beta": 0.08,
            "use_pid": True,
            "encoder": {"kind": "deepset"},
        },
        "data": {"name": "jetclass", "paper": "liu2023"}
        | ({"mass": "jet_sdmass", "mass_title": "soft-drop mass"} if mass else {}),
    }
    (directory / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    ledger = {
        "event_noun": data.event_noun,
        "events": 900,
        "files": [{"path": "train/ZJetsToNuNu_000.root", "events": 900, "sha256": "0" * 64}],
        "refused": [{"path": "train/ZJetsToNuNu_001.root", "problem": "truncated <after> 7 %"}],
    }
    start = {
        "command": ["train.py", f"model={model}"],
        "arithmetic": {"processor": "Z80", "threads": 3},
    }
    provenance = {"git": "0123abc", "starts": [start]}
    (directory / "provenance.json").write_text(json.dumps(provenance))
    (directory / "ledger.json").write_text(json.dumps(ledger))
    _losses().to_csv(directory / "metrics.csv", index=False)
    np.savez(
        directory / "reconstructions.npz", form="ParticleReconstruction", **_reconstructions(seed)
    )
    (directory / "done.json").write_text("{}")
    return directory


def _losses() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    step = np.arange(0, 1000, 10)
    train = pd.DataFrame({"step": step, "epoch": step // 250})
    reconstruction = 0.05 + 1.5 * np.exp(-step / 80.0)
    train["train/reconstruction"] = reconstruction * rng.normal(1, 0.03, len(step))
    train["train/kl"] = 4 - 3 * np.exp(-step / 200.0) + rng.normal(0, 0.1, len(step))
    train["train/loss"] = train["train/reconstruction"] + 0.08 * train["train/kl"]
    validation = train[train["step"] % 250 == 240].rename(
        columns=lambda c: c.replace("train", "val")
    )
    return pd.concat([train, validation]).sort_values("step")


def _reconstructions(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    names = ("QCD", "Wqq", "Tbl", "H4q", "Hbb", "Tbqq")
    jets = [
        toy_jets(1, label=name, seed=seed + i, mean_particles=45) for i, name in enumerate(names)
    ]
    columns = {k: np.concatenate([jet.particles[k] for jet in jets]) for k in jets[0].particles}
    lengths = np.array([jet.lengths[0] for jet in jets])
    pt = np.hypot(columns["part_px"], columns["part_py"])
    pt = 10 * pt / np.repeat(np.add.reduceat(pt, np.r_[0, np.cumsum(lengths)[:-1]]), lengths)
    truth = np.stack([pt, columns["part_deta"], columns["part_dphi"]], axis=1)
    smeared = truth * rng.normal(1, [0.2, 0.1, 0.1], truth.shape)
    return {
        "lengths": lengths,
        "truth": truth.astype(np.float32),
        "reconstructed": smeared.astype(np.float32),
        "types": rng.choice(8, len(pt), p=[0.25, 0.25, 0.1, 0.34, 0.02, 0.02, 0.01, 0.01]),
        "labels": np.array(names),
    }
