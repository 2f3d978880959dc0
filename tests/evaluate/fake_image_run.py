"""A run directory of detector images, with made-up images and scores: no file read, no training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from anomaly_hep.evaluate.evaluation import evaluate
from anomaly_hep.evaluate.paper import load_paper
from anomaly_hep.evaluate.results import (
    DataDescription,
    EventRates,
    ModelDescription,
    Results,
    write_results,
)
from anomaly_hep.models.cct import CCT
from anomaly_hep.models.codae import CoDAE
from anomaly_hep.models.dirichletvae import DirichletVAE

SUEP = (125, 200, 300, 400, 700, 1000)
SVJ = (2100, 3100, 4100)
GROUPS = {"SUEP": [f"SUEP{m}" for m in SUEP], "SVJ": [f"SVJ{m}" for m in SVJ]}
LABELS = ("QCD", *GROUPS["SUEP"], *GROUPS["SVJ"])
# Mean number of hit pixels of each class; published dark showers have about as many.
HITS = dict(zip(LABELS, (80, 111, 140, 170, 210, 280, 331, 118, 134, 143), strict=True))
SHAPE = (72, 58)

PAPER = load_paper("anzalone2023")
DATA = DataDescription("dark showers", "published", None, "QCD", groups=GROUPS, event_noun="images")
MODELS = {"codae": CoDAE, "cct": CCT, "dirichletvae": DirichletVAE}
RATES = EventRates(20.0, 60.0)


def image_results(
    table: pd.DataFrame,
    *,
    data: DataDescription = DATA,
    model: str = "codae",
    default_score: str = "sae",
) -> Results:
    """Results of a table of images."""
    kind = MODELS[model]
    described = ModelDescription(
        model, 1646467, 882626, 3.2e9, 1e9, supervised=kind is CCT,
        title=kind.title, scores=kind.score_descriptions(),
    )  # fmt: skip
    return evaluate(
        table, data=data, model=described, default_score=default_score, speed=RATES, paper=PAPER
    )


def image_scores(
    events: Mapping[str, int] | None = None, *, seed: int = 0, latent: bool = True
) -> pd.DataFrame:
    """Table of scores: `events` of each class (default 300 of QCD, 40 of each signal)."""
    events = events or {label: 300 if label == "QCD" else 40 for label in LABELS}
    rng = np.random.default_rng(seed)
    label = np.repeat(list(events), list(events.values()))
    n = len(label)
    mean = np.array([HITS[name] for name in label])
    hits = np.maximum(rng.normal(mean, 0.33 * mean), 5).round()
    quality = rng.normal(size=n)
    energy = rng.gamma(4, [180, 140, 240], (n, 3))
    predicted = hits * np.clip(rng.normal(0.9, 0.05, n), 0.5, 1)
    table = {
        "event_id": [f"toy.npz:{i}" for i in range(n)],
        "label": label,
        "weight": 1.0,
        "mass": [float(name.strip("SUEPVJ") or 0) if name != "QCD" else 0.0 for name in label],
        "n_tracks": (hits * rng.normal(1.15, 0.03, n)).round(),
        "hits": hits,
        "energy_tracker": energy[:, 0],
        "energy_ecal": energy[:, 1],
        "energy_hcal": energy[:, 2],
        "energy": energy.sum(axis=1),
        "score_sae": hits * 0.5 + 3 * quality,
        "score_sse": hits * 0.4 + 5 * quality,
        "score_bce": hits * 0.9 + 9 * rng.normal(size=n),
        "score_inverse_dice": 1 + hits / 200 + 0.1 * quality,
        "score_energy_predicted": predicted,
        "score_energy_difference": hits - predicted,
        "reconstruction_mse": np.abs(15 + 0.1 * hits + 3 * quality),
        "reconstruction_ssim": np.clip(0.97 - 0.02 * np.abs(quality), -1, 1),
    }
    if latent:
        z = np.stack([hits / 60 + rng.normal(0, 0.3, n), -hits / 90 + rng.normal(0, 0.4, n)])
        table |= {"score_latent_1": z[0], "score_latent_2": z[1]}
    return pd.DataFrame(table)


def fake_image_run(
    directory: Path,
    *,
    model: str = "codae",
    seed: int = 0,
    supervised: bool = False,
    events: Mapping[str, int] | None = None,
) -> Path:
    """Write a finished run of images into `directory` and return it."""
    directory.mkdir(parents=True)
    table = image_scores(events, seed=seed)
    default_score = "sae"
    if supervised:
        table = table.drop(columns=[c for c in table if c.startswith(("score_", "rec"))])
        table["score_signal_probability"] = 1 / (1 + np.exp(2 - table["hits"] / 100))
        default_score = "signal_probability"
    table.to_parquet(directory / "scores.parquet")
    results = image_results(table, model=model, default_score=default_score)
    write_results(directory, results)
    target = f"{MODELS[model].__module__}.{MODELS[model].__name__}"
    config = {
        "seed": seed,
        "run_dir": str(directory),
        "model": {"name": model, "_target_": target},
        "data": {"name": "darkshowers", "paper": "anzalone2023"},
    }
    (directory / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    ledger = {
        "event_noun": "images",
        "files": [{"path": "test/qcd.npz", "events": 300, "sha256": "0" * 64}],
        "refused": [],
    }
    (directory / "ledger.json").write_text(json.dumps(ledger))
    step = np.arange(0, 1000, 50)
    loss = 100 + 300 * np.exp(-step / 300)
    losses = {"step": step, "train/loss": loss, "val/loss": loss * 1.02, "val/ssim": 1 - loss / 500}
    pd.DataFrame(losses).to_csv(directory / "metrics.csv", index=False)
    if not supervised:
        np.savez(
            directory / "reconstructions.npz",
            form="ImageReconstruction",
            **images(("QCD", "SUEP400", "SVJ3100")),
        )
    (directory / "done.json").write_text("{}")
    return directory


def images(labels: Sequence[str], *, seed: int = 0) -> dict[str, np.ndarray]:
    """Content of reconstructions.npz: hits around two axes, or anywhere for a SUEP."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((len(labels), *SHAPE), np.float32)
    for image, label in zip(truth, labels, strict=True):
        n = HITS[label]
        phi, eta = rng.integers(0, 72, n), rng.integers(0, 58, n)
        if "SUEP" not in label:
            phi = np.r_[rng.normal(20, 4, n // 2), rng.normal(56, 4, n - n // 2)]
            eta = np.clip(rng.normal(29, 5, n), 0, 57)
        image[phi.astype(int) % 72, eta.astype(int)] = 1.0
    smeared = 0.8 * truth + 0.2 * np.roll(truth, 1, axis=2)
    return {"labels": np.array(labels), "truth": truth, "reconstructed": smeared}
