"""The figure of signal efficiencies at one rejection, signal by signal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anomaly_hep.evaluate.figures.style import (
    PUBLISHED_COLOUR,
    house_style,
    legend_below,
    score_colours,
    stamp,
)
from anomaly_hep.evaluate.metrics import signal_efficiency_at
from anomaly_hep.evaluate.paper import Paper, PublishedRow
from anomaly_hep.evaluate.results import Results

# Efficiency in % at the lower edge of the axis.
_LOWEST = 0.05


class _Series(NamedTuple):
    """Points of one score: value, low and high in % for each signal, NaN where there is none."""

    label: str
    points: Float64[np.ndarray, "signal 3"]
    marker: dict[str, Any]


def efficiency_summary(
    results: Results, rejection: float, published: Sequence[PublishedRow] = ()
) -> Figure:
    """Return the efficiencies at a rejection of every score, baseline and published row.

    Bars are central 68 % intervals, for published rows the spread of several trainings.
    Efficiencies below the axis, zero included, are drawn at its lower edge.
    """
    signals, key = results.signals, signal_efficiency_at(rejection).key
    rows = [row for row in published if row.metric == key]
    series = [*_measured(results, key, signals), *_published(rows, signals)]
    with house_style():
        figure = Figure(figsize=(9.6, 5.0))
        axes = figure.subplots()
        for i, one in enumerate(series):
            offset = (i + 0.5) / len(series) - 0.5
            _draw(axes, np.arange(len(signals)) + 0.8 * offset, one)
        _finish(axes, rejection, signals, results.paper)
        legend_below(figure, axes.get_legend_handles_labels()[0])
        stamp(axes, results, right=results.data.counts)
    return figure


def _measured(results: Results, key: str, signals: Sequence[str]) -> Iterator[_Series]:
    for name, colour in score_colours(results).items():
        cells = results.cells(name, key)
        points = [cells.get(signal, (np.nan, np.nan, np.nan)) for signal in signals]
        marker: dict[str, Any] = {"color": colour, "marker": "o", "markersize": 6}
        if name in results.baselines:
            marker |= {"marker": "s", "markersize": 4.5, "markerfacecolor": "white"}
        yield _Series(results.title(name), 100 * np.array(points, np.float64), marker)


def _published(rows: Sequence[PublishedRow], signals: Sequence[str]) -> Iterator[_Series]:
    for row, symbol in zip(rows, "*XPD^v", strict=False):
        values = np.array([row.values.get(s, np.nan) for s in signals])
        spread = np.array([row.spread.get(s, 0.0) for s in signals])
        marker = {"color": PUBLISHED_COLOUR, "marker": symbol, "markersize": 6}
        if not row.spread:
            marker |= {"markerfacecolor": "white"}
        yield _Series(
            row.title, np.stack([values, values - spread, values + spread], axis=1), marker
        )


def _draw(axes: Axes, places: Float64[np.ndarray, " signal"], series: _Series) -> None:
    value, low, high = np.maximum(series.points, _LOWEST).T
    axes.errorbar(
        places, value, yerr=[value - low, high - value], label=series.label,
        linestyle="none", elinewidth=1.3, markeredgewidth=1.0, **series.marker,
    )  # fmt: skip


def _finish(axes: Axes, rejection: float, signals: Sequence[str], paper: Paper) -> None:
    axes.axhline(100 / rejection, color="0.55", linewidth=0.9, linestyle=":", zorder=0)
    axes.annotate(
        "random", (1.006, 100 / rejection), xycoords=("axes fraction", "data"), va="center",
        fontsize=8.5, color="0.4",
    )  # fmt: skip
    for edge in np.arange(len(signals) - 1) + 0.5:
        axes.axvline(edge, color="0.88", linewidth=0.8, zorder=0)
    axes.set_yscale("log")
    axes.set_ylim(0.8 * _LOWEST, 130)
    axes.set_xlim(-0.5, len(signals) - 0.5)
    axes.set_xticks(range(len(signals)), [paper.math(s) for s in signals], fontsize=11)
    axes.tick_params(axis="x", which="both", length=0)
    axes.set_ylabel(f"signal efficiency at rejection {rejection:g} (%)")
    axes.set_yticks([_LOWEST, 0.1, 1, 10, 100], [f"≤ {_LOWEST:g}", "0.1", "1", "10", "100"])
