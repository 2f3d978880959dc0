"""Mass sculpting: the background's mass before and after cuts, and how much it differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anomaly_hep.evaluate.cuthistograms import Cells
from anomaly_hep.evaluate.evaluation import Values
from anomaly_hep.evaluate.figures.style import (
    BACKGROUND_COLOUR,
    PALETTE,
    house_style,
    legend_below,
    logarithmic,
    score_lines,
    stamp,
    stamp_figure,
)
from anomaly_hep.evaluate.massbins import BackgroundMasses, MassBins
from anomaly_hep.evaluate.results import Results
from anomaly_hep.evaluate.roc import ScoreDistribution
from anomaly_hep.evaluate.sculpting import FEWEST, Cut, Sculpted, sculpted_by

# colours of the rejections that are drawn
_DRAWN = {10: PALETTE["blue"], 100: PALETTE["red"]}
_BINS = 40
_OUTSIDE = 0.002  # share of the events beyond either end of the axis; they go to the edge bins
_POINTS = 25  # of a curve over background rejection
_EFFICIENCIES = np.linspace(0.1, 0.9, 5)


def mass_of_background(
    name: str, scores: Values, background: BackgroundMasses, results: Results
) -> Figure:
    """Return the background's mass before and after cuts on one score, and their ratio.

    Each spectrum has the sum 1; the outermost bins hold what lies beyond. Cuts that fewer than
    `FEWEST` effective events pass are not drawn. Bars are standard deviations.
    """
    drawn, edges = _in_even_bins(background)
    known = scores[background.rows]
    sample = ScoreDistribution.of(known, background.weight)
    cuts = 1.0 / np.array(list(_DRAWN), np.float64)
    cells = Cells.of(drawn, known, sample, cuts)
    before, _ = _spectrum(cells, 1.0)
    with house_style():
        figure = Figure(figsize=(6.4, 5.6))
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1.0))
        above.stairs(before, edges, fill=True, color=BACKGROUND_COLOUR, label="before the cut")
        for (rejection, colour), cut in zip(_DRAWN.items(), cuts, strict=True):
            if cells.effective(np.array([cut]))[0] < FEWEST:
                continue
            after, error = _spectrum(cells, cut)
            label = f"1 in {rejection} passes"
            above.stairs(after, edges, baseline=None, color=colour, linewidth=1.4, label=label)
            known_bins = before > 0
            centre = ((edges[1:] + edges[:-1]) / 2)[known_bins]
            ratio, bar = (v[known_bins] / before[known_bins] for v in (after, error))
            below.errorbar(centre, ratio, bar, fmt=".", color=colour, markersize=4, elinewidth=0.9)
        below.axhline(1.0, color="0.5", linestyle=":", linewidth=1.0)
        above.set_ylabel(f"share of {results.data.background} per bin")
        above.legend(title=f"cut on {results.title(name)}", title_fontsize=9)
        below.set_ylabel("after / before")
        below.set_yscale("log")
        below.set_ylim(0.05, 20.0)
        below.set_xlim(edges[0], edges[-1])
        below.set_xlabel(f"{background.bins.title} (GeV)")
        stamp(above, results, right=_counted(results))
    return figure


def sculpting_by_rejection(
    columns: Mapping[str, Values], background: BackgroundMasses, results: Results
) -> Figure:
    """Return the relative entropy by every score and baseline against background rejection.

    The grey band is the central 68 % of random cuts of equal size, the coloured one the interval of
    the default score. Curves end where fewer than `FEWEST` background events pass.
    """
    most = background.bins.events / FEWEST
    rejections = np.geomspace(1.25, max(most, 2.0), _POINTS)
    cuts = [Cut(1.0 / rejection) for rejection in rejections]
    with house_style():
        figure = Figure(figsize=(6.8, 5.4))
        axes = figure.subplots()
        for name, line in score_lines(results).items():
            found = dict(zip(rejections, sculpted_by(background, columns[name], cuts), strict=True))
            points = {x: one for x, one in found.items() if one is not None}
            if name == results.default_score:
                _band(axes, points, "floor", color="0.5", label="random cut of equal size, 68 %")
                _band(axes, points, "relative_entropy", color=line["color"])
            _curve(axes, points, line)
        axes.set_xscale("log")
        axes.set_yscale("log")
        logarithmic(axes.xaxis)
        axes.set_xlim(rejections[0], rejections[-1])
        axes.set_xlabel("background rejection (1 / background efficiency)")
        axes.set_ylabel(f"relative entropy of the {background.bins.title} (nats)")
        legend_below(figure, axes.get_legend_handles_labels()[0])
        stamp(axes, results, right=_counted(results))
    return figure


def sculpting_by_efficiency(
    columns: Mapping[str, Values],
    samples: Mapping[str, Mapping[str, ScoreDistribution]],
    background: BackgroundMasses,
    results: Results,
) -> Figure:
    """Return the relative entropy by every score against the efficiency of each signal.

    `samples` are the distributions of the scores by name and class. Points that random cuts would
    reach in 16 % of cases, too, are hollow; those of fewer than `FEWEST` background events absent.
    """
    signals = results.signals
    wide = min(3, len(signals))
    rows = -(-len(signals) // wide)
    lines = score_lines(results)
    with house_style():
        figure = Figure(figsize=(3.1 * wide + 0.6, 2.7 * rows + 1.0))
        grid = figure.subplots(rows, wide, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(signals) :]:
            axes.set_axis_off()
        for name in columns:
            cuts = [Cut(e, samples[name][signal]) for signal in signals for e in _EFFICIENCIES]
            found, n = iter(sculpted_by(background, columns[name], cuts)), len(_EFFICIENCIES)
            for axes in grid.flat[: len(signals)]:
                measured = zip(_EFFICIENCIES, islice(found, n), strict=True)
                points = {e: one for e, one in measured if one is not None}
                _curve(axes, points, lines[name], marked=True)
        for signal, axes in zip(signals, grid.flat, strict=False):
            axes.set_title(results.paper.math(signal), loc="left", fontsize=10)
            axes.set_xlim(0.0, 1.0)
            axes.set_yscale("log")
        for axes in grid[-1]:
            axes.set_xlabel("signal efficiency")
        figure.supylabel(f"relative entropy of the {background.bins.title} (nats)", fontsize=12)
        legend_below(figure, grid[0, 0].get_legend_handles_labels()[0])
        stamp_figure(figure, results, right=_counted(results))
    return figure


def _curve(
    axes: Axes, points: Mapping[float, Sculpted], line: Mapping[str, Any], marked: bool = False
) -> None:
    values = [one.relative_entropy.value for one in points.values()]
    axes.plot(list(points), values, **line)
    if marked:
        for x, one in points.items():
            chance = one.relative_entropy.value <= one.floor.high
            face = "white" if chance else line["color"]
            axes.plot(
                x, one.relative_entropy.value, "o", color=line["color"], markersize=3.5,
                markerfacecolor=face,
            )  # fmt: skip


def _band(axes: Axes, points: Mapping[float, Sculpted], key: str, **line: Any) -> None:
    bounds = [(x, *getattr(one, key)[1:]) for x, one in points.items()]
    if bounds:
        x, low, high = np.array(bounds).T
        # a logarithmic axis has no zero
        axes.fill_between(x, np.maximum(low, high * 1e-2), high, alpha=0.25, linewidth=0, **line)


def _in_even_bins(
    background: BackgroundMasses,
) -> tuple[BackgroundMasses, Float64[np.ndarray, " edge"]]:
    """Return the same events in bins of equal width, to be drawn."""
    low, high = np.quantile(background.mass, [_OUTSIDE, 1 - _OUTSIDE])
    if not high > low:
        low, high = background.mass.min(), background.mass.max()
    edges = np.linspace(low, high, _BINS + 1)
    index = np.searchsorted(edges, background.mass, side="right") - 1
    bins = MassBins(background.bins.title, edges.tolist(), background.bins.events)
    return replace(background, bin=index.clip(0, _BINS - 1), bins=bins), edges


def _spectrum(
    cells: Cells, cut: float
) -> tuple[Float64[np.ndarray, " bin"], Float64[np.ndarray, " bin"]]:
    """Return share and standard deviation of each bin after a cut of this efficiency."""
    content = cells.at(np.array([cut]))[0]
    squares = cells.squares.sum(axis=0)[: np.searchsorted(cells.edges, cut)].sum(axis=0)
    return content / content.sum(), np.sqrt(squares) / content.sum()


def _counted(results: Results) -> str:
    return f"{results.data.events[results.data.background]:,} {results.data.background} events"
