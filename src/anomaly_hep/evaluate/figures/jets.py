"""Jets before and after the autoencoder: average images, and masses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Float64
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from anomaly_hep.evaluate.figures.histograms import is_logarithmic, score_content, score_edges
from anomaly_hep.evaluate.figures.style import (
    BACKGROUND_COLOUR,
    DENSITY_COLOURS,
    house_style,
    legend_below,
    logarithmic,
    signal_lines,
    stamp,
    stamp_figure,
)
from anomaly_hep.evaluate.results import Results
from anomaly_hep.evaluate.roc import ScoreDistribution

_REACH, _PIXELS = 1.0, 40  # of an average image: |eta| and |phi|, and pixels along each
_DECADES = 5  # of intensity
_WORDS = ("before", "after")
_STYLES: tuple[Any, ...] = ("-", "--", ":", "-.")

Image = Float64[np.ndarray, "phi eta"]


def average_jets(events: Mapping[str, np.ndarray], results: Results) -> Figure:
    """Return the mean share of pT by place about the jet axis, before and after, for each class.

    `events` is reconstructions.npz, the fields of `JetReconstruction` and labels [event]. The
    number below is half the summed difference of both images, each divided by its sum: 0 for equal
    images, 1 for images that do not overlap. arXiv:2303.14134 Fig. 2.
    """
    labels = events["labels"]
    present = set(labels.tolist()) - {results.data.background}
    classes = [results.data.background, *results.paper.ordered(present)]
    with house_style():
        figure = Figure(figsize=(2.5 * len(classes) + 1.0, 5.6))
        grid = figure.subplots(2, len(classes), sharex=True, sharey=True, squeeze=False)
        images = {label: _before_and_after(events, labels == label) for label in classes}
        most = max(float(image.max()) for pair in images.values() for image in pair)
        least = most / 10**_DECADES
        norm = LogNorm(least, most)
        side = np.linspace(-_REACH, _REACH, _PIXELS + 1)
        for column, label in zip(grid.T, classes, strict=True):
            for axes, image in zip(column, images[label], strict=True):
                # an empty pixel is as dark as the faintest
                shown = np.maximum(image, least)
                mesh = axes.pcolormesh(side, side, shown, norm=norm, cmap=DENSITY_COLOURS,
                                       rasterized=True)  # fmt: skip
                axes.set_aspect("equal")
            difference = image_difference(*images[label])
            column[0].set_title(results.paper.text(label), fontsize=11)
            column[1].set_xlabel(r"$\eta$" + f"\ndifference {difference:.3f}")
        for axes, word in zip(grid[:, 0], _WORDS, strict=True):
            axes.set_ylabel(rf"{word}   $\phi$ (rad)")
        figure.colorbar(mesh, ax=grid.ravel().tolist(), label="mean share of jet $p_T$ per pixel",
                        pad=0.02)  # fmt: skip
        number = int((labels == results.data.background).sum())
        noun = results.data.event_noun
        stamp_figure(figure, results, right=f"{number:,} {noun} of {results.data.background}")
    return figure


def image_difference(before: Image, after: Image) -> float:
    """Return half the summed difference of two images, each divided by its sum."""
    parts = [image / max(float(image.sum()), np.finfo(float).tiny) for image in (before, after)]
    return float(0.5 * np.abs(parts[0] - parts[1]).sum())


def _before_and_after(events: Mapping[str, np.ndarray], chosen: np.ndarray) -> tuple[Image, Image]:
    return average_image(events["truth"][chosen]), average_image(events["reconstructed"][chosen])


def average_image(jets: Float[np.ndarray, "event slot 3"]) -> Image:
    """Return the mean share of pT in each pixel of some jets; what lies outside is left out."""
    share, eta, phi = jets.reshape(-1, 3).astype(np.float64).T
    edges = np.linspace(-_REACH, _REACH, _PIXELS + 1)
    image, *_ = np.histogram2d(phi, eta, (edges, edges), weights=share)
    return np.asarray(image / max(len(jets), 1))


def masses_before_and_after(
    table: pd.DataFrame,
    columns: tuple[str, str],
    momentum: str,
    results: Results,
    *,
    bins: int = 50,
) -> Figure:
    """Return the mass of each class's jets before and after, in GeV, each of area 1.

    columns: the masses before and after, of the constituents that the network sees, in units of the
    jet's `momentum`, a column in GeV. The outermost bins hold what lies beyond them.
    arXiv:2303.14134 Fig. 3, left.
    """
    pt = table[momentum].to_numpy(np.float64)
    masses = [table[name].to_numpy(np.float64) * pt for name in columns]
    label, weights = table["label"].to_numpy(), table["weight"].to_numpy(np.float64)
    background = results.data.background
    lines: dict[str, dict[str, Any]] = {background: {"color": "0.35"}}
    lines |= signal_lines(set(label.tolist()) - {background, ""}, results)
    edges = score_edges(masses, bins, in_decades=False)
    with house_style():
        figure = Figure(figsize=(6.8, 5.0))
        axes = figure.subplots()
        for name, line in lines.items():
            chosen, colour = label == name, line["color"]
            before, after = (
                score_content(ScoreDistribution.of(mass[chosen], weights[chosen]), edges)
                for mass in masses
            )
            filled = name == background
            axes.stairs(before, edges, color=BACKGROUND_COLOUR if filled else colour, fill=filled,
                        linewidth=1.4)  # fmt: skip
            axes.stairs(after, edges, color=colour, linewidth=1.4, linestyle="--")
        handles = [
            Line2D([], [], color=line["color"], label=results.paper.math(name))
            for name, line in lines.items()
        ]
        handles += [
            Line2D([], [], color="0.2", linestyle=style, label=word)
            for word, style in zip(_WORDS, _STYLES[:2], strict=True)
        ]
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xlabel("mass of the constituents (GeV)")
        axes.set_ylabel("share of the class per bin")
        legend_below(figure, handles)
        stamp(axes, results, right=results.data.counts)
    return figure


def scores_of_trainings(
    tables: Mapping[str, pd.DataFrame], names: tuple[str, ...], results: Results, *, bins: int = 48
) -> Figure:
    """Return the distribution of scores in each class, a line style for each training.

    `tables` are tables of scores by the name of the training, of the same events; a class has the
    same colour in all. The outermost bins hold what lies beyond. arXiv:2303.14134 Fig. 5.
    """
    first = next(iter(tables.values()))
    present = set(first["label"].tolist()) - {"", results.data.background}
    lines: dict[str, dict[str, Any]] = {results.data.background: {"color": "0.35"}}
    lines |= signal_lines(present, results)
    styles: dict[str, Any] = dict(zip(tables, _STYLES, strict=False))
    with house_style():
        figure = Figure(figsize=(5.4 * len(names), 4.6))
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            columns = [table[f"score_{name}"].to_numpy(np.float64) for table in tables.values()]
            edges = score_edges(columns, bins, in_decades=True)
            for (training, table), values in zip(tables.items(), columns, strict=True):
                label, weights = table["label"].to_numpy(), table["weight"].to_numpy(np.float64)
                for known, line in lines.items():
                    chosen = label == known
                    sample = ScoreDistribution.of(values[chosen], weights[chosen])
                    shares = score_content(sample, edges)
                    axes.stairs(shares, edges, baseline=None, color=line["color"],
                                linestyle=styles[training], linewidth=1.3)  # fmt: skip
            if is_logarithmic(edges):
                logarithmic(axes.xaxis)
            axes.set(xlim=edges[[0, -1]], xlabel=results.axis(name), ylabel="share per bin")
        handles = [
            Line2D([], [], color=line["color"], label=results.paper.math(known))
            for known, line in lines.items()
        ]
        handles += [
            Line2D([], [], color="0.2", linestyle=style, label=training)
            for training, style in styles.items()
        ]
        legend_below(figure, handles)
        stamp_figure(figure, results, right=results.data.counts)
    return figure
