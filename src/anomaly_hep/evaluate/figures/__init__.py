"""Every figure of a run: made from its files, saved below figures/."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from anomaly_hep.evaluate.curves import Sample
from anomaly_hep.evaluate.figures.distributions import Pair, joint_density, score_histogram
from anomaly_hep.evaluate.figures.efficiencies import efficiency_summary
from anomaly_hep.evaluate.figures.jets import reconstructed_jets
from anomaly_hep.evaluate.figures.rocs import Samples, roc_by_signal, roc_of_score
from anomaly_hep.evaluate.figures.style import save
from anomaly_hep.evaluate.figures.training import loss_curves, loss_terms
from anomaly_hep.evaluate.metrics import SCORE_PREFIX, events_by_label, score_columns
from anomaly_hep.evaluate.record import Record
from anomaly_hep.evaluate.tables import published_for

RECONSTRUCTION, LATENT = "chamfer", "kl"


def write_figures(run_directory: Path) -> list[Path]:
    """Draw every figure that the run's files allow into its figures/ and return their paths.

    Needs metrics.json, scores.parquet and config.yaml (else MissingDataError); metrics.csv gives
    the loss curves and reconstructions.npz the jets.
    """
    record = Record(run_directory)
    metrics, published = record.metrics, published_for(record.config)
    samples = samples_of(record)
    figures = {}
    if any(label != metrics["data"]["background"] for label in metrics["data"]["events"]):
        figures["efficiencies"] = efficiency_summary(metrics, published)
        figures["roc"] = roc_by_signal(samples, metrics, published)
        for name in metrics["scores"]:
            figures[f"roc_{name}"] = roc_of_score(name, samples[name], metrics)
    for name in [*metrics["scores"], *metrics["baselines"]]:
        figures[f"histogram_{name}"] = score_histogram(name, samples[name], metrics)
    if {RECONSTRUCTION, LATENT} <= set(metrics["scores"]):
        figures["reconstruction_kl"] = joint_density(score_pairs(record), metrics)
    if record.losses is not None and loss_terms(record.losses):
        figures["losses"] = loss_curves(record.losses, metrics)
    if record.reconstructions is not None and len(record.reconstructions["lengths"]):
        figures["jets"] = reconstructed_jets(record.reconstructions, metrics)
    directory = record.directory / "figures"
    return [save(figure, directory / f"{name}.png") for name, figure in figures.items()]


def samples_of(record: Record) -> dict[str, Samples]:
    """Return every score and baseline of a run as sorted samples by name and label."""
    classes = events_by_label(record.table)
    weights = record.table["weight"].to_numpy(np.float64)
    return {
        name: {c: Sample.of(values[i], weights[i], name=c) for c, i in classes.items()}
        for name, values in score_columns(record.table).items()
    }


def score_pairs(record: Record) -> dict[str, Pair]:
    """Return reconstruction loss and KL of background events and of all signal events."""
    table, background = record.table, record.metrics["data"]["background"]
    x = table[SCORE_PREFIX + RECONSTRUCTION].to_numpy(np.float64)
    y = table[SCORE_PREFIX + LATENT].to_numpy(np.float64)
    weights, label = table["weight"].to_numpy(np.float64), table["label"].to_numpy()
    groups = {background: label == background, "signals": (label != background) & (label != "")}
    return {
        title: Pair(x[chosen], y[chosen], weights[chosen])
        for title, chosen in groups.items()
        if chosen.any()
    }
