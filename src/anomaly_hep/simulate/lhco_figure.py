"""Draw the physics of simulated LHC-Olympics-like events, over published ones. Units: GeV."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anomaly_hep.atomic import atomic_path
from anomaly_hep.simulate.figurestyle import style
from anomaly_hep.simulate.lhco_summary import Quantities, of_production, of_published, table

# M. Petroff's colours, arXiv:2107.02270
_COLOURS = ("#94a4a2", "#3f90da", "#ffa90e", "#bd1f01", "#222222", "#832db6", "#a96b59")
_MARKERS = {"published QCD": ("o", "#555555"), "published two_prong": ("s", "#005f9e")}
_PER_GEV = "share of events per GeV"
_PANELS = (
    ("mjj", np.linspace(1800, 5000, 65), "mass of the two leading jets [GeV]", _PER_GEV),
    ("light_mass", np.linspace(0, 600, 61), "mass of the lighter leading jet [GeV]", _PER_GEV),
    ("heavy_mass", np.linspace(0, 900, 61), "mass of the heavier leading jet [GeV]", _PER_GEV),
    ("tau21", np.linspace(0, 1, 41), "τ21 of the two leading jets", "density of jets"),
    ("tau32", np.linspace(0, 1, 41), "τ32 of the two leading jets", "density of jets"),
    ("particles", np.linspace(0, 500, 51), "particles", "share of events per particle"),
)
_FILLED = "QCD"
_MERGED = 2  # bins, where published events are few


def report(directory: Path, path: Path, published: Path | None) -> list[str]:
    """Draw the figure into `path`; return lines with its place and the medians."""
    simulated = of_production(directory)
    compared = {} if published is None else of_published(published)
    draw(simulated, compared, path)
    return [f"figure: {path}", *table({**simulated, **compared})]


def draw(
    simulated: Mapping[str, Quantities], published: Mapping[str, Quantities], path: Path
) -> None:
    """Draw masses, substructure and multiplicities, each normalised."""
    with style():
        figure = Figure(figsize=(16, 10), layout="constrained")
        axes = figure.subplots(2, 3).ravel()
        for axis, (quantity, edges, title, unit) in zip(axes, _PANELS, strict=True):
            for (name, values), colour in zip(simulated.items(), _COLOURS, strict=False):
                _line(axis, getattr(values, quantity), edges, name, colour)
            for name, values in published.items():
                _points(axis, getattr(values, quantity), edges[::_MERGED], name)
            axis.set_xlim(edges[0], edges[-1])
            axis.set_ylim(bottom=0)
            axis.set_xlabel(title)
            axis.set_ylabel(unit)
        axes[0].legend(fontsize=9, loc="upper right")
        figure.suptitle("simulated (Pythia 8), in the layout of the LHC Olympics 2020")
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png")


def _line(axis: Axes, values: np.ndarray, edges: np.ndarray, name: str, colour: str) -> None:
    counts, _ = np.histogram(values, edges)
    height = counts / np.diff(edges) / max(len(values), 1)
    if name == _FILLED:
        axis.stairs(height, edges, color=colour, label=name, fill=True, alpha=0.6)
    else:
        axis.stairs(height, edges, color=colour, label=name, baseline=None, linewidth=1.5)


def _points(axis: Axes, values: np.ndarray, edges: np.ndarray, name: str) -> None:
    marker, colour = _MARKERS[name]
    counts, _ = np.histogram(values, edges)
    unit = np.diff(edges) * max(len(values), 1)
    axis.errorbar(
        (edges[1:] + edges[:-1]) / 2,
        counts / unit,
        np.sqrt(counts) / unit,
        fmt=marker,
        markersize=4,
        color=colour,
        linewidth=1,
        label=name,
    )
