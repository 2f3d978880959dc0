"""Draw distributions of simulated detector images, published ones as points. Units: GeV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anomaly_hep.atomic import atomic_path
from anomaly_hep.simulate.darkshowers_processes import CLASSES, QCD
from anomaly_hep.simulate.darkshowers_quantities import (
    RADII,
    Value,
    auc,
    hit_counts,
    profile,
)
from anomaly_hep.simulate.figurestyle import style
from anomaly_hep.types import Events

Classes = Mapping[str, Events]
# few classes, so that the lines can be told apart; M. Petroff's colours, arXiv:2107.02270
SHOWN = {QCD: "#222222", "SUEP300": "#3f90da", "SUEP1000": "#bd1f01", "SVJ3100": "#ffa90e"}


def draw(simulated: Classes, published: Classes | None, path: Path) -> Path:
    """Draw hits, tracks, momenta, calorimeter cells, radial profile and AUC; return `path`."""
    with style():
        figure = Figure(figsize=(15, 9), layout="constrained")
        axes = figure.subplots(2, 3).ravel()
        for label, colour in SHOWN.items():
            for axis, values, edges in zip(axes, _VALUES, _EDGES, strict=False):
                if label in simulated:
                    _histogram(axis, values(simulated[label]), edges, colour)
                if published is not None and label in published:
                    _points(axis, values(published[label]), edges, colour)
            _profile(axes[4], simulated.get(label), (published or {}).get(label), colour)
        for axis, name in zip(axes, _NAMES, strict=True):
            axis.set_xlabel(name)
            axis.set_ylabel("normalised")
        for axis in axes[:4]:
            axis.set_ylim(bottom=0)
        axes[2].set_xscale("log")
        axes[2].set_ylabel("normalised, per log(pT)")
        axes[4].set_yscale("log")
        axes[4].set_ylabel("share of track pT per unit of radius")
        _areas(axes[5], simulated, published)
        _legend(axes[0], simulated, published)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png")
    return path


_VALUES = (
    lambda e: e.events["hits"],
    lambda e: e.events["n_tracks"],
    lambda e: e.events["energy_tracker"],
    lambda e: hit_counts(e)[:, 1],
)
_EDGES = (
    np.linspace(0, 480, 25),
    np.linspace(0, 560, 29),
    np.geomspace(100, 5000, 27),
    np.linspace(0, 400, 21),
)
_NAMES = (
    "tracker pixels hit", "tracks", "sum of track pT [GeV]", "ECAL pixels hit",
    "distance from the highest tracker pixel", "",
)  # fmt: skip


def _density(values: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the density in each bin and its error; the normalisation includes overflow."""
    counts, _ = np.histogram(values, edges)
    # on a logarithmic axis, areas are only right for densities per logarithm
    logarithmic = not np.isclose(edges[1] - edges[0], edges[-1] - edges[-2])
    width = np.diff(np.log(edges)) if logarithmic else np.diff(edges)
    return counts / (len(values) * width), np.sqrt(counts) / (len(values) * width)


def _histogram(axis: Axes, values: np.ndarray, edges: np.ndarray, colour: str) -> None:
    axis.stairs(_density(values, edges)[0], edges, baseline=None, color=colour, linewidth=1.5)


def _points(axis: Axes, values: np.ndarray, edges: np.ndarray, colour: str) -> None:
    height, error = _density(values, edges)
    filled = height > 0
    logarithmic = not np.isclose(edges[1] - edges[0], edges[-1] - edges[-2])
    middle = np.sqrt(edges[1:] * edges[:-1]) if logarithmic else (edges[1:] + edges[:-1]) / 2
    axis.errorbar(middle[filled], height[filled], error[filled], **_MARKER, color=colour)


_MARKER: dict[str, Any] = {"fmt": "o", "markersize": 3.5, "linewidth": 1.0}


def _profile(axis: Axes, ours: Events | None, theirs: Events | None, colour: str) -> None:
    width = np.diff(RADII)
    if ours is not None:
        share = profile(ours, RADII)[1].mean(axis=0) / width
        axis.stairs(share, RADII, baseline=None, color=colour, linewidth=1.5)
    if theirs is not None:
        shares = profile(theirs, RADII)[1]
        error = shares.std(axis=0) / np.sqrt(len(shares)) / width
        middle = (RADII[1:] + RADII[:-1]) / 2
        axis.errorbar(middle, shares.mean(axis=0) / width, error, **_MARKER, color=colour)


def _areas(axis: Axes, simulated: Classes, published: Classes | None) -> None:
    """Draw the AUC of the hit count of each signal."""
    signals = [label for label in CLASSES if label != QCD]
    _area_points(axis, signals, simulated, "simulated", -0.12, {"fmt": "s", "mfc": "none"})
    if published is not None:
        _area_points(axis, signals, published, "published", 0.12, {"fmt": "o"})
    axis.set_xticks(range(len(signals)), signals, rotation=60, ha="right")
    axis.minorticks_off()
    axis.set_ylabel("AUC of the number of tracker pixels hit")
    axis.set_ylim(0.5, 1.02)
    axis.legend(loc="lower right")


def _area_points(
    axis: Axes,
    signals: Sequence[str],
    classes: Classes,
    name: str,
    shift: float,
    look: dict[str, Any],
) -> None:
    available = [label for label in signals if label in classes and QCD in classes]
    values = [_area(classes, label) for label in available]
    axis.errorbar(
        [signals.index(label) + shift for label in available],
        [v.value for v in values],
        [v.error for v in values],
        color="#222222" if name == "simulated" else "#bd1f01",
        markersize=5,
        linewidth=0,
        elinewidth=1.2,
        label=name,
        **look,
    )


def _area(classes: Classes, label: str) -> Value:
    return auc(classes[QCD].events["hits"], classes[label].events["hits"])


def _legend(axis: Axes, simulated: Classes, published: Classes | None) -> None:
    for label, colour in SHOWN.items():
        if label in simulated:
            axis.plot([], [], color=colour, label=label)
    title = "lines: simulated (Pythia 8)"
    if published is not None:
        title += "\npoints: published"
    axis.legend(loc="upper right", title=title)
