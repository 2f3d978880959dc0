"""The latent space of a model with two latent components."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anomaly_hep.evaluate.evaluation import SCORE_PREFIX
from anomaly_hep.evaluate.figures.style import (
    BACKGROUND_COLOUR,
    house_style,
    signal_lines,
    stamp_figure,
)
from anomaly_hep.evaluate.results import Results

# Most events to draw: more would hide each other. Background about as many as a panel's signals.
_BACKGROUND, _SIGNAL = 2000, 300
# Share of the drawn events that may lie outside of the axes at either end.
_OUTSIDE = 0.002


def latent_scatter(
    table: pd.DataFrame, results: Results, components: tuple[str, str], *, seed: int = 0
) -> Figure:
    """Return a scatter plot of events in latent space, one panel per group of signals.

    `components` are the scores that are the vector's two components, `table` the table of scores. A
    random part of each class, chosen by `seed`, is drawn.
    """
    background, groups = results.data.background, results.data.measured_groups
    signals = [label for labels in groups.values() for label in labels]
    rng = np.random.default_rng(seed)
    points = {
        label: _random_rows(table[table["label"] == label], components, most, rng)
        for label, most in {background: _BACKGROUND, **dict.fromkeys(signals, _SIGNAL)}.items()
    }
    lines = signal_lines(signals, results)
    with house_style():
        figure = Figure(figsize=(4.9 * len(groups) + 0.4, 5.2))
        panels = figure.subplots(1, len(groups), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (group, labels) in zip(panels, groups.items(), strict=True):
            _draw(axes, points[background], BACKGROUND_COLOUR, background)
            for label in labels:
                _draw(axes, points[label], lines[label]["color"], results.paper.short(label))
            axes.set_title(group, loc="left", fontsize=11)
            axes.set_xlabel(results.axis(components[0]))
            axes.legend(
                loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=4, markerscale=2.2,
                handletextpad=0.1, columnspacing=0.8, scatterpoints=1,
            )  # fmt: skip
        panels[0].set_ylabel(results.axis(components[1]))
        every = np.concatenate(list(points.values()))
        panels[0].set(xlim=_limits(every[:, 0]), ylim=_limits(every[:, 1]))
        drawn = len(points[background])
        of = results.data.events[background]
        stamp_figure(figure, results, right=f"{drawn:,} of {of:,} {background} events drawn")
    return figure


def _random_rows(
    rows: pd.DataFrame, components: tuple[str, str], most: int, rng: np.random.Generator
) -> Float64[np.ndarray, "event 2"]:
    """Return the latent vectors of at most `most` rows, chosen at random."""
    values = rows[[SCORE_PREFIX + name for name in components]].to_numpy(np.float64)
    chosen = rng.permutation(len(values))[:most]
    return values[chosen]


def _draw(axes: Axes, points: Float64[np.ndarray, "event 2"], colour: str, label: str) -> None:
    axes.scatter(
        points[:, 0], points[:, 1], s=7, color=colour, alpha=0.75, linewidths=0, label=label
    )


def _limits(values: Float64[np.ndarray, " event"]) -> tuple[float, float]:
    low, high = np.quantile(values, (_OUTSIDE, 1 - _OUTSIDE))
    margin = 0.06 * (high - low) or 0.5
    return float(low - margin), float(high + margin)
