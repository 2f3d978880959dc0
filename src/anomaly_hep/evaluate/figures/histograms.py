"""Histograms of scores: of one, of all at a glance, and of two jointly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from anomaly_hep.evaluate.evaluation import SCORE_PREFIX
from anomaly_hep.evaluate.figures.style import (
    BACKGROUND_COLOUR,
    DENSITY_COLOURS,
    group_colours,
    house_style,
    legend_below,
    logarithmic,
    signal_lines,
    stamp,
    stamp_figure,
)
from anomaly_hep.evaluate.results import Results
from anomaly_hep.evaluate.roc import ScoreDistribution, scaled

# A line shows the cut that one background event in this many passes.
REJECTION = 100

# Share of the events beyond either end of the axis; they go to the edge bins.
_OUTSIDE = 0.001
_FARTHEST = 1e100  # scores beyond it are drawn there, as matplotlib squares what it draws


class Pair(NamedTuple):
    """Two scores of the same events, with weights."""

    x: Float64[np.ndarray, " event"]
    y: Float64[np.ndarray, " event"]
    weights: Float64[np.ndarray, " event"]


def score_histogram(
    name: str, samples: Mapping[str, ScoreDistribution], results: Results, *, bins: int = 48
) -> Figure:
    """Return the histogram of one score: background filled, each signal a line, each of area 1.

    The outermost bins hold what lies beyond them; the vertical line is the cut at rejection 100.
    """
    background = results.data.background
    # masses and multiplicities are read on linear axes, scores by their tails
    values = [sample.values for sample in samples.values()]
    edges = score_edges(values, bins, in_decades=name in results.scores)
    with house_style():
        figure = Figure(figsize=(6.8, 5.2))
        axes = figure.subplots()
        content = score_content(samples[background], edges)
        axes.stairs(content, edges, fill=True, color=BACKGROUND_COLOUR, label=background)
        for signal, line in signal_lines(set(samples) - {background}, results).items():
            content = score_content(samples[signal], edges)
            # a gap where a class has no event: a line down to zero would only hide others
            content[content == 0] = np.nan
            axes.stairs(
                content,
                edges,
                baseline=None,
                label=results.paper.math(signal),
                linewidth=1.3,
                **line,
            )
        cut = float(np.clip(_cut(samples[background]), edges[0], edges[-1]))
        axes.axvline(cut, 0, 0.8, color="0.2", linewidth=1.0, linestyle=":")
        axes.annotate(
            f"1 in {REJECTION} {background} events to the right", (cut, 0.03),
            xycoords=("data", "axes fraction"), rotation=90, ha="right", va="bottom", fontsize=8.5,
        )  # fmt: skip
        axes.set_xlim(edges[0], edges[-1])
        if is_logarithmic(edges):
            logarithmic(axes.xaxis)
        axes.set_yscale("log")
        axes.set_ylim(_lowest(samples), axes.get_ylim()[1] * 8)
        axes.set_xlabel(results.axis(name))
        axes.set_ylabel("share of the class per bin")
        axes.legend(ncols=4, loc="upper center", columnspacing=1.2)
        stamp(axes, results, right=results.data.counts)
    return figure


def score_histograms(
    samples: Mapping[str, Mapping[str, ScoreDistribution]], results: Results, *, bins: int = 40
) -> Figure:
    """Return a histogram of each score and baseline: background filled, each group a line.

    All are of area 1; the signals of a group have equal weight, however many events they have. The
    outermost bins hold what lies beyond them.
    """
    names, columns = results.names, 4
    rows = -(-len(names) // columns)
    with house_style():
        figure = Figure(figsize=(2.7 * columns, 2.2 * rows + 0.9))
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(names) :]:
            axes.set_axis_off()
        for axes, name in zip(grid.flat, names, strict=False):
            _draw_small(axes, name, samples[name], results, bins)
        for axes in grid[:, 0]:
            axes.set_ylabel("share per bin")
        legend_below(figure, grid[0, 0].get_legend_handles_labels()[0])
        stamp_figure(figure, results, right=results.data.counts)
    return figure


def _draw_small(
    axes: Axes, name: str, samples: Mapping[str, ScoreDistribution], results: Results, bins: int
) -> None:
    background = results.data.background
    values = [sample.values for sample in samples.values()]
    edges = score_edges(values, bins, in_decades=True)
    content = score_content(samples[background], edges)
    axes.stairs(content, edges, fill=True, color=BACKGROUND_COLOUR, label=background)
    for group, colour in group_colours(results).items():
        labels = results.data.measured_groups[group]
        content = np.mean([score_content(samples[label], edges) for label in labels], axis=0)
        axes.stairs(content, edges, baseline=None, color=colour, linewidth=1.3, label=group)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    if is_logarithmic(edges):
        logarithmic(axes.xaxis)
    axes.set_xlabel(results.axis(name), fontsize=9)
    axes.tick_params(labelsize=8)


def joint_density(
    panels: Mapping[str, Pair],
    results: Results,
    x_name: str,
    y_name: str,
    *,
    bins: int = 50,
) -> Figure:
    """Return the joint density of two scores, one panel for each pair, on common axes.

    `panels` hold the scores `x_name` and `y_name`. Each panel is normalised to 1 and states
    Spearman's rank correlation of its events, without weights.
    """
    x_edges = score_edges([pair.x for pair in panels.values()], bins, in_decades=True)
    y_edges = score_edges([pair.y for pair in panels.values()], bins, in_decades=True)
    contents = {title: _joint_content(pair, x_edges, y_edges) for title, pair in panels.items()}
    shares = np.concatenate([content.ravel() for content in contents.values()])
    with house_style():
        figure = Figure(figsize=(4.1 * len(panels) + 1.0, 4.5))
        grid = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (title, pair) in zip(grid, panels.items(), strict=True):
            mesh = axes.pcolormesh(
                x_edges, y_edges, contents[title].T, rasterized=True, cmap=DENSITY_COLOURS,
                norm=LogNorm(shares[shares > 0].min(), shares.max()),
            )  # fmt: skip
            axes.set(xlim=x_edges[[0, -1]], ylim=y_edges[[0, -1]])
            for axis, edges in ((axes.xaxis, x_edges), (axes.yaxis, y_edges)):
                if is_logarithmic(edges):
                    logarithmic(axis)
            axes.set_title(f"{title}, {len(pair.x):,} events", loc="left", fontsize=9.5)
            if np.ptp(scaled(pair.x)) > 0 < np.ptp(scaled(pair.y)):  # a constant has no ranks
                rank = spearmanr(pair.x, pair.y).statistic
                axes.set_title(f"rank correlation ${rank:+z.2f}$", loc="right", fontsize=9.5)
            axes.set_xlabel(results.axis(x_name))
        grid[0].set_ylabel(results.axis(y_name))
        figure.colorbar(mesh, ax=grid, label="share of events per bin", pad=0.02)
        stamp_figure(figure, results, right="")
    return figure


def score_pairs(table: pd.DataFrame, background: str, x_name: str, y_name: str) -> dict[str, Pair]:
    """Return two scores of a table's background events and of all its signal events."""
    x, y = (table[SCORE_PREFIX + name].to_numpy(np.float64) for name in (x_name, y_name))
    weights, label = table["weight"].to_numpy(np.float64), table["label"].to_numpy()
    classes = {background: label == background, "signals": (label != background) & (label != "")}
    return {
        title: Pair(x[chosen], y[chosen], weights[chosen])
        for title, chosen in classes.items()
        if chosen.any()
    }


def is_logarithmic(edges: Float64[np.ndarray, " edge"]) -> bool:
    """Return whether bins are equally wide in the logarithm."""
    return bool(edges[0] > 0 and np.isclose(edges[1] / edges[0], edges[-1] / edges[-2]))


def score_edges(
    columns: list[np.ndarray], bins: int, *, in_decades: bool
) -> Float64[np.ndarray, " edge"]:
    """Return bin edges around all but extreme values, logarithmic for long tails `in_decades`."""
    columns = [np.clip(column, -_FARTHEST, _FARTHEST) for column in columns]
    low = min(np.quantile(column, _OUTSIDE) for column in columns)
    high = max(np.quantile(column, 1 - _OUTSIDE) for column in columns)
    if high - low <= 1e-9 * abs(low):
        half = max(0.5, 0.01 * abs(low))
        low, high = low - half, high + half
    if in_decades and low > 1 / _FARTHEST and high / low > 30:
        return np.geomspace(low, high, bins + 1)
    return np.linspace(low, high, bins + 1)


def score_content(
    sample: ScoreDistribution, edges: Float64[np.ndarray, " edge"]
) -> Float64[np.ndarray, " bin"]:
    """Return the share of a sample in each bin; the outermost ones hold what lies beyond."""
    inside = np.clip(sample.values, edges[0], edges[-1])
    return np.asarray(np.histogram(inside, edges, weights=sample.shares)[0])


def _joint_content(
    pair: Pair, x_edges: Float64[np.ndarray, " x"], y_edges: Float64[np.ndarray, " y"]
) -> Float64[np.ndarray, "x_bin y_bin"]:
    x = np.clip(pair.x, x_edges[0], x_edges[-1])
    y = np.clip(pair.y, y_edges[0], y_edges[-1])
    weights = scaled(pair.weights)
    shares = weights / weights.sum()
    return np.asarray(np.histogram2d(x, y, (x_edges, y_edges), weights=shares)[0])


def _lowest(samples: Mapping[str, ScoreDistribution]) -> float:
    """Return a share below that of one event of the largest class, rounded to a power of ten."""
    most = max(sample.effective_events for sample in samples.values())
    return float(10.0 ** np.floor(np.log10(0.9 / most)))


def _cut(background: ScoreDistribution) -> float:
    """Return the highest score that at least one background event in REJECTION reaches."""
    index = int(np.searchsorted(background.cumulative, 1.0 / REJECTION, side="left"))
    return float(background.values[max(index - 1, 0)])
