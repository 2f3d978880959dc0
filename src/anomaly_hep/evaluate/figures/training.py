"""How a training went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anomaly_hep.evaluate.figures.style import house_style, model_colours, stamp_figure
from anomaly_hep.evaluate.groups import groups_of
from anomaly_hep.evaluate.labels import events_name

_STAGES = {"train": "training", "val": "validation"}
# What the terms of Set- and CLIP-VAE are called on paper; others go by their own name.
_TITLES = {
    "loss": "total loss",
    "reconstruction": "reconstruction (Chamfer) loss",
    "kl": "KL divergence (nats per latent dimension)",
}
_IMAGE_TITLES = {
    "loss": "total loss",
    "reconstruction": "reconstruction loss",
    "kl": "KL divergence (nats)",
    "ssim": "structural similarity (SSIM)",
}


def loss_terms(losses: pd.DataFrame) -> list[str]:
    """Return the loss terms of metrics.csv that were validated: 'loss' first, others by name."""
    terms = {c.removeprefix("val/") for c in losses.columns if c.startswith("val/")}
    return sorted(terms, key=lambda term: (term != "loss", term))


def loss_curves(losses: pd.DataFrame, metrics: Mapping[str, Any]) -> Figure:
    """Return each loss term by optimiser step, in training and validation on background alone.

    `losses` is metrics.csv: columns step, train/TERM and val/TERM with gaps.
    """
    terms = loss_terms(losses)
    titles = _IMAGE_TITLES if groups_of(metrics) else _TITLES
    with house_style():
        figure = Figure(figsize=(3.9 * len(terms) + 0.3, 3.7))
        grid = figure.subplots(1, len(terms), sharex=True, squeeze=False)[0]
        for axes, term in zip(grid, terms, strict=True):
            for (stage, label), colour in zip(_STAGES.items(), model_colours(), strict=False):
                if (column := f"{stage}/{term}") in losses:
                    _draw(axes, losses[["step", column]].dropna(), colour, label)
            axes.set_title(titles.get(term, term), loc="left", fontsize=10)
            axes.set_xlabel("optimiser step")
        grid[0].set_ylabel(f"loss per {events_name(metrics)[:-1]} (dimensionless)")
        grid[0].legend()
        stamp_figure(figure, metrics, right=f"{metrics['data']['background']} only")
    return figure


def _draw(axes: Axes, points: pd.DataFrame, colour: str, label: str) -> None:
    step, value = points.to_numpy(float).T
    marker = "o" if label == "validation" else ""
    axes.plot(step, value, color=colour, label=label, marker=marker, markersize=3)
    if (value > 0).all() and value.max() > 20 * value.min():
        axes.set_yscale("log")
