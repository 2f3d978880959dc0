"""Figures of firmware: efficiencies, agreement of chip and float scores, and cost in logic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anomaly_hep.evaluate.figures.style import DENSITY_COLOURS, all_colours, house_style
from anomaly_hep.evaluate.paper import load_paper
from anomaly_hep.fpga.budget_figure import draw_published
from anomaly_hep.fpga.summary import DecorrelationSummary, FirmwareSummary
from anomaly_hep.fpga.verify import Stage


def efficiencies(summary: FirmwareSummary) -> Figure:
    """Return the signal efficiencies of the float models and of the chip, with intervals."""
    # all other stages must equal the last of these
    shown = [stage for stage in summary.stages if stage.equal is None]
    paper = load_paper(summary.model.paper)
    labels = paper.ordered(shown[0].efficiency)
    with house_style():
        figure = Figure(figsize=(9, 4.5), layout="constrained")
        axes = figure.subplots()
        for number, (stage, colour) in enumerate(zip(shown, all_colours(), strict=False)):
            _draw(
                axes,
                np.arange(len(labels)) + 0.14 * (number - (len(shown) - 1) / 2),
                np.array([stage.efficiency[label] for label in labels]),
                color=colour,
                label="integers: the chip"
                if stage is shown[-1]
                else stage.implementation.split(": ")[0],
            )
        axes.set_xticks(range(len(labels)), [paper.math(label) for label in labels])
        axes.set_yscale("log")
        axes.set_ylabel(f"signal efficiency at rejection {summary.design.rejection:g} [%]")
        figure.legend(fontsize="small", frameon=False, loc="outside lower center", ncols=2)
    return figure


def agreement(
    chip: Stage, reference: Stage, labels: Shaped[np.ndarray, " event"], summary: FirmwareSummary
) -> Figure:
    """Return the chip's score against the float encoder's, for background and for signals.

    Where thresholds depend on the mass, it is the decorrelated score.
    """
    background = labels == summary.background
    kind, cut = "score", summary.design.threshold_value
    if summary.decorrelation is not None:
        kind, cut = "decorrelated score", math.log(summary.design.rejection)
    with house_style():
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        chosen = {"background": background, "signals": ~background}
        for axes, (title, rows) in zip(panels, chosen.items(), strict=True):
            low, high = 0.0, max(float(np.quantile(reference.scores, 0.99)), 1.1 * cut)
            axes.hist2d(
                reference.scores[rows],
                chip.scores[rows],
                bins=np.linspace(low, high, 80),
                norm="log",
                cmap=DENSITY_COLOURS,
            )
            axes.plot([low, high], [low, high], color="#888888", linewidth=0.8)
            axes.axhline(
                cut,
                color="#bd1f01",
                linewidth=1.0,
                label="the chip's threshold",
            )
            axes.set_title(title, fontsize="medium")
            axes.set_xlabel(f"{kind} of the float trigger encoder")
        figure.axes[0].set_ylabel(f"{kind} of the chip")
        figure.axes[0].legend(fontsize="small", frameon=False, loc="upper left")
    return figure


def passing(found: DecorrelationSummary, rejection: float) -> Figure:
    """Return the share of background that fires by mass: one threshold, and thresholds by mass."""
    edges = np.array(found.edges)
    middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    rows = {"one threshold": found.single, "thresholds by mass": found.by_mass}
    with house_style():
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.subplots()
        for (name, row), colour in zip(rows.items(), all_colours(), strict=False):
            _draw(axes, middle, np.array(row.in_bins), xerr=half, color=colour, label=name)
        axes.axhline(100 / rejection, color="#888888", linewidth=0.8)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(f"{found.column} (GeV)")
        axes.set_ylabel("background that fires [%]")
        figure.legend(fontsize="small", frameon=False, loc="outside lower center", ncols=2)
    return figure


def trade_off(points: pd.DataFrame) -> Figure:
    """Return mean signal efficiency against LUTs, one point per design, with the Pareto front.

    `points` has the columns constituents, widths, lut, efficiency, low, high. Lines are the LUTs of
    published designs.
    """
    with house_style():
        figure = Figure(figsize=(7, 4.8), layout="constrained")
        axes = figure.subplots()
        for (size, designs), colour in zip(
            points.groupby("constituents"), all_colours(), strict=False
        ):
            intervals = designs[["efficiency", "low", "high"]].to_numpy()
            _draw(axes, designs["lut"], intervals, color=colour, label=f"{size} constituents")
            for lut, value, widths in zip(
                designs["lut"], intervals[:, 0], designs["widths"], strict=True
            ):
                axes.annotate(
                    widths,
                    (lut, 100 * value),
                    xytext=(4, 4),
                    textcoords="offset points",
                    fontsize="x-small",
                )
        front = pareto(list(zip(points["lut"], 100 * points["efficiency"], strict=True)))
        axes.step(*zip(*front, strict=True), where="post", color="#888888", zorder=0)
        draw_published(axes)
        axes.set_xscale("log")
        axes.set_xlabel("LUTs: the compiler's estimate; of published designs after place and route")
        axes.set_ylabel("signal efficiency at the rejection, mean over signals [%]")
        figure.legend(fontsize="x-small", frameon=False, loc="outside lower center", ncols=2)
    return figure


def _draw(axes: Axes, x: Any, intervals: Float64[np.ndarray, "point 3"], **how: Any) -> None:
    """Draw efficiencies, given as value, low and high, in % with their intervals."""
    value, low, high = 100 * intervals.T
    axes.errorbar(x, value, yerr=[value - low, high - value], fmt="o", markersize=5, **how)


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points (cost, gain) that no other beats in both, by rising cost."""
    front: list[tuple[float, float]] = []
    for cost, gain in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or gain > front[-1][1]:
            front.append((cost, gain))
    return front
