"""Every figure of a run: made from its files, saved below figures/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from anomaly_hep.evaluate.curves import Sample
from anomaly_hep.evaluate.figures import latent
from anomaly_hep.evaluate.figures.distributions import Pair, joint_density, score_histogram
from anomaly_hep.evaluate.figures.efficiencies import efficiency_summary
from anomaly_hep.evaluate.figures.grids import score_histograms
from anomaly_hep.evaluate.figures.images import reconstructed_images
from anomaly_hep.evaluate.figures.jets import reconstructed_jets
from anomaly_hep.evaluate.figures.rocs import (
    RATE,
    Samples,
    roc_by_signal,
    roc_of_score,
    rocs_by_group,
)
from anomaly_hep.evaluate.figures.style import save
from anomaly_hep.evaluate.figures.training import loss_curves, loss_terms
from anomaly_hep.evaluate.groups import groups_of
from anomaly_hep.evaluate.metrics import SCORE_PREFIX, events_by_label, score_columns
from anomaly_hep.evaluate.published import PublishedRow
from anomaly_hep.evaluate.record import Record
from anomaly_hep.evaluate.tables import published_for

RECONSTRUCTION, LATENT = "chamfer", "kl"
# Baselines that ROC curves of images are compared with; energies are far below them.
SHOWN_BASELINES = ("hits", "n_tracks")


def write_figures(run_directory: Path) -> list[Path]:
    """Draw every figure that the run's files allow into its figures/ and return their paths.

    Needs metrics.json, scores.parquet and config.yaml (else MissingDataError); metrics.csv gives
    the loss curves and reconstructions.npz the jets or images. Which figures there are depends on
    what the files hold: groups of signals, latent vectors, jets, images.
    """
    record = Record(run_directory)
    metrics = record.metrics
    draw = _of_groups if groups_of(metrics) else _of_signals
    figures = draw(record, samples_of(record), published_for(record.config))
    if {RECONSTRUCTION, LATENT} <= set(metrics["scores"]):
        figures["reconstruction_kl"] = joint_density(score_pairs(record), metrics)
    if record.losses is not None and loss_terms(record.losses):
        figures["losses"] = loss_curves(record.losses, metrics)
    shown = record.reconstructions
    if shown is not None and len(shown["labels"]):
        if "lengths" in shown:
            figures["jets"] = reconstructed_jets(shown, metrics)
        else:
            figures["images"] = reconstructed_images(shown, metrics)
    directory = record.directory / "figures"
    return [save(figure, directory / f"{name}.png") for name, figure in figures.items()]


def _of_signals(
    record: Record, samples: Mapping[str, Samples], published: Sequence[PublishedRow]
) -> dict[str, Figure]:
    """Return the figures of a data set whose signals stand for themselves."""
    metrics, figures = record.metrics, {}
    if any(label != metrics["data"]["background"] for label in metrics["data"]["events"]):
        figures["efficiencies"] = efficiency_summary(metrics, published)
        figures["roc"] = roc_by_signal(samples, metrics, published)
        for name in metrics["scores"]:
            figures[f"roc_{name}"] = roc_of_score(name, samples[name], metrics)
    for name in [*metrics["scores"], *metrics["baselines"]]:
        figures[f"histogram_{name}"] = score_histogram(name, samples[name], metrics)
    return figures


def _of_groups(
    record: Record, samples: Mapping[str, Samples], published: Sequence[PublishedRow]
) -> dict[str, Figure]:
    """Return the figures of a data set whose signals belong together in groups."""
    metrics, default = record.metrics, record.metrics["default_score"]
    # of the many published rows and baselines those that the default score is measured by
    wanted = (default, *SHOWN_BASELINES, "signal_probability")
    points = [row for row in published if row.metric == RATE and row.score in wanted]
    chosen = {n: s for n, s in samples.items() if n in {*metrics["scores"], *SHOWN_BASELINES}}
    figures = {
        f"group_roc_{group}": roc_by_signal(chosen, metrics, points, labels)
        for group, labels in groups_of(metrics).items()
    }
    figures["masses"] = rocs_by_group(default, samples[default], metrics)
    figures["distributions"] = score_histograms(samples, metrics)
    figures[f"histogram_{default}"] = score_histogram(default, samples[default], metrics)
    if set(latent.COLUMNS) <= set(record.table.columns):
        figures["latent"] = latent.latent_scatter(record.table, metrics)
    return figures


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
