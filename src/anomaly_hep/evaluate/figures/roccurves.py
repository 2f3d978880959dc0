"""ROC curves and the efficiencies read off them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from anomaly_hep.evaluate.figures.style import (
    PUBLISHED_COLOUR,
    house_style,
    legend_below,
    model_colours,
    score_lines,
    signal_lines,
    stamp,
    stamp_figure,
)
from anomaly_hep.evaluate.intervals import efficiency_interval
from anomaly_hep.evaluate.metrics import Metric
from anomaly_hep.evaluate.paper import Paper, PublishedRow
from anomaly_hep.evaluate.results import Results
from anomaly_hep.evaluate.roc import ScoreDistribution, signal_efficiency

# of one score, by class
Distributions = Mapping[str, ScoreDistribution]
# With fewer background events than this above a cut, the curve has little meaning.
_FEW = 10


def roc_by_signal(
    samples: Mapping[str, Distributions],
    results: Results,
    published: Sequence[PublishedRow] = (),
    signals: Sequence[str] = (),
) -> Figure:
    """Return one panel per signal with the ROC of each score and baseline, `samples` by name.

    The band around the default score is the central 68 % interval of its efficiency; symbols are
    published values at the paper's working point, which is a thin line. Panels are those of
    `signals`, by default of all.
    """
    background, point = results.data.background, _working_point(results.paper)
    lines, chosen = score_lines(results), results.default_score
    with house_style():
        figure, panels = _panels(signals or results.signals, "signal efficiency", results.paper)
        for signal, axes in panels.items():
            for name, line in lines.items():
                if name in samples:
                    _draw(axes, samples[name][background], samples[name][signal], **line)
            default = samples[chosen]
            _draw_band(axes, default[background], default[signal], color=lines[chosen]["color"])
            if point is not None:
                _draw_published(axes, signal, point, published)
            _finish(axes, default[background], point)
        legend_below(figure, next(iter(panels.values())).get_legend_handles_labels()[0])
        stamp_figure(figure, results, right=results.data.counts)
    return figure


def rocs_by_group(name: str, samples: Distributions, results: Results) -> Figure:
    """Return one panel per group of signals with the ROC of one score for each of its signals."""
    background, groups = results.data.background, results.data.measured_groups
    lines = signal_lines([label for labels in groups.values() for label in labels], results)
    point = _working_point(results.paper)
    with house_style():
        quantity = f"signal efficiency, cut on {results.title(name)}"
        figure, panels = _panels(list(groups), quantity, results.paper, size=4.2)
        for group, axes in panels.items():
            drawn = [
                _draw(
                    axes, samples[background], samples[label],
                    **lines[label] | {"label": results.paper.short(label)},
                )
                for label in groups[group]
            ]  # fmt: skip
            _finish(axes, samples[background], point)
            axes.legend(handles=drawn, loc="lower left")
        stamp_figure(figure, results, right=results.data.counts)
    return figure


def roc_of_score(name: str, samples: Distributions, results: Results) -> Figure:
    """Return the ROC of one score for every signal in one panel."""
    background = results.data.background
    with house_style():
        figure = Figure(figsize=(6.4, 5.9))
        axes = figure.subplots()
        for signal, line in signal_lines(set(samples) - {background}, results).items():
            label = results.paper.math(signal)
            _draw(axes, samples[background], samples[signal], label=label, **line)
        _finish(axes, samples[background], _working_point(results.paper))
        axes.set_xlabel(f"signal efficiency, cut on {results.title(name)}")
        axes.set_ylabel("background rejection (1 / background efficiency)")
        legend_below(figure, axes.get_legend_handles_labels()[0])
        stamp(axes, results, right=results.data.counts)
    return figure


def roc_of_runs(runs: Mapping[str, Distributions], results: Results, score: str) -> Figure:
    """Return the ROC of one score in several runs, signal by signal.

    `results` are those of one of the runs, which share the test events.
    """
    background = results.data.background
    with house_style():
        quantity = f"signal efficiency, cut on {results.title(score)}"
        figure, panels = _panels(results.signals, quantity, results.paper)
        for signal, axes in panels.items():
            for (name, samples), colour in zip(runs.items(), model_colours(), strict=False):
                _draw(axes, samples[background], samples[signal], color=colour, label=name)
                _draw_band(axes, samples[background], samples[signal], color=colour)
            samples = next(iter(runs.values()))
            _finish(axes, samples[background], _working_point(results.paper))
        legend_below(figure, next(iter(panels.values())).get_legend_handles_labels()[0])
        stamp_figure(figure, results, right=results.data.counts)
    return figure


def _working_point(paper: Paper) -> Metric | None:
    """Return the headline metric with a working point on the ROC; None for areas."""
    points = (metric for metric in paper.headlines if metric.rejection or metric.efficiency)
    return next(points, None)


def _panels(
    names: Sequence[str], quantity: str, paper: Paper, *, size: float = 2.6
) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure with one panel per signal or group, three in a row, its name above it."""
    columns = max(1, min(3, len(names)))
    rows = max(1, -(-len(names) // columns))
    figure = Figure(figsize=((size + 0.5) * columns + 0.5, size * rows + 1.0))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = dict(zip(names, grid.flat, strict=False))
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    for name, axes in panels.items():
        axes.set_title(paper.math(name), loc="left", fontsize=10)
    for axes in grid[-1]:
        axes.set_xlabel(quantity)
    definition = "" if rows == 1 and size < 3 else " (1 / background efficiency)"
    figure.supylabel(f"background rejection{definition}", fontsize=12)
    return figure, panels


def _rates(background: ScoreDistribution, points: int) -> Float64[np.ndarray, " rate"]:
    """Return background efficiencies, logarithmically spaced, from one effective event to all."""
    return np.geomspace(1.0 / background.effective_events, 1.0, points)


def _draw(
    axes: Axes, background: ScoreDistribution, signal: ScoreDistribution, **line: Any
) -> Line2D:
    rates = _rates(background, 400)
    (drawn,) = axes.plot(signal_efficiency(background, signal, rates), 1.0 / rates, **line)
    return drawn


def _draw_band(
    axes: Axes, background: ScoreDistribution, signal: ScoreDistribution, *, color: str
) -> None:
    rejections = 1.0 / _rates(background, 40)
    intervals = [(r, efficiency_interval(background, signal, r)) for r in rejections]
    bands = [(r, interval.low, interval.high) for r, interval in intervals if interval]
    rejection, low, high = np.array(bands).T
    axes.fill_betweenx(rejection, low, high, color=color, alpha=0.2, linewidth=0)


def _finish(axes: Axes, background: ScoreDistribution, point: Metric | None) -> None:
    """Set the axes: a random cut, the working point, and where background events run out."""
    top = background.effective_events
    efficiency = np.geomspace(1.0 / top, 1.0, 200)
    axes.plot(
        efficiency, 1.0 / efficiency, color="0.5", linestyle=":", linewidth=1.0, label="random cut"
    )
    thin: dict[str, Any] = {"color": "0.75", "linewidth": 0.7, "zorder": 0}
    if point is not None and point.efficiency is not None:
        axes.axvline(point.efficiency, **thin)
    if point is not None and point.rejection is not None:
        axes.axhline(point.rejection, **thin)
    few = f"fewer than {_FEW} background events"
    axes.axhspan(top / _FEW, top, color="0.93", zorder=-1, label=few)
    axes.set_yscale("log")
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(1.0, max(top, 10.0))


def _draw_published(
    axes: Axes, signal: str, point: Metric, published: Sequence[PublishedRow]
) -> None:
    rows = [row for row in published if row.metric == point.key]
    for row, marker in zip(rows, "*XPD^v", strict=False):
        if signal not in row.values:
            continue
        share = row.values[signal] / 100
        axes.plot(
            point.efficiency or share, point.rejection or 1 / share, marker,
            color=PUBLISHED_COLOUR, markersize=7, markeredgewidth=0.5,
            markeredgecolor="white", label=row.title,
        )  # fmt: skip
