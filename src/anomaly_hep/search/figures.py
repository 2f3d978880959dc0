"""The pictures of a search: spectra with fits and pulls, p-values by mass, injected signal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anomaly_hep.evaluate.figures.style import (
    PALETTE,
    house_style,
    legend_below,
    model_colours,
    save,
    stamp_name,
)
from anomaly_hep.search.cutscan import CutScan
from anomaly_hep.search.results import SearchResults
from anomaly_hep.search.search import Search
from anomaly_hep.search.significance import local_p

_TEV = 1000.0  # GeV
_LOWEST_P = 1e-16  # of the axis of p-values
_LINES = (1, 2, 3, 4, 5, 6, 7)  # standard deviations that are marked


def write_figures(found: Search, directory: Path) -> list[Path]:
    """Write the pictures of a search; the one of injections where there are any."""
    figures = {"spectrum": spectra(found), "pvalues": p_values(found.results)}
    if found.results.cuts[0].injections:
        figures["injection"] = injections(found.results)
    return [save(figure, directory / f"{name}.png") for name, figure in figures.items()]


def spectra(found: Search) -> Figure:
    """Return the spectrum of each cut with its smooth fit, the best signal, and pulls.

    Points have Poisson errors of the weighted content. The dotted line is the background before the
    cut, scaled to the same area: where it differs from the fit, the cut shapes the mass.
    """
    scans = found.scans
    with house_style():
        figure = Figure(figsize=(4.3 * len(scans) + 0.6, 5.4))
        grid = figure.subplots(
            2, len(scans), squeeze=False, sharex=True, height_ratios=(3, 1), sharey="row"
        )
        for column, scan in enumerate(scans):
            _draw_spectrum(grid[0, column], scan, scans[0])
            _draw_pulls(grid[1, column], scan)
            smooth = found.results.cuts[column].background_fit
            grid[0, column].set_title(
                f"{_name(scan.cut.efficiency)}; background alone: fit $p$ = {smooth.p.value:.2g}",
                loc="left",
                fontsize=9.5,
            )
        grid[0, 0].set_ylabel("events / TeV")
        grid[1, 0].set_ylabel("pull")
        legend_below(figure, grid[0, 0].get_legend_handles_labels()[0])
        stamp_name(figure, _title(found.results))
    return figure


def _draw_spectrum(axes: Axes, scan: CutScan, uncut: CutScan) -> None:
    observed, widths = scan.observed, np.diff(scan.observed.edges) / _TEV
    edges, centres = observed.edges / _TEV, observed.centres / _TEV
    scale = observed.scale * widths
    smooth = scan.smooth.expected[0] / scale
    both = scan.best_fit.expected[0] / scale
    before = uncut.background_fit.expected[0] / uncut.background.scale
    before = before * (smooth * widths).sum() / before.sum() / widths
    errors = np.sqrt(observed.variance) / widths
    seen = observed.content > 0
    axes.stairs(before, edges, color=PALETTE["grey"], linestyle=":", label="background, no cut")
    axes.stairs(smooth, edges, color=PALETTE["blue"], label="smooth fit alone", baseline=None)
    label = "fit with the best signal"
    axes.stairs(both, edges, color=PALETTE["red"], label=label, baseline=None)
    axes.errorbar(
        centres[seen], (observed.content / widths)[seen], errors[seen],
        fmt="o", markersize=2.5, linewidth=0.8, color="black", label="observed",
    )  # fmt: skip
    axes.set_yscale("log")
    lowest = float((observed.content / widths)[seen].min())
    axes.set_ylim(bottom=min(axes.get_ylim()[0], lowest / 3))
    axes.set_ylim(bottom=max(axes.get_ylim()[0], lowest / 10))
    axes.set_xlim(edges[0], edges[-1])


def _draw_pulls(axes: Axes, scan: CutScan) -> None:
    """Draw (n - mu) / sqrt(mu) of each bin; bins that expect less than one event have none."""
    expected, edges = scan.smooth.expected[0], scan.observed.edges / _TEV
    pulls = (scan.observed.counts - expected) / np.sqrt(expected)
    axes.stairs(np.where(expected >= 1, pulls, 0), edges, fill=True, color=PALETTE["slate"])
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylim(-4.5, 4.5)
    axes.set_xlabel("mass (TeV)")


def p_values(results: SearchResults) -> Figure:
    """Return the local p-value of each cut by mass; a star marks each global one at its mass.

    Curves may leave the axis at the bottom; the legend says how far they go.
    """
    with house_style():
        figure = Figure(figsize=(6.8, 5.2))
        axes = figure.subplots()
        for colour, cut in zip(model_colours(), results.cuts, strict=False):
            masses = np.array(cut.masses) / _TEV
            excess = cut.excess
            found = f"{excess.local_z:.1f}$\\sigma$ at {excess.mass / _TEV:.2f} TeV"
            label = f"{_name(cut.efficiency)}: {found}"
            axes.plot(masses, cut.local_p, color=colour, label=label)
            overall = float(local_p(max(excess.global_z.value, 0.0) ** 2))
            axes.plot(excess.mass / _TEV, overall, "*", color=colour, markersize=9)
        axes.plot([], [], "*", color="0.3", markersize=9, label="global p-value")
        axes.set_yscale("log")
        lowest = min(min(cut.local_p) for cut in results.cuts)
        axes.set_ylim(max(min(lowest / 10, 1e-4), _LOWEST_P), 1.0)
        _mark_deviations(axes)
        axes.set_xlabel("signal mass (TeV)")
        axes.set_ylabel("local p-value of the background alone")
        legend_below(figure, axes.get_legend_handles_labels()[0], columns=2)
        stamp_name(figure, _title(results))
    return figure


def _mark_deviations(axes: Axes) -> None:
    low = axes.get_ylim()[0]
    for z in _LINES:
        p = float(local_p(float(z * z)))
        if p > low:
            axes.axhline(p, color="0.6", linewidth=0.8, linestyle="--")
            axes.annotate(
                f"{z}$\\sigma$", (1.005, p), xycoords=("axes fraction", "data"),
                ha="left", va="center", fontsize=8.5, color="0.35",
            )  # fmt: skip


def injections(results: SearchResults) -> Figure:
    """Return the significances against the share of signal, medians with their 68 % bands."""
    titles = {"local_z": "at the signal's mass (local)", "global_z": "anywhere (global)"}
    with house_style():
        figure = Figure(figsize=(9.6, 4.6))
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (name, title) in zip(panels, titles.items(), strict=True):
            _draw_injections(axes, results, name)
            axes.set_title(title, loc="left", fontsize=9.5)
            axes.set_xlabel(f"{results.signal} among all events before the cut (%)")
            axes.axhline(0, color="0.6", linewidth=0.8)
        panels[0].set_ylabel("significance (standard deviations)")
        panels[0].legend(loc="upper left")
        stamp_name(figure, f"{results.data}: {results.score}")
    return figure


def _draw_injections(axes: Axes, results: SearchResults, name: str) -> None:
    cuts = results.cuts
    fractions = [100 * one.fraction for one in cuts[0].injections]
    places = np.arange(len(fractions))
    for number, (colour, cut) in enumerate(zip(model_colours(), cuts, strict=False)):
        bands = np.array([getattr(one, name) for one in cut.injections])
        shifted = places + 0.14 * (number - (len(cuts) - 1) / 2)
        errors: Sequence[np.ndarray] = (bands[:, 0] - bands[:, 1], bands[:, 2] - bands[:, 0])
        axes.errorbar(
            shifted, bands[:, 0], errors, fmt="o-", capsize=2, markersize=4, linewidth=1.1,
            color=colour, label=_name(cut.efficiency),
        )  # fmt: skip
    axes.set_xticks(places, [f"{fraction:g}" for fraction in fractions])
    axes.minorticks_off()


def _name(efficiency: float) -> str:
    return "no cut" if efficiency == 1 else f"{100 * efficiency:g} % of background"


def _title(results: SearchResults) -> str:
    return f"{results.data}: {results.observed}, {results.score}"
