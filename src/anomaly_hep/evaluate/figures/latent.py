"""Where a model with two latent components puts its events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anomaly_hep.evaluate.figures.style import (
    BACKGROUND_COLOUR,
    house_style,
    signal_lines,
    stamp_figure,
)
from anomaly_hep.evaluate.groups import groups_of
from anomaly_hep.evaluate.labels import mass_name

COLUMNS = ("score_latent_1", "score_latent_2")
# Most events to draw: more would hide each other. Background as many as all signals of a panel.
_BACKGROUND, _SIGNAL = 2000, 300
# Share of the drawn events that may lie outside of the axes at either end.
_OUTSIDE = 0.002


def latent_scatter(table: pd.DataFrame, metrics: Mapping[str, Any], *, seed: int = 0) -> Figure:
    """Return the latent vectors of single events, one panel per group of signals.

    `table` is the table of scores, with the scores latent_1 and latent_2. Of each class at most
    some hundred events are drawn, chosen by `seed`. arXiv:2306.12955 Fig. 3.
    """
    background, groups = metrics["data"]["background"], groups_of(metrics)
    rng = np.random.default_rng(seed)
    points = {
        label: _some(table[table["label"] == label], most, rng)
        for label, most in {
            background: _BACKGROUND,
            **{label: _SIGNAL for labels in groups.values() for label in labels},
        }.items()
    }
    lines = signal_lines([label for labels in groups.values() for label in labels], metrics)
    with house_style():
        figure = Figure(figsize=(4.9 * len(groups) + 0.4, 5.2))
        panels = figure.subplots(1, len(groups), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (group, labels) in zip(panels, groups.items(), strict=True):
            _draw(axes, points[background], BACKGROUND_COLOUR, background)
            for label in labels:
                _draw(axes, points[label], lines[label]["color"], mass_name(label))
            axes.set_title(group, loc="left", fontsize=11)
            axes.set_xlabel("latent 1 (dimensionless)")
            axes.legend(
                loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=4, markerscale=2.2,
                handletextpad=0.1, columnspacing=0.8, scatterpoints=1,
            )  # fmt: skip
        panels[0].set_ylabel("latent 2 (dimensionless)")
        every = np.concatenate(list(points.values()))
        panels[0].set(xlim=_limits(every[:, 0]), ylim=_limits(every[:, 1]))
        drawn = len(points[background])
        of = metrics["data"]["events"][background]
        stamp_figure(figure, metrics, right=f"{drawn:,} of {of:,} {background} events drawn")
    return figure


def _some(
    rows: pd.DataFrame, most: int, rng: np.random.Generator
) -> Float64[np.ndarray, "event 2"]:
    """Return the latent vectors of `most` rows at random, or of all."""
    values = rows[list(COLUMNS)].to_numpy(np.float64)
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
