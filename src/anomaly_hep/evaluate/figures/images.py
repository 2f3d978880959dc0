"""Detector images before and after the autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anomaly_hep.evaluate.figures.style import DENSITY_COLOURS, house_style, stamp_figure
from anomaly_hep.evaluate.groups import groups_of
from anomaly_hep.evaluate.labels import decay

_TRUE, _PROBABILITY, _MASK = "true", "probability", "reconstructed, p > 0.5"

_BOX: Mapping[str, Any] = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1.5}


def reconstructed_images(images: Mapping[str, np.ndarray], metrics: Mapping[str, Any]) -> Figure:
    """Return true images, reconstructed probabilities and masks, in columns by class.

    `images` is reconstructions.npz: labels [event]; truth and reconstructed [event, phi, eta], hit
    pixels as 0 or 1 and their probabilities. One image of the background and one of each group is
    drawn, of the signal in the group's middle. arXiv:2306.12955 Fig. 4. A model that gives back
    pixels of 0 and 1 has no row of probabilities.
    """
    chosen = _one_of_each_group(images["labels"], metrics)
    truth, probability = images["truth"][chosen], images["reconstructed"][chosen]
    rows = {_TRUE: truth, _PROBABILITY: probability, _MASK: (probability > 0.5).astype(float)}
    if np.isin(probability, (0.0, 1.0)).all():
        del rows[_PROBABILITY]
    with house_style():
        figure = Figure(figsize=(2.6 * len(chosen) + 1.1, 3.0 * len(rows) + 0.6))
        grid = figure.subplots(len(rows), len(chosen), sharex=True, sharey=True, squeeze=False)
        for line, (title, pictures) in zip(grid, rows.items(), strict=True):
            for axes, picture, true in zip(line, pictures, truth, strict=True):
                mesh = _draw(axes, picture, in_steps=title != _PROBABILITY)
                axes.text(
                    0.03, 0.98, _said(title, picture, true), transform=axes.transAxes, va="top",
                    fontsize=8, color="0.15", bbox=_BOX,
                )  # fmt: skip
            line[0].set_ylabel(f"{title}\n" + r"$\phi$ (pixels)")
            if title == _PROBABILITY:
                # beside all rows, so that their columns stay below each other
                figure.colorbar(mesh, ax=grid.ravel().tolist(), label="probability of a hit",
                                pad=0.02, shrink=0.32)  # fmt: skip
        for axes, event in zip(grid[0], chosen, strict=True):
            axes.set_title(decay(str(images["labels"][event])), fontsize=11)
        for axes in grid[-1]:
            axes.set_xlabel(r"$\eta$ (pixels)")
        stamp_figure(figure, metrics, right=f"{len(chosen)} events")
    return figure


def _one_of_each_group(
    labels: Shaped[np.ndarray, " event"], metrics: Mapping[str, Any]
) -> list[int]:
    """Return the first image of the background and of the middle signal of each group."""
    names, first = np.unique(labels, return_index=True)
    place = dict(zip(map(str, names), map(int, first), strict=True))
    wanted = [metrics["data"]["background"]]
    for members in groups_of(metrics).values():
        known = [label for label in members if label in place]
        wanted += known[len(known) // 2 : len(known) // 2 + 1]
    return [place[label] for label in wanted if label in place]


def _draw(axes: Axes, picture: Float[np.ndarray, "phi eta"], *, in_steps: bool) -> Any:
    return axes.imshow(
        picture, origin="lower", aspect="equal", interpolation="nearest", vmin=0, vmax=1,
        cmap="Greys" if in_steps else DENSITY_COLOURS,
    )  # fmt: skip


def _said(
    title: str, picture: Float[np.ndarray, "phi eta"], true: Float[np.ndarray, "phi eta"]
) -> str:
    """Return the numbers that a picture is summed up by."""
    if title == _PROBABILITY:
        return f"sum {picture.sum():.1f}, SSE {((picture - true) ** 2).sum():.1f}"
    if title == _TRUE:
        return f"{int(picture.sum())} hits"
    return f"{int(picture.sum())} hits, {int((picture != true).sum())} wrong"
