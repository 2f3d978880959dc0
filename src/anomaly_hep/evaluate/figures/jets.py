"""Jets before and after the autoencoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from anomaly_hep.data.features import PARTICLE_TYPES
from anomaly_hep.evaluate.figures.style import PARTICLE_COLOURS, house_style, stamp_figure
from anomaly_hep.evaluate.labels import decay_math, ordered

# Kind of each particle type, charges left aside: the key of its colour.
_KINDS = [name.removesuffix("_plus").removesuffix("_minus") for name in PARTICLE_TYPES]
# Area in points^2 of a particle that carries the jet's whole transverse momentum.
_AREA = 900.0
# First of the three reconstructed quantities is 10 pt/pt_jet.
_PT_SCALE = 10.0


def reconstructed_jets(
    jets: Mapping[str, np.ndarray], metrics: Mapping[str, Any], *, most: int = 5
) -> Figure:
    """Return true jets (above) and their reconstructions (below) in the eta-phi plane.

    `jets` is reconstructions.npz: lengths [jet]; truth and reconstructed [particle, 3] =
    (10 pt/pt_jet, delta eta, delta phi in rad); types [particle], places in PARTICLE_TYPES;
    labels [jet]. The first jet of up to `most` classes is drawn; the area of a disc is its
    share of pt.
    """
    chosen = _one_of_each(jets["labels"], metrics["data"]["background"], most)
    first = np.r_[0, np.cumsum(jets["lengths"])]
    half = _half_width([jets["truth"][first[jet] : first[jet + 1]] for jet in chosen])
    with house_style():
        figure = Figure(figsize=(2.5 * len(chosen) + 0.6, 6.1))
        grid = figure.subplots(2, len(chosen), sharex=True, sharey=True, squeeze=False)
        for column, jet in zip(grid.T, chosen, strict=True):
            inside = slice(first[jet], first[jet + 1])
            for axes, which in zip(column, ("truth", "reconstructed"), strict=True):
                _draw(axes, jets[which][inside], jets["types"][inside], half)
            label = str(jets["labels"][jet])
            column[0].set_title(decay_math(label) if label else "unknown", fontsize=11)
            column[1].set_xlabel(r"$\Delta\eta$")
        grid[0, 0].set_ylabel(r"true   $\Delta\phi$ (rad)")
        grid[1, 0].set_ylabel(r"reconstructed   $\Delta\phi$ (rad)")
        _legend(figure)
        stamp_figure(figure, metrics, right=f"{len(chosen)} jets")
    return figure


def _one_of_each(labels: Shaped[np.ndarray, " jet"], background: str, most: int) -> list[int]:
    """Return the first jet of up to `most` classes: background, then signals evenly chosen."""
    names, first = np.unique(labels, return_index=True)
    place = dict(zip(map(str, names), map(int, first), strict=True))
    front = [background] if background in place else []
    signals = ordered(set(place) - {background})
    room = min(most - len(front), len(signals))
    spread = np.linspace(0, len(signals) - 1, max(room, 0)).round().astype(int)
    return [place[label] for label in [*front, *(signals[i] for i in spread)]]


def _half_width(jets: Sequence[Float[np.ndarray, "_ 3"]]) -> float:
    """Return half the width of the window: all but a few true particles, at most the jet radius."""
    reach = np.concatenate([np.abs(jet[:, 1:]).max(axis=1) for jet in jets])
    return float(np.clip(1.1 * np.quantile(reach, 0.97), 0.2, 0.85))


def _draw(
    axes: Axes, particles: Float[np.ndarray, "particle 3"], types: Int[np.ndarray, " particle"],
    half: float,
) -> None:  # fmt: skip
    share, eta, phi = particles.T
    outside = int((np.maximum(np.abs(eta), np.abs(phi)) > half).sum())
    colours = [PARTICLE_COLOURS[_KINDS[kind]] for kind in types]
    area = _AREA * share / _PT_SCALE
    axes.scatter(eta, phi, s=area, c=colours, alpha=0.65, linewidths=0.4, edgecolors="white")
    axes.set(xlim=(-half, half), ylim=(-half, half), aspect="equal")
    note = f"{len(share)} particles" + (f", {outside} outside" if outside else "")
    axes.text(0.04, 0.04, note, transform=axes.transAxes, fontsize=8, color="0.35")


def _legend(figure: Figure) -> None:
    """Explain colours, and two sizes of discs."""
    disc: dict[str, Any] = {"marker": "o", "linestyle": "none", "markeredgecolor": "white"}
    handles = [
        Line2D([], [], color=colour, label=kind.replace("_", " "), markersize=8, **disc)
        for kind, colour in PARTICLE_COLOURS.items()
    ]
    handles += [
        # a marker's size is its diameter, a scatter's its area
        Line2D([], [], color="0.6", label=f"{share:.0%} of jet $p_T$",
               markersize=np.sqrt(_AREA * share), **disc)
        for share in (0.01, 0.1)
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9)
