"""Areas under the ROC against the number of events that a training was shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from anomaly_hep.evaluate.baselines import NEEDS
from anomaly_hep.evaluate.figures.style import (
    all_colours,
    house_style,
    logarithmic,
    stamp_name,
)
from anomaly_hep.evaluate.labels import known_first, score_name

_BASELINE = "hits"
# One each for a score where colours stand for runs.
_STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (6, 2, 1, 2, 1, 2)))
_MARKERS = "os^DvPX*<>"


def curves_of_runs(curves: Mapping[str, pd.DataFrame], data: str) -> Figure:
    """Return one panel per group with the area under the ROC of each score, in %, by training size.

    `curves` are the contents of curve.csv by run; `data` says what they were tested on. Bands are
    central 68 % intervals. One run has a colour per score; of several each has its colour, and a
    score its line and marker. The dashed grey line counts hits. Scores that never exceed 50 % on
    the average of the groups are left out.
    """
    every = pd.concat(list(curves.values()))
    groups = list(dict.fromkeys(every["group"]))
    scores = _shown(every)
    looks = dict(_looks(list(curves), scores))
    with house_style():
        figure = Figure(figsize=(5.2 * len(groups) + 0.4, 5.2))
        panels = figure.subplots(1, len(groups), sharex=True, squeeze=False)[0]
        for axes, group in zip(panels, groups, strict=True):
            for (run, score), look in looks.items():
                _draw(axes, _part(curves[run], score, group), **look)
            for curve in curves.values():
                _draw_baseline(axes, _part(curve, _BASELINE, group))
            axes.set_title(group, loc="left", fontsize=11)
            axes.set_xlabel("events shown in training")
        logarithmic(panels[0].xaxis)
        panels[0].set_ylabel("mean area under the ROC curve (%)")
        handles = _legend(list(curves), scores, looks)
        if _BASELINE in set(every["score"]):
            grey: dict[str, Any] = {"color": "0.4", "linestyle": "--", "linewidth": 1.2}
            handles.append(Line2D([], [], **grey, label=f"{score_name(_BASELINE)} alone"))
        figure.legend(handles=handles, loc="outside lower center", ncols=4, columnspacing=1.4)
        stamp_name(figure, data)
    return figure


def _shown(rows: pd.DataFrame) -> list[str]:
    """Return the scores to draw, no baselines, in the order of the tables."""
    scores = rows[~rows["score"].isin(list(NEEDS))]
    mean = scores.groupby(["score", "presentations"])["auc"].mean().groupby("score").max()
    return known_first(name for name, area in mean.items() if area > 0.5)


def _looks(
    runs: Sequence[str], scores: Sequence[str]
) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    """Yield colour and line of each run and score."""
    colours = all_colours()
    for (i, run), (j, score) in product(enumerate(runs), enumerate(scores)):
        colour = colours[(j if len(runs) == 1 else i) % len(colours)]
        look: dict[str, Any] = {"color": colour, "marker": "o", "markersize": 4}
        if len(runs) > 1:
            look["linestyle"] = _STYLES[j % len(_STYLES)]
            look["marker"] = _MARKERS[j % len(_MARKERS)]
        yield (run, score), look


def _part(curve: pd.DataFrame, score: str, group: str) -> pd.DataFrame:
    chosen = curve[(curve["score"] == score) & (curve["group"] == group)]
    return chosen.sort_values("presentations")


def _draw(axes: Axes, rows: pd.DataFrame, **look: Any) -> None:
    shown = rows["presentations"]
    axes.plot(shown, 100 * rows["auc"], **look)
    band = {"color": look["color"], "alpha": 0.12, "linewidth": 0}
    axes.fill_between(shown, 100 * rows["auc_low"], 100 * rows["auc_high"], **band)


def _draw_baseline(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw what counting reaches: the same at each point, as it is not trained."""
    for area in rows["auc"].unique():
        axes.axhline(100 * area, color="0.4", linestyle="--", linewidth=1.2, zorder=0)


def _legend(
    runs: Sequence[str],
    scores: Sequence[str],
    looks: Mapping[tuple[str, str], Mapping[str, Any]],
) -> list[Line2D]:
    if len(runs) == 1:
        return [Line2D([], [], **looks[runs[0], s], label=score_name(s)) for s in scores]
    of_runs = [
        Line2D([], [], color=looks[run, score]["color"], linewidth=3, label=run)
        for run in runs
        for score in scores[:1]
    ]
    return of_runs + [
        Line2D([], [], **{**looks[runs[0], s], "color": "0.2"}, label=score_name(s)) for s in scores
    ]
