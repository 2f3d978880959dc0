"""Every score of a run at a glance: one small histogram for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anomaly_hep.evaluate.curves import Sample
from anomaly_hep.evaluate.figures.distributions import is_logarithmic, score_content, score_edges
from anomaly_hep.evaluate.figures.style import (
    BACKGROUND_COLOUR,
    group_colours,
    house_style,
    logarithmic,
    stamp_figure,
)
from anomaly_hep.evaluate.groups import groups_of
from anomaly_hep.evaluate.labels import event_counts, score_axis, score_groups


def score_histograms(
    samples: Mapping[str, Mapping[str, Sample]], metrics: Mapping[str, Any], *, bins: int = 40
) -> Figure:
    """Return a histogram of each score and baseline: background filled, each group a line.

    All are of area 1; the signals of a group count alike, however many events they have. The
    outermost bins hold what lies beyond them.
    """
    names, columns = list(score_groups(metrics)), 4
    rows = -(-len(names) // columns)
    with house_style():
        figure = Figure(figsize=(2.7 * columns, 2.2 * rows + 0.9))
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(names) :]:
            axes.set_axis_off()
        for axes, name in zip(grid.flat, names, strict=False):
            _draw(axes, name, samples[name], metrics, bins)
        for axes in grid[:, 0]:
            axes.set_ylabel("share per bin")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=6)
        stamp_figure(figure, metrics, right=event_counts(metrics))
    return figure


def _draw(
    axes: Axes, name: str, samples: Mapping[str, Sample], metrics: Mapping[str, Any], bins: int
) -> None:
    background = metrics["data"]["background"]
    values = [sample.values for sample in samples.values()]
    edges = score_edges(values, bins, in_decades=True)
    content = score_content(samples[background], edges)
    axes.stairs(content, edges, fill=True, color=BACKGROUND_COLOUR, label=background)
    for group, colour in group_colours(metrics).items():
        labels = groups_of(metrics)[group]
        content = np.mean([score_content(samples[label], edges) for label in labels], axis=0)
        axes.stairs(content, edges, baseline=None, color=colour, linewidth=1.3, label=group)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    if is_logarithmic(edges):
        logarithmic(axes.xaxis)
    axes.set_xlabel(score_axis(name), fontsize=9)
    axes.tick_params(labelsize=8)
