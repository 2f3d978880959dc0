"""Draw the physics of simulated boosted jets. Units: GeV."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anomaly_hep.atomic import atomic_path
from anomaly_hep.simulate.figurestyle import style
from anomaly_hep.simulate.stealthjets_summary import (
    CONTAINED,
    PATTERN,
    PATTERN_MASS,
    PT_EDGES,
    Quantities,
    contained,
    of_production,
    table,
)

_PER_GEV = "share of jets per GeV"
_PANELS = (
    ("mass", np.linspace(0, 600, 61), "jet mass [GeV]", _PER_GEV),
    (
        "hardest_mass",
        np.linspace(0, 500, 51),
        "mass of the 20 hardest constituents [GeV]",
        _PER_GEV,
    ),
    ("pt", np.linspace(450, 1800, 55), "jet pT [GeV]", _PER_GEV),
    ("constituents", np.linspace(0, 102, 52), "constituents, at most 100", "share of jets per one"),
    ("tau21", np.linspace(0, 1, 41), "τ21", "density of jets"),
    ("tau32", np.linspace(0, 1, 41), "τ32", "density of jets"),
)
# M. Petroff's colours, arXiv:2107.02270
_LOOKS = {
    "QCD": ("#94a4a2", "-"), "top": ("#3f90da", "-"), "StealthB80": ("#ffa90e", "-"),
    "StealthB400": ("#bd1f01", "-"), "QCD_boosted": ("#222222", "--"),
}  # fmt: skip
_FILLED = "QCD"
_MASSES = ((80.0, "S 80"), (172.5, "t"), (400.0, "S 400"))


def report(directory: Path, path: Path) -> list[str]:
    """Draw the figure into `path`; return lines with its place and the medians."""
    classes = of_production(directory)
    draw(classes, path)
    return [f"figure: {path}", *table(classes)]


def draw(classes: Mapping[str, Quantities], path: Path) -> None:
    """Draw the quantities of all classes, each normalised, and what of a boson is in its jet."""
    with style():
        figure = Figure(figsize=(20, 9.5), layout="constrained")
        axes = figure.subplots(2, 4).ravel()
        for axis, (quantity, edges, title, unit) in zip(axes, _PANELS, strict=False):
            for label, found in classes.items():
                _line(axis, getattr(found, quantity), edges, label)
            axis.set_xlim(edges[0], edges[-1])
            axis.set_ylim(0, 1.08 * axis.get_ylim()[1])
            axis.set_xlabel(title)
            axis.set_ylabel(unit)
        _mark_masses(axes[0])
        _containment(axes[6], classes)
        axes[7].axis("off")
        axes[7].legend(
            *axes[0].get_legend_handles_labels(), loc="center", fontsize=15, title_fontsize=15,
            title="simulated (Pythia 8)\nhardest jet of each event, R = 1.0",
        )  # fmt: skip
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png")


def _line(axis: Axes, values: np.ndarray, edges: np.ndarray, label: str) -> None:
    """Draw a density; the normalisation includes values beyond the last edge."""
    counts, _ = np.histogram(values, edges)
    height = counts / np.diff(edges) / max(len(values), 1)
    colour, dash = _LOOKS[label]
    title = f"{label}: {len(values):,} jets"
    if label == _FILLED:
        axis.stairs(height, edges, color=colour, label=title, fill=True, alpha=0.6)
    else:
        axis.stairs(
            height, edges, color=colour, linestyle=dash, label=title, baseline=None, linewidth=1.6
        )


def _mark_masses(axis: Axes) -> None:
    for mass, name in _MASSES:
        axis.axvline(mass, color="0.7", linewidth=0.8, zorder=0)
        axis.annotate(f" {name}", (mass, 0.98), xycoords=("data", "axes fraction"), va="top")


def _containment(axis: Axes, classes: Mapping[str, Quantities]) -> None:
    """Draw the share of bosons of 400 GeV that their jet contains, against the jet's pT."""
    axis.set_xlabel(f"pT of jets of {PATTERN} [GeV]")
    axis.set_ylabel(f"share above {CONTAINED * PATTERN_MASS:.0f} GeV")
    axis.set_xlim(PT_EDGES[0], PT_EDGES[-1])
    axis.set_ylim(0, 1)
    if PATTERN not in classes:
        axis.text(0.5, 0.5, "not simulated", ha="center", transform=axis.transAxes)
        return
    share, error, total = contained(classes[PATTERN])
    axis.errorbar(
        ((PT_EDGES[1:] + PT_EDGES[:-1]) / 2)[total > 0], share[total > 0], error[total > 0],
        (np.diff(PT_EDGES) / 2)[total > 0], fmt="o", color=_LOOKS[PATTERN][0],
    )  # fmt: skip
