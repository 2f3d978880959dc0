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
    score its line and marker. The dashed grey line counts hits; the axis begins 12 points below it,
    and a run's scores that stay below that, or below 50 % where nothing counts hits, are left out.
    """
    every = pd.concat(list(curves.values()))
    groups = list(dict.fromkeys(every["group"]))
    floors = {group: _floor(every[every["group"] == group]) for group in groups}
    shown = {run: _shown(curve, floors) for run, curve in curves.items()}
    scores = known_first({score for names in shown.values() for score in names})
    looks = {key: look for key, look in _looks(list(curves), scores) if key[1] in shown[key[0]]}
    with house_style():
        figure = Figure(figsize=(5.2 * len(groups) + 0.4, 5.2))
        panels = figure.subplots(1, len(groups), sharex=True, squeeze=False)[0]
        for axes, group in zip(panels, groups, strict=True):
            for (run, score), look in looks.items():
                _draw(axes, _part(curves[run], score, group), **look)
            for curve in curves.values():
                _draw_baseline(axes, _part(curve, _BASELINE, group))
            axes.set_title(group, loc="left", fontsize=11)
            if floors[group] > 0.5:
                axes.set_ylim(bottom=100 * floors[group])
            axes.set_xlabel("events shown in training")
        logarithmic(panels[0].xaxis)
        panels[0].set_ylabel("mean area under the ROC curve (%)")
        handles = _legend(scores, looks)
        if _BASELINE in set(every["score"]):
            grey: dict[str, Any] = {"color": "0.4", "linestyle": "--", "linewidth": 1.2}
            handles.append(Line2D([], [], **grey, label=f"{score_name(_BASELINE)} alone"))
        figure.legend(handles=handles, loc="outside lower center", ncols=4, columnspacing=1.4)
        stamp_name(figure, data)
    return figure


def _floor(rows: pd.DataFrame) -> float:
    """Return the area at which one group's axis begins."""
    counted = rows.loc[rows["score"] == _BASELINE, "auc"]
    return max(float(counted.max()) - 0.12, 0.5) if len(counted) else 0.5


def _shown(curve: pd.DataFrame, floors: Mapping[str, float]) -> list[str]:
    """Return the scores of a run to draw: no baselines, and above the floor of some group."""
    scores = curve[~curve["score"].isin(list(NEEDS))]
    best = scores.groupby(["score", "group"])["auc"].max()
    return [
        name
        for name in dict.fromkeys(scores["score"])
        if any(best.get((name, group), 0.0) > floor for group, floor in floors.items())
    ]


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
    scores: Sequence[str], looks: Mapping[tuple[str, str], Mapping[str, Any]]
) -> list[Line2D]:
    runs = list(dict.fromkeys(run for run, _ in looks))
    of_score = {score: look for (_, score), look in looks.items()}
    if len(runs) == 1:
        return [Line2D([], [], **of_score[s], label=score_name(s)) for s in scores]
    of_run = {run: look["color"] for (run, _), look in looks.items()}
    lines = [Line2D([], [], color=of_run[run], linewidth=3, label=run) for run in runs]
    return lines + [
        Line2D([], [], **{**of_score[s], "color": "0.2"}, label=score_name(s)) for s in scores
    ]
