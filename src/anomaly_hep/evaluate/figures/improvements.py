"""Figures of significance improvements: over all channels, and channel by channel."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from anomaly_hep.evaluate.figures.style import (
    all_colours,
    house_style,
    legend_below,
    model_colours,
    stamp_name,
)
from anomaly_hep.evaluate.improvement import Improvements
from anomaly_hep.evaluate.results import Results

_LOWEST = 0.02  # improvements below are drawn there


def improvement_boxes(found: Mapping[str, Improvements], title: str) -> Figure:
    """Return a box of the total improvements of all signals for each of `found`, by name.

    Boxes reach from the quarter to three quarters of the signals, whiskers at most 1.5 times as
    far; points are the signals, the thick line is the median with its bootstrap interval.
    """
    with house_style():
        figure = Figure(figsize=(8.6, 1.2 + 0.42 * len(found)))
        axes = figure.subplots()
        colours, top = model_colours(), len(found) - 1
        for row, one in enumerate(found.values()):
            _box(axes, one, top - row, colours[row % len(colours)])
        axes.axvline(1.0, color="0.5", linestyle=":", linewidth=1.0)
        axes.set_xscale("log")
        axes.set_yticks(range(len(found)), list(found)[::-1])
        axes.set_ylim(-0.6, len(found) - 0.4)
        axes.tick_params(axis="y", which="both", length=0)
        axes.set_xlabel("total improvement of each signal")
        stamp_name(figure, title)
    return figure


def _box(axes: Axes, one: Improvements, place: int, colour: str) -> None:
    values = np.maximum([replicas[0] for replicas in one.replicas.values()], _LOWEST)
    axes.boxplot(
        [values], positions=[place], orientation="horizontal", widths=0.55, showfliers=False,
        boxprops={"color": colour}, whiskerprops={"color": colour}, capprops={"color": colour},
        medianprops={"color": colour, "linewidth": 2.5},
    )  # fmt: skip
    shift = np.linspace(-0.15, 0.15, len(values))
    axes.plot(values, place + shift, ".", color=colour, markersize=4, alpha=0.6)
    median = one.summary()["median"]
    axes.plot([median.low, median.high], [place - 0.36] * 2, color=colour, linewidth=2.5)


def improvements_by_channel(
    found: Mapping[str, Mapping[str, Results]], metric: str, title: str
) -> Figure:
    """Return the significance improvement of each signal: a colour for a channel, a marker a model.

    `found` holds the results by model and channel, of each model's default score.
    """
    first = next(iter(found.values()))
    paper = next(iter(first.values())).paper
    tested = [results for runs in found.values() for results in runs.values()]
    signals = paper.ordered({signal for results in tested for signal in results.signals})
    colours = dict(zip(first, all_colours(), strict=False))
    markers = dict(zip(found, "osD^vPX*" * len(found), strict=False))
    with house_style():
        figure = Figure(figsize=(8.6, 1.4 + 0.36 * len(signals)))
        axes = figure.subplots()
        for model, runs in found.items():
            for channel, results in runs.items():
                cells = results.cells(results.default_score, metric)
                for place, signal in enumerate(reversed(signals)):
                    if signal in cells:
                        value, low, high = np.maximum(cells[signal], _LOWEST)
                        axes.errorbar(
                            [value], [place], xerr=[[value - low], [high - value]],
                            marker=markers[model], color=colours[channel], markersize=5,
                            elinewidth=1.0, linestyle="none", alpha=0.85,
                        )  # fmt: skip
        axes.axvline(1.0, color="0.5", linestyle=":", linewidth=1.0)
        axes.set_xscale("log")
        axes.set_yticks(range(len(signals)), [paper.math(s) for s in reversed(signals)])
        axes.set_ylim(-0.7, len(signals) - 0.3)
        axes.set_xlabel("significance improvement")
        handles = [
            Line2D([], [], color=c, marker="o", linestyle="none", label=f"channel {n}")
            for n, c in colours.items()
        ]
        if len(found) > 1:
            handles += [
                Line2D([], [], color="0.3", marker=m, linestyle="none", label=n)
                for n, m in markers.items()
            ]
        legend_below(figure, handles)
        stamp_name(figure, title)
    return figure
