"""The figure of a training to a budget: efficiency against LUTs, published designs beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anomaly_hep.evaluate.figures.style import all_colours, house_style
from anomaly_hep.evaluate.intervals import Interval
from anomaly_hep.fpga.summary import BudgetSummary, DesignPoint, EfficiencyAt

_MARKERS = "osD^v<>"


@cache
def published() -> pd.DataFrame:
    """Return the published designs: design, lut, source."""
    return pd.read_csv(Path(__file__).with_name("published_designs.csv"))


def budget(found: BudgetSummary, rejection: float) -> Figure:
    """Return mean signal efficiency against LUTs for all designs that are no worse than another.

    At the rejection among those compared that is nearest to the one asked for.
    """
    place = int(np.argmin([abs(np.log(at.rejection / rejection)) for at in found.model]))
    with house_style():
        figure = Figure(figsize=(7.4, 5), layout="constrained")
        axes = figure.subplots()
        colours = all_colours()
        for learned, colour in zip((False, True), colours, strict=False):
            designs = [design for design in found.designs if design.learned == learned]
            for number, start in enumerate(sorted({design.start for design in designs})):
                own = [design for design in designs if design.start == start]
                name = f"{'learned' if learned else 'fixed'} widths, start {start}"
                _draw(axes, own, place, colour, _MARKERS[number % 7], name)
        _band(axes, found.model[place].mean)
        draw_published(axes)
        axes.axvline(found.target_lut, color="#888888", linewidth=0.8, linestyle=":")
        axes.set_xscale("log")
        axes.set_xlabel("LUTs: alkaid's estimate; of published designs after place and route")
        at = found.model[place].rejection
        axes.set_ylabel(f"mean signal efficiency at rejection {at:g} [%]")
        figure.legend(fontsize="x-small", frameon=False, loc="outside lower center", ncols=2)
    return figure


def draw_published(axes: Axes) -> None:
    """Draw the LUTs of published designs, whose efficiency for anomalies nobody knows, as lines."""
    for (_, row), style in zip(published().iterrows(), ("--", "-."), strict=False):
        label = f"{row['source'].split(',')[0]}: {row['design']}"
        axes.axvline(row["lut"], color="#444444", linewidth=0.9, linestyle=style, label=label)


def _draw(
    axes: Axes, designs: Sequence[DesignPoint], place: int, colour: str, marker: str, label: str
) -> None:
    """Draw the designs of a start, the one in the budget filled."""
    known = [(d, mean) for d in designs if (mean := _mean(d.efficiencies, place)) is not None]
    if not known:
        return
    values = 100 * np.array([mean for _, mean in known])
    bars = [values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]]
    axes.errorbar(
        [design.lut for design, _ in known], values[:, 0], yerr=bars, fmt=marker, color=colour,
        markersize=4, markerfacecolor="none", linewidth=0.6, alpha=0.7, label=label,
    )  # fmt: skip
    best = [(d.lut, 100 * mean.value) for d, mean in known if d.in_budget]
    if best:
        axes.plot(*zip(*best, strict=True), marker, color=colour, markersize=7, zorder=3)


def _mean(efficiencies: Sequence[EfficiencyAt], place: int) -> Interval | None:
    return efficiencies[place].mean if efficiencies else None


def _band(axes: Axes, model: Interval | None) -> None:
    """Draw the efficiency of the model that the designs learned from."""
    if model is None:
        return
    axes.axhline(100 * model.value, color="#222222", linewidth=0.9, label="float model")
    axes.axhspan(100 * model.low, 100 * model.high, color="#222222", alpha=0.08, linewidth=0)
