"""Figures of a training: its losses, and its results against the events seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from anomaly_hep.evaluate.figures.style import (
    all_colours,
    house_style,
    legend_below,
    logarithmic,
    model_colours,
    stamp_figure,
    stamp_name,
)
from anomaly_hep.evaluate.paper import Paper
from anomaly_hep.evaluate.results import Results

_STAGES = {"train": "training", "val": "validation"}
# Line style and marker of each score when colours stand for runs.
_STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (6, 2, 1, 2, 1, 2)))
_MARKERS = "os^DvPX*<>"


def loss_terms(losses: pd.DataFrame) -> list[str]:
    """Return the loss terms of metrics.csv that were validated: 'loss' first, others by name."""
    terms = {c.removeprefix("val/") for c in losses.columns if c.startswith("val/")}
    return sorted(terms, key=lambda term: (term != "loss", term))


def loss_curves(losses: pd.DataFrame, results: Results) -> Figure:
    """Return each loss term by optimiser step, in training and validation.

    `losses` is metrics.csv: columns step, train/TERM and val/TERM with gaps.
    """
    terms = loss_terms(losses)
    with house_style():
        figure = Figure(figsize=(3.9 * len(terms) + 0.3, 3.7))
        grid = figure.subplots(1, len(terms), sharex=True, squeeze=False)[0]
        for axes, term in zip(grid, terms, strict=True):
            for (stage, label), colour in zip(_STAGES.items(), model_colours(), strict=False):
                if (column := f"{stage}/{term}") in losses:
                    _draw_losses(axes, losses[["step", column]].dropna(), colour, label)
            # a term that is also a score takes its title and unit
            axes.set_title(results.axis(term).replace("_", " "), loc="left", fontsize=10)
            axes.set_xlabel("optimiser step")
        grid[0].set_ylabel(f"loss per {results.data.event_noun.removesuffix('s')} (dimensionless)")
        grid[0].legend()
        stamp_figure(
            figure,
            results,
            right="" if results.model.supervised else f"{results.data.background} only",
        )
    return figure


def _draw_losses(axes: Axes, points: pd.DataFrame, colour: str, label: str) -> None:
    step, value = points.to_numpy(float).T
    marker = "o" if label == "validation" else ""
    axes.plot(step, value, color=colour, label=label, marker=marker, markersize=3)
    if (value > 0).all() and value.max() > 20 * value.min():
        axes.set_yscale("log")


def learning_curves(
    curves: Mapping[str, pd.DataFrame], paper: Paper, titles: Mapping[str, str], data: str
) -> Figure:
    """Return one panel per group with the area under the ROC of each score, in %, by training size.

    `curves` are the contents of curve.csv by run; `titles` name their scores, in the order to show
    them; `data` names the test data. Bands are central 68 % intervals. A single run has a colour
    per score; several runs have a colour each, and scores a line style and marker. The dashed grey
    line is the paper's reference baseline; the axis begins 12 points below it, and a run's scores
    that stay below that, or below 50 % without a reference, are left out.
    """
    every = pd.concat(list(curves.values()))
    groups = list(dict.fromkeys(every["group"]))
    reference = every[every["score"] == paper.reference]
    floors = {group: _floor(reference[reference["group"] == group]) for group in groups}
    shown = {run: _shown(curve, floors, paper) for run, curve in curves.items()}
    drawn = {score for names in shown.values() for score in names}
    known = {s: title for s, title in titles.items() if s in drawn} | {
        s: s for s in sorted(drawn - set(titles))
    }
    looks = {
        key: look for key, look in _looks(list(curves), list(known)) if key[1] in shown[key[0]]
    }
    with house_style():
        figure = Figure(figsize=(5.2 * len(groups) + 0.4, 5.2))
        panels = figure.subplots(1, len(groups), sharex=True, squeeze=False)[0]
        for axes, group in zip(panels, groups, strict=True):
            for (run, score), look in looks.items():
                _draw_curve(axes, _part(curves[run], score, group), **look)
            # the reference is not trained: one area for all training sizes
            for area in reference.loc[reference["group"] == group, "auc"].unique():
                axes.axhline(100 * area, color="0.4", linestyle="--", linewidth=1.2, zorder=0)
            axes.set_title(group, loc="left", fontsize=11)
            if floors[group] > 0.5:
                axes.set_ylim(bottom=100 * floors[group])
            axes.set_xlabel("events seen in training")
        logarithmic(panels[0].xaxis)
        panels[0].set_ylabel("mean area under the ROC curve (%)")
        handles = _legend(known, looks)
        for baseline in paper.baselines:
            if len(reference) and baseline.name == paper.reference:
                grey: dict[str, Any] = {"color": "0.4", "linestyle": "--", "linewidth": 1.2}
                handles.append(Line2D([], [], **grey, label=f"{baseline.title} alone"))
        legend_below(figure, handles)
        stamp_name(figure, data)
    return figure


def _floor(reference: pd.DataFrame) -> float:
    """Return the area at which one group's axis begins."""
    return max(float(reference["auc"].max()) - 0.12, 0.5) if len(reference) else 0.5


def _shown(curve: pd.DataFrame, floors: Mapping[str, float], paper: Paper) -> list[str]:
    """Return the scores of a run to draw: no baselines, and above the floor of some group."""
    scores = curve[~curve["score"].isin([baseline.name for baseline in paper.baselines])]
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
    return chosen.sort_values("events_seen")


def _draw_curve(axes: Axes, rows: pd.DataFrame, **look: Any) -> None:
    seen = rows["events_seen"]
    axes.plot(seen, 100 * rows["auc"], **look)
    band = {"color": look["color"], "alpha": 0.12, "linewidth": 0}
    axes.fill_between(seen, 100 * rows["auc_low"], 100 * rows["auc_high"], **band)


def _legend(
    titles: Mapping[str, str], looks: Mapping[tuple[str, str], Mapping[str, Any]]
) -> list[Line2D]:
    runs = list(dict.fromkeys(run for run, _ in looks))
    of_score = {score: look for (_, score), look in looks.items()}
    if len(runs) == 1:
        return [Line2D([], [], **of_score[s], label=title) for s, title in titles.items()]
    of_run = {run: look["color"] for (run, _), look in looks.items()}
    lines = [Line2D([], [], color=of_run[run], linewidth=3, label=run) for run in runs]
    return lines + [
        Line2D([], [], **{**of_score[s], "color": "0.2"}, label=title)
        for s, title in titles.items()
    ]
