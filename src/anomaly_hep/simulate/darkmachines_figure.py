"""Draw the physics of simulated Dark-Machines-like events. Units: GeV."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anomaly_hep.atomic import atomic_path
from anomaly_hep.errors import MissingDataError
from anomaly_hep.formats import darkmachines
from anomaly_hep.simulate.darkmachines_objects import ELECTRON_CODE, MUON_CODE, PHOTON_CODE
from anomaly_hep.simulate.darkmachines_processes import BACKGROUND, PREFIXES
from anomaly_hep.simulate.darkmachines_quantities import (
    dijet_masses,
    lepton_pair_masses,
    three_jet_masses,
    transverse_masses,
)
from anomaly_hep.simulate.figurestyle import style
from anomaly_hep.types import Events

# M. Petroff's colours, arXiv:2107.02270
_COLOURS = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70",
            "#717581", "#92dadd")  # fmt: skip
_MOST_SIGNALS = 4  # drawn, so that lines can be told apart


def physics_figure(directory: Path, path: Path) -> Path:
    """Draw masses, missing momentum and multiplicities of a production; return `path`."""
    classes = read_classes(directory)
    background = classes.get(BACKGROUND)
    signals = {label: e for label, e in classes.items() if label != BACKGROUND}
    shown = dict(list(signals.items())[:_MOST_SIGNALS])
    with style():
        figure = Figure(figsize=(16, 10), layout="constrained")
        axes = figure.subplots(2, 3).ravel()
        if background is not None:
            _masses(axes[:3], background)
        _spectrum(axes[3], background, shown)
        _multiplicities(axes[4], axes[5], background, shown)
        figure.suptitle("simulated (Pythia 8), in the layout of the Dark Machines challenge")
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png")
    return path


def read_classes(directory: Path) -> dict[str, Events]:
    """Return the events of each class of a production, all its files together."""
    classes = {}
    for label, prefix in PREFIXES.items():
        paths = sorted((directory / "events").glob(f"{prefix}_chan*.csv.gz"))
        if paths:
            columns = list(darkmachines.WRITTEN.names)
            parts = [darkmachines.read(p, 0, darkmachines.describe(p).entries, columns)
                     for p in paths]  # fmt: skip
            classes[label] = Events.concatenate(parts)
    if not classes:
        raise MissingDataError(
            f"{directory} has no events. Cure: run `python -m anomaly_hep simulate` with this data"
        )
    return classes


def of_processes(background: Events) -> dict[str, Events]:
    """Return the events of each process of the background, those of most events first."""
    names, counts = np.unique(background.events["process"], return_counts=True)
    return {
        str(name): background.take(np.flatnonzero(background.events["process"] == name))
        for name in names[np.argsort(-counts, kind="stable")]
    }


def _masses(axes: np.ndarray, background: Events) -> None:
    """Draw the Z in lepton pairs; the W in transverse masses and in jets; the top in three jets."""
    processes = of_processes(background)
    for name, colour in _coloured(processes).items():
        events = processes[name]
        _lines(axes[0], lepton_pair_masses(events), np.linspace(40, 140, 41), name, colour)
        _lines(axes[1], transverse_masses(events), np.linspace(0, 200, 41), name, colour)
    axes[0].axvline(91.2, color="#222222", linestyle=":", linewidth=1)
    axes[0].set_xlabel("mass of electron or muon pairs [GeV]")
    axes[1].axvline(80.4, color="#222222", linestyle=":", linewidth=1)
    axes[1].set_xlabel("transverse mass of lepton and MET [GeV]")
    if "ttbar" in processes:
        top = processes["ttbar"]
        edges = np.linspace(0, 300, 41)
        _lines(axes[2], dijet_masses(top), edges, "two light jets, ΔR < 1.5", _COLOURS[0])
        _lines(axes[2], three_jet_masses(top), edges, "with the nearest b-jet", _COLOURS[2])
    for mass in (80.4, 172.5):
        axes[2].axvline(mass, color="#222222", linestyle=":", linewidth=1)
    axes[2].set_xlabel("mass of jets in ttbar [GeV]")
    for axis in axes:
        axis.set_ylim(bottom=0)
        _legend(axis)


def _coloured(names: Mapping[str, Events]) -> dict[str, str]:
    return dict(zip(names, _COLOURS, strict=False))


def _lines(axis: Axes, values: np.ndarray, edges: np.ndarray, name: str, colour: str) -> None:
    """Draw a normalised histogram, where there are enough entries for a shape."""
    axis.set_xlim(edges[0], edges[-1])
    inside, _ = np.histogram(values, edges)
    if inside.sum() >= 20:
        height = inside / inside.sum()
        axis.stairs(height, edges, baseline=None, color=colour, linewidth=1.5, label=name)


def _spectrum(axis: Axes, background: Events | None, signals: Mapping[str, Events]) -> None:
    """Draw the missing momentum: of the background by its weights, process on process."""
    edges = np.linspace(0, 1000, 41)
    if background is not None:
        processes = of_processes(background)
        bottom = np.zeros(len(edges) - 1)
        for name, colour in _coloured(processes).items():
            columns = processes[name].events
            total = background.events["weight"].sum()
            height, _ = np.histogram(columns["met"], edges, weights=columns["weight"] / total)
            axis.stairs(
                bottom + height, edges, baseline=bottom, fill=True, color=colour, label=name
            )
            bottom = bottom + height
    for (name, events), dash in zip(signals.items(), _DASHES, strict=False):
        height, _ = np.histogram(events.events["met"], edges)
        axis.stairs(height / len(events), edges, baseline=None, color="#222222", linestyle=dash,
                    label=name)  # fmt: skip
    axis.set_yscale("log")
    axis.set_ylim(1e-6, 30)
    axis.set_xlabel("missing transverse momentum [GeV]")
    axis.set_ylabel("share of events, weighted")
    axis.legend(ncols=2, fontsize=8, loc="upper right")


_DASHES = ("-", "--", ":", "-.")


def _multiplicities(
    objects: Axes, kinds: Axes, background: Events | None, signals: Mapping[str, Events]
) -> None:
    """Draw the number of objects, and how many of each kind an event has on average."""
    classes = {} if background is None else of_processes(background)
    edges = np.arange(-0.5, 20.5)
    for name, colour in _coloured(classes).items():
        _lines(objects, classes[name].lengths, edges, name, colour)
    for (name, events), dash in zip(signals.items(), _DASHES, strict=False):
        height, _ = np.histogram(events.lengths, edges)
        objects.stairs(height / len(events), edges, baseline=None, color="#222222",
                       linestyle=dash, label=name)  # fmt: skip
    objects.set_xlabel("objects")
    objects.set_ylim(bottom=0)
    _legend(objects)
    rows = {**classes, **signals}
    means = np.array([_mean_kinds(events) for events in rows.values()])
    left = np.zeros(len(rows))
    for kind, colour, width in zip(_KINDS, _COLOURS, means.T, strict=False):
        kinds.barh(np.arange(len(rows)), width, left=left, color=colour, label=kind)
        left = left + width
    kinds.set_yticks(range(len(rows)), list(rows), fontsize=9)
    kinds.minorticks_off()
    kinds.invert_yaxis()
    kinds.set_xlabel("objects per event")
    kinds.set_xlim(0, 1.35 * left.max())
    kinds.legend(fontsize=9, loc="lower right")


_KINDS = ("jets", "b-jets", "electrons", "muons", "photons")


def _mean_kinds(events: Events) -> Float64[np.ndarray, " kind"]:
    code: Int64[np.ndarray, " object"] = events.particles["obj_type"]
    edges = [1, 2, ELECTRON_CODE, MUON_CODE, PHOTON_CODE, PHOTON_CODE + 1]
    means: np.ndarray = np.histogram(code, edges)[0] / len(events)
    return means


def _legend(axis: Axes) -> None:
    axis.set_ylabel("normalised")
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=9, loc="upper right")
    else:
        axis.text(0.5, 0.5, "too few events", ha="center", transform=axis.transAxes)
