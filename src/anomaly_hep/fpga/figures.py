"""Figures of a firmware run: what was lost on the way, and how chip and float scores agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped
from matplotlib.figure import Figure

from anomaly_hep.evaluate.figures.style import DENSITY_COLOURS, all_colours, house_style
from anomaly_hep.evaluate.paper import load_paper
from anomaly_hep.fpga.verify import Stage


def efficiencies(content: Mapping[str, Any], names: Mapping[str, str]) -> Figure:
    """Return the signal efficiency of chosen stages with intervals; `names` are the legend's."""
    shown = [row for row in content["stages"] if row["implementation"] in names]
    paper = load_paper(content["model"]["paper"])
    labels = paper.ordered(shown[0]["efficiency"])
    with house_style():
        figure = Figure(figsize=(9, 4.5), layout="constrained")
        axes = figure.subplots()
        for number, (row, colour) in enumerate(zip(shown, all_colours(), strict=False)):
            values = np.array([row["efficiency"][label] for label in labels]) * 100
            axes.errorbar(
                np.arange(len(labels)) + 0.14 * (number - (len(shown) - 1) / 2),
                values[:, 0],
                yerr=[values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]],
                fmt="o",
                markersize=5,
                color=colour,
                label=names[row["implementation"]],
            )
        axes.set_xticks(range(len(labels)), [paper.math(label) for label in labels])
        axes.set_yscale("log")
        axes.set_ylabel(f"signal efficiency at rejection {content['design']['rejection']:g} [%]")
        axes.legend(fontsize="small", frameon=False)
    return figure


def agreement(
    chip: Stage, reference: Stage, labels: Shaped[np.ndarray, " event"], background: str, cut: float
) -> Figure:
    """Return the chip's score against the float encoder's, background and signals, with its cut."""
    with house_style():
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        for axes, (title, chosen) in zip(
            figure.subplots(1, 2, sharex=True, sharey=True),
            (("background", labels == background), ("signals", labels != background)),
            strict=True,
        ):
            low, high = 0.0, float(np.quantile(reference.scores, 0.99))
            axes.hist2d(
                reference.scores[chosen],
                chip.scores[chosen],
                bins=np.linspace(low, high, 80),
                norm="log",
                cmap=DENSITY_COLOURS,
            )
            axes.plot([low, high], [low, high], color="#888888", linewidth=0.8)
            axes.axhline(cut, color="#bd1f01", linewidth=1.0, label="the chip's threshold")
            axes.set_title(title, fontsize="medium")
            axes.set_xlabel("score of the float trigger encoder")
        figure.axes[0].set_ylabel("score of the chip")
        figure.axes[0].legend(fontsize="small", frameon=False)
    return figure


def trade_off(points: Sequence[Mapping[str, Any]]) -> Figure:
    """Return mean signal efficiency against LUTs, one point a design, the Pareto front drawn."""
    with house_style():
        figure = Figure(figsize=(7, 4.8), layout="constrained")
        axes = figure.subplots()
        sizes = sorted({point["constituents"] for point in points})
        for size, colour in zip(sizes, all_colours(), strict=False):
            some = [point for point in points if point["constituents"] == size]
            values = np.array([point["efficiency"] for point in some]) * 100
            luts = [point["lut"] for point in some]
            axes.errorbar(
                luts,
                values[:, 0],
                yerr=[values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]],
                fmt="o",
                color=colour,
                label=f"{size} constituents",
            )
            for lut, value, point in zip(luts, values[:, 0], some, strict=True):
                axes.annotate(
                    f"{point['weight_bits']} bit",
                    (lut, value),
                    xytext=(4, 4),
                    textcoords="offset points",
                    fontsize="x-small",
                )
        front = pareto([(point["lut"], point["efficiency"][0]) for point in points])
        best = [(lut, 100 * value) for lut, value in front]
        axes.step(*zip(*best, strict=True), where="post", color="#888888", zorder=0)
        axes.set_xscale("log")
        axes.set_xlabel("LUTs, da4ml's estimate")
        axes.set_ylabel("signal efficiency at the rejection, mean over signals [%]")
        axes.legend(fontsize="small", frameon=False, loc="upper left")
    return figure


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the (cost, gain) that no other beats in both, by rising cost."""
    front: list[tuple[float, float]] = []
    for cost, gain in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or gain > front[-1][1]:
            front.append((cost, gain))
    return front
