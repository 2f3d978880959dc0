"""ROC curves and the efficiencies read off them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anomaly_hep.evaluate.curves import Sample, signal_efficiency
from anomaly_hep.evaluate.figures.style import (
    PUBLISHED_COLOUR,
    house_style,
    model_colours,
    score_colours,
    signal_lines,
    stamp,
    stamp_figure,
)
from anomaly_hep.evaluate.groups import groups_of
from anomaly_hep.evaluate.intervals import efficiency_interval
from anomaly_hep.evaluate.labels import decay_math, event_counts, mass_name, ordered, score_name
from anomaly_hep.evaluate.published import REJECTION, PublishedRow

# samples of one score by label
Samples = Mapping[str, Sample]
# Fewer background events than this above a cut: the curve is there, but little can be read off it.
_FEW = 10
# What arXiv:2306.12955 gives instead of an efficiency at a rejection, and where.
RATE, EFFICIENCY = "fpr_at_tpr_40", 0.4


def roc_by_signal(
    samples: Mapping[str, Samples],
    metrics: Mapping[str, Any],
    published: Sequence[PublishedRow] = (),
    signals: Sequence[str] = (),
) -> Figure:
    """Return one panel per signal with the ROC of each score and baseline, `samples` by name.

    The band around the default score is the central 68 % interval of its efficiency; stars are
    published efficiencies at rejection 100, or published rejections at 40 % efficiency. Panels
    are those of `signals`, else of all.
    """
    background = metrics["data"]["background"]
    signals = signals or ordered(set(metrics["data"]["events"]) - {background})
    lines, chosen = _score_lines(metrics), metrics["default_score"]
    in_groups = bool(groups_of(metrics))
    with house_style():
        figure, panels = _panels(signals, "signal efficiency", titled=in_groups)
        for signal, axes in panels.items():
            for name, line in lines.items():
                if name not in samples:
                    continue
                _draw(axes, samples[name][background], samples[name][signal], **line)
            default = samples[chosen]
            _draw_band(axes, default[background], default[signal], color=lines[chosen]["color"])
            _draw_published(axes, signal, published)
            _finish(axes, default[background], at_efficiency=in_groups)
        _legend_below(figure, next(iter(panels.values())))
        stamp_figure(figure, metrics, right=event_counts(metrics))
    return figure


def rocs_by_group(name: str, samples: Samples, metrics: Mapping[str, Any]) -> Figure:
    """Return one panel per group of signals with the ROC of one score at every mass."""
    background, groups = metrics["data"]["background"], groups_of(metrics)
    lines = signal_lines([label for labels in groups.values() for label in labels], metrics)
    with house_style():
        quantity = f"signal efficiency, cut on {score_name(name)}"
        figure, panels = _panels(list(groups), quantity, size=4.2, titled=True)
        for group, axes in panels.items():
            for label in groups[group]:
                line = lines[label] | {"label": mass_name(label)}
                _draw(axes, samples[background], samples[label], **line)
            _finish(axes, samples[background], at_efficiency=True)
            handles, labels = axes.get_legend_handles_labels()
            named = [(h, t) for h, t in zip(handles, labels, strict=True) if t[0].isdigit()]
            axes.legend(*zip(*named, strict=True), loc="lower left")
        stamp_figure(figure, metrics, right=event_counts(metrics))
    return figure


def roc_of_score(name: str, samples: Samples, metrics: Mapping[str, Any]) -> Figure:
    """Return the ROC of one score for every signal in one panel."""
    background = metrics["data"]["background"]
    with house_style():
        figure = Figure(figsize=(6.4, 5.9))
        axes = figure.subplots()
        for signal, line in signal_lines(set(samples) - {background}, metrics).items():
            _draw(axes, samples[background], samples[signal], label=decay_math(signal), **line)
        _finish(axes, samples[background])
        axes.set_xlabel(f"signal efficiency, cut on {score_name(name)}")
        axes.set_ylabel("background rejection (1 / background efficiency)")
        _legend_below(figure, axes)
        stamp(axes, metrics, right=event_counts(metrics))
    return figure


def kl_roc_comparison(
    runs: Mapping[str, Samples], metrics: Mapping[str, Any], *, score: str = "kl"
) -> Figure:
    """Return the ROC of one score for several models, signal by signal.

    With the KL score of a Set-VAE and a CLIP-VAE it is Fig. 4 of arXiv:2311.17162. `metrics` are
    those of one of the runs, which all were measured on the same events.
    """
    background = metrics["data"]["background"]
    signals = ordered(set(metrics["data"]["events"]) - {background})
    with house_style():
        figure, panels = _panels(signals, f"signal efficiency, cut on {score_name(score)}")
        for signal, axes in panels.items():
            for (name, samples), colour in zip(runs.items(), model_colours(), strict=False):
                _draw(axes, samples[background], samples[signal], color=colour, label=name)
                _draw_band(axes, samples[background], samples[signal], color=colour)
            _finish(axes, next(iter(runs.values()))[background])
        _legend_below(figure, next(iter(panels.values())))
        stamp_figure(figure, metrics, right=event_counts(metrics))
    return figure


def _panels(
    signals: Sequence[str], quantity: str, *, size: float = 2.6, titled: bool = False
) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure with one panel per signal (or group), three in a row.

    The name stands in the panel's upper right corner, or above it where curves reach the corner.
    """
    columns = max(1, min(3, len(signals)))
    rows = max(1, -(-len(signals) // columns))
    figure = Figure(figsize=((size + 0.5) * columns + 0.5, size * rows + 1.0))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = dict(zip(signals, grid.flat, strict=False))
    for axes in grid.flat[len(signals) :]:
        axes.set_axis_off()
    for signal, axes in panels.items():
        if titled:
            axes.set_title(decay_math(signal), loc="left", fontsize=10)
            continue
        place = {"ha": "right", "va": "top", "transform": axes.transAxes}
        axes.text(0.95, 0.94, decay_math(signal), fontsize=12, **place)
    for axes in grid[-1]:
        axes.set_xlabel(quantity)
    definition = "" if titled and rows == 1 and size < 3 else " (1 / background efficiency)"
    figure.supylabel(f"background rejection{definition}", fontsize=12)
    return figure, panels


def _legend_below(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, columnspacing=1.4)


def _score_lines(metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return how each score (solid, the default one thick) and baseline (dashed) is drawn."""
    lines: dict[str, dict[str, Any]] = {}
    for name, colour in score_colours(metrics).items():
        baseline = name in metrics["baselines"]
        width = 2.0 if name == metrics["default_score"] else 1.1 if baseline else 1.3
        line: dict[str, Any] = {"color": colour, "linewidth": width, "label": score_name(name)}
        again = colour in {known["color"] for known in lines.values()}
        lines[name] = line | {"linestyle": "--" if baseline else "-." if again else "-"}
    return lines


def _rates(background: Sample, points: int) -> Float64[np.ndarray, " rate"]:
    """Return background efficiencies, evenly in logarithm, from one effective event to all."""
    return np.geomspace(1.0 / background.effective_events, 1.0, points)


def _draw(axes: Axes, background: Sample, signal: Sample, **line: Any) -> None:
    rates = _rates(background, 400)
    axes.plot(signal_efficiency(background, signal, rates), 1.0 / rates, **line)


def _draw_band(axes: Axes, background: Sample, signal: Sample, *, color: str) -> None:
    rejections = 1.0 / _rates(background, 40)
    found = [(r, efficiency_interval(background, signal, r)) for r in rejections]
    bands = [(r, interval.low, interval.high) for r, interval in found if interval]
    rejection, low, high = np.array(bands).T
    axes.fill_betweenx(rejection, low, high, color=color, alpha=0.2, linewidth=0)


def _finish(axes: Axes, background: Sample, *, at_efficiency: bool = False) -> None:
    """Set the axes: a random cut, the working point, and where background events run out.

    The working point is a rejection, or 40 % efficiency.
    """
    top = background.effective_events
    efficiency = np.geomspace(1.0 / top, 1.0, 200)
    axes.plot(
        efficiency, 1.0 / efficiency, color="0.5", linestyle=":", linewidth=1.0, label="random cut"
    )
    point: dict[str, Any] = {"color": "0.75", "linewidth": 0.7, "zorder": 0}
    if at_efficiency:
        axes.axvline(EFFICIENCY, **point)
    else:
        axes.axhline(REJECTION, **point)
    few = f"fewer than {_FEW} background events"
    axes.axhspan(top / _FEW, top, color="0.93", zorder=-1, label=few)
    axes.set_yscale("log")
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(1.0, max(top, 10.0))


def _draw_published(axes: Axes, signal: str, published: Sequence[PublishedRow]) -> None:
    for row, marker in zip(published, "*XPD^v", strict=False):
        if signal in row.values:
            share = row.values[signal] / 100
            point = (EFFICIENCY, 1 / share) if row.metric == RATE else (share, REJECTION)
            axes.plot(
                *point, marker, color=PUBLISHED_COLOUR, markersize=7, markeredgewidth=0.5,
                markeredgecolor="white", label=row.title,
            )  # fmt: skip
