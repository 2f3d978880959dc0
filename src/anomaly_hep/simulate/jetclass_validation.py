"""Validation of simulated jets: summary numbers and a figure of their distributions.

Units: GeV, mm.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anomaly_hep.atomic import atomic_path
from anomaly_hep.errors import MissingDataError, SimulationError
from anomaly_hep.formats import jetclass as jetclass_format
from anomaly_hep.simulate.figurestyle import style
from anomaly_hep.simulate.jetclass_processes import PREFIXES
from anomaly_hep.simulate.plan import SPLITS
from anomaly_hep.types import Events

# of each class, enough for all numbers and curves here
MAX_JETS = 5000
# classes whose jets contain the whole visible decay, so that their mass is the resonance's
RESONANT = ("Hbb", "Hcc", "Hgg", "H4q", "Zqq", "Wqq", "Tbqq")
PEAK_WIDTH = 5.0  # GeV, sigma of the kernel that finds the peak; about the resolution
DISPLACED = 5.0  # |d0| / sigma(d0) above which a track counts as displaced

_COLUMNS = [
    "jet_pt", "jet_sdmass", "jet_tau1", "jet_tau2", "jet_tau3", "aux_genpart_pt",
    "part_charge", "part_d0val", "part_d0err",
]  # fmt: skip
# M. Petroff, arXiv:2107.02270: colours that colour-blind readers can tell apart
_LINES = {
    "QCD": ("#222222", "-"), "H4q": ("#3f90da", "-"), "Hbb": ("#92dadd", "-"),
    "Hcc": ("#3f90da", "--"), "Hgg": ("#717581", "-"), "Hqql": ("#832db6", "-"),
    "Wqq": ("#ffa90e", "-"), "Zqq": ("#e76300", "--"), "Tbl": ("#bd1f01", "-"),
    "Tbqq": ("#a96b59", "--"),
}  # fmt: skip


def physics_summary(directory: Path) -> dict[str, dict[str, Any]]:
    """Return summary numbers of each class, from at most 5000 jets of each.

    These are jets, constituents and charged (means per jet), tau21 and tau32 (medians of
    `tau_defined` jets), displaced (share of tracks with |d0| > 5 sigma); for classes with a visible
    resonance also soft_drop_peak (GeV), response (median of jet pT over resonance pT) and their
    ratio calibrated_peak, the mass after correction of the jet energy scale.
    """
    return {label: _summary(label, jets) for label, jets in _all_jets(directory).items()}


def _summary(label: str, jets: Events) -> dict[str, Any]:
    tau21, tau32 = _ratio(jets, 2), _ratio(jets, 3)
    result: dict[str, Any] = {
        "jets": len(jets),
        "constituents": float(jets.lengths.mean()),
        "charged": float((jets.particles["part_charge"] != 0).sum() / len(jets)),
        "tau21": float(np.median(tau21)),
        "tau32": float(np.median(tau32)),
        "tau_defined": int(min(len(tau21), len(tau32))),
        "displaced": float((_significance(jets) > DISPLACED).mean()),
    }
    if label in RESONANT:
        peak = soft_drop_peak(jets.events["jet_sdmass"].astype(np.float64))
        response = float(np.median(jets.events["jet_pt"] / jets.events["aux_genpart_pt"]))
        result |= {
            "soft_drop_peak": peak,
            "response": response,
            "calibrated_peak": peak / response,
        }
    return result


def soft_drop_peak(mass: Float64[np.ndarray, " jet"]) -> float:
    """Return the mass (GeV) of highest density between 50 and 250 GeV.

    The density is a sum of Gaussians of 5 GeV: it needs no fit, and jets far away do not matter.
    """
    grid = np.arange(50.0, 250.0, 0.25)
    density = np.exp(-0.5 * ((grid[:, None] - mass) / PEAK_WIDTH) ** 2).sum(axis=1)
    return float(grid[density.argmax()])


def physics_figure(directory: Path, path: Path) -> Path:
    """Draw the soft-drop mass, multiplicity, tau ratios and d0 significance of all classes."""
    classes = _all_jets(directory)
    with style():
        figure = Figure(figsize=(13.5, 7.5), layout="constrained")
        axes = figure.subplots(2, 3).ravel()
        for label, jets in classes.items():
            colour, line = _LINES[label]
            look = {"color": colour, "linestyle": line, "linewidth": 2.2 if label == "QCD" else 1.4}
            mass = jets.events["jet_sdmass"]
            _histogram(axes[0], mass, np.linspace(0, 250, 51), look)
            _histogram(axes[1], jets.lengths, np.linspace(0, 120, 41), look)
            _histogram(axes[2], _ratio(jets, 2), np.linspace(0, 1, 41), look)
            _histogram(axes[3], _ratio(jets, 3), np.linspace(0, 1, 41), look)
            _histogram(axes[4], _significance(jets), np.linspace(0, 40, 41), look)
            axes[5].plot([], [], label=f"{label}: {len(jets):,} jets", **look)
        _decorate(axes)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png")
    return path


def _decorate(axes: Any) -> None:
    for axis, name in zip(
        axes,
        (
            "soft-drop mass [GeV]",
            "constituents",
            r"$\tau_2/\tau_1$",
            r"$\tau_3/\tau_2$",
            r"$|d_0|/\sigma(d_0)$ of tracks",
        ),
        strict=False,
    ):
        axis.set_xlabel(name)
        axis.set_ylabel("normalised")
    for axis in axes[:4]:
        axis.set_ylim(bottom=0)
    axes[4].set_yscale("log")
    for mass, name, side in (
        (80.4, "W", "right"),
        (91.2, "Z", "left"),
        (125, "H", "left"),
        (172.5, "t", "left"),
    ):
        axes[0].axvline(mass, color="0.7", linewidth=0.8, zorder=0)
        axes[0].annotate(
            f" {name} ", (mass, 0.97), xycoords=("data", "axes fraction"), ha=side, va="top"
        )
    axes[5].axis("off")
    axes[5].legend(
        loc="center",
        ncols=2,
        title="JetClass classes, simulated (Pythia 8)\nnot the published JetClass",
    )


def _histogram(axis: Axes, values: np.ndarray, edges: np.ndarray, look: dict[str, Any]) -> None:
    """Draw a density; the normalisation includes values beyond the last edge."""
    heights, _ = np.histogram(values, edges)
    axis.stairs(heights / (len(values) * np.diff(edges)), edges, baseline=None, **look)


def _ratio(jets: Events, number: int) -> np.ndarray:
    """Return tau_N / tau_(N-1) of the jets that have more than N - 1 constituents."""
    previous = jets.events[f"jet_tau{number - 1}"].astype(np.float64)
    ratio: np.ndarray = jets.events[f"jet_tau{number}"][previous > 0] / previous[previous > 0]
    return ratio


def _significance(jets: Events) -> np.ndarray:
    track = jets.particles["part_charge"] != 0
    value: np.ndarray = np.abs(jets.particles["part_d0val"][track])
    return value / jets.particles["part_d0err"][track]


def _all_jets(directory: Path) -> dict[str, Events]:
    jets = {}
    for label, prefix in PREFIXES.items():
        # the test split first, since it has all classes
        paths = [
            p for s in reversed(SPLITS) for p in sorted((directory / s).glob(f"{prefix}_*.root"))
        ]
        parts = list(_read(paths))
        if parts:
            jets[label] = Events.concatenate(parts)
    if not jets:
        raise MissingDataError(
            f"{directory} has no simulated jets. Cure: run `python -m anomaly_hep simulate`"
        )
    return jets


def _read(paths: list[Path]) -> Iterator[Events]:
    left = MAX_JETS
    for path in paths:
        if left == 0:
            return
        description = jetclass_format.describe(path)
        if (description.provenance or {}).get("origin") != "simulated":
            raise SimulationError(
                f"{path} was not simulated here, and its jets cannot be shown as simulated ones. "
                "Cure: keep published files in a directory of their own"
            )
        stop = min(left, description.entries)
        left -= stop
        yield jetclass_format.read(path, 0, stop, _COLUMNS)
