"""A finished run whose events have a mass: a smoothly falling background and a resonance."""

from __future__ import annotations

import json
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
    write_results,
)
from anomaly_hep.evaluate.runfiles import write_scores
from anomaly_hep.models.setvae import SetVAE

RESONANCE = 3500.0  # GeV


def falling_masses(number: int, rng: np.random.Generator) -> np.ndarray:
    """Masses in GeV of the dijet function with a turn-on below 2.6 TeV."""
    grid = np.linspace(2000.0, 9000.0, 20001)
    x = grid / 13000.0
    density = (1 - x) ** 9 * x ** -(4.5 + 0.1 * np.log(x)) / (1 + np.exp((2450 - grid) / 60))
    cumulative = np.cumsum(density)
    return np.interp(rng.uniform(0, cumulative[-1], number), cumulative, grid)


def mass_table(
    background: int, signal: int, *, seed: int = 0, separation: float = 1.5, sculpting: float = 0.0
) -> pd.DataFrame:
    """Events of QCD and of a resonance at 3.5 TeV; scores of QCD may grow with the mass."""
    rng = np.random.default_rng(seed)
    label = np.repeat(["QCD", "Tbqq"], [background, signal])
    mass = np.concatenate(
        [falling_masses(background, rng), RESONANCE * rng.normal(1, 0.05, signal)]
    )
    noise = rng.normal(size=background + signal)
    score = np.exp(noise + separation * (label == "Tbqq") + sculpting * (mass / 3000.0 - 1))
    event_id = [f"toy.h5:{i}" for i in range(len(label))]
    columns = {"event_id": event_id, "label": label, "weight": 1.0, "mass": mass}
    return pd.DataFrame(columns | {"score_chamfer": score, "score_total": score[::-1]})


def mass_run(directory: Path, table: pd.DataFrame) -> Path:
    """Write a finished run with these events into `directory` and return it."""
    directory.mkdir(parents=True)
    write_scores(directory / "scores.parquet", table)
    results = evaluate(
        table.assign(weight=table.get("weight", 1.0)),
        data=DataDescription("Toy dijets", "simulated", "toy", "QCD"),
        model=ModelDescription("setvae", 1, 1, 1.0, 1.0),
        default_score="chamfer",
        speed=EventRates(),
        paper=load_paper(None),
    )
    write_results(directory, results)
    target = f"{SetVAE.__module__}.{SetVAE.__name__}"
    model = {"name": "setvae", "_target_": target, "beta": 0.08, "use_pid": True}
    config = {"model": model, "data": {"name": "toy", "paper": None}}
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    (directory / "ledger.json").write_text(json.dumps({"event_noun": "events"}))
    (directory / "done.json").write_text("{}")
    return directory
