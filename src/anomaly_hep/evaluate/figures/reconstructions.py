"""Events before and after the autoencoder: particles as discs, images as images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from anomaly_hep.data.features import PARTICLE_TYPES
from anomaly_hep.evaluate.figures.style import (
    DENSITY_COLOURS,
    PALETTE,
    house_style,
    legend_below,
    stamp_figure,
)
from anomaly_hep.evaluate.results import Results

_COLOURS = {
    "charged_hadron": PALETTE["blue"],
    "neutral_hadron": PALETTE["grey"],
    "photon": PALETTE["orange"],
    "electron": PALETTE["violet"],
    "muon": PALETTE["red"],
}
_PLAIN = PALETTE["blue"]  # for particles without types
# the key of each particle type's colour: its name without the charge
_COLOUR_KEYS = [name.removesuffix("_plus").removesuffix("_minus") for name in PARTICLE_TYPES]
# Area in points^2 of a particle that carries the jet's whole transverse momentum.
_AREA = 900.0
# First of the three reconstructed quantities is 10 pt/pt_jet.
_PT_SCALE = 10.0

_TRUE, _PROBABILITY, _MASK = "true", "probability", "reconstructed, p > 0.5"

_BOX: Mapping[str, Any] = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1.5}


def reconstructed_particles(
    events: Mapping[str, np.ndarray], results: Results, *, most: int = 5
) -> Figure:
    """Return true jets (above) and their reconstructions (below) in the eta-phi plane.

    `events` is reconstructions.npz, the fields of `ParticleReconstruction` and labels [event]. The
    first event of up to `most` classes is drawn; the area of a disc is its share of pt, its colour
    the particle's type, if known.
    """
    chosen = _one_of_each(events["labels"], results, most)
    first = np.r_[0, np.cumsum(events["lengths"])]
    types, keys = events.get("types"), [_COLOURS[key] for key in _COLOUR_KEYS]
    half = _half_width([events["truth"][first[jet] : first[jet + 1]] for jet in chosen])
    with house_style():
        figure = Figure(figsize=(2.5 * len(chosen) + 0.6, 6.1))
        grid = figure.subplots(2, len(chosen), sharex=True, sharey=True, squeeze=False)
        for column, jet in zip(grid.T, chosen, strict=True):
            inside = slice(first[jet], first[jet + 1])
            for axes, which in zip(column, ("truth", "reconstructed"), strict=True):
                colours = (
                    [keys[number] for number in types[inside]] if types is not None else _PLAIN
                )
                _draw_particles(axes, events[which][inside], colours, half)
            label = str(events["labels"][jet])
            column[0].set_title(results.paper.math(label) if label else "unknown", fontsize=11)
            column[1].set_xlabel(r"$\Delta\eta$")
        grid[0, 0].set_ylabel(r"true   $\Delta\phi$ (rad)")
        grid[1, 0].set_ylabel(r"reconstructed   $\Delta\phi$ (rad)")
        _legend(figure, {} if types is None else _COLOURS)
        stamp_figure(figure, results, right=f"{len(chosen)} {results.data.event_noun}")
    return figure


def _one_of_each(labels: Shaped[np.ndarray, " event"], results: Results, most: int) -> list[int]:
    """Return the first event of up to `most` classes: background, then signals evenly chosen."""
    names, first = np.unique(labels, return_index=True)
    first_of = dict(zip(map(str, names), map(int, first), strict=True))
    background = results.data.background
    leading = [background] if background in first_of else []
    signals = results.paper.ordered(set(first_of) - {background})
    room = min(most - len(leading), len(signals))
    spread = np.linspace(0, len(signals) - 1, max(room, 0)).round().astype(int)
    return [first_of[label] for label in [*leading, *(signals[i] for i in spread)]]


def _half_width(jets: Sequence[Float[np.ndarray, "_ 3"]]) -> float:
    """Return half the window's width: it holds most true particles, at most the jet radius."""
    reach = np.concatenate([np.abs(jet[:, 1:]).max(axis=1) for jet in jets])
    return float(np.clip(1.1 * np.quantile(reach, 0.97), 0.2, 0.85))


def _draw_particles(
    axes: Axes, particles: Float[np.ndarray, "particle 3"], colours: str | list[str], half: float
) -> None:
    share, eta, phi = particles.T
    outside = int((np.maximum(np.abs(eta), np.abs(phi)) > half).sum())
    area = _AREA * share / _PT_SCALE
    axes.scatter(eta, phi, s=area, c=colours, alpha=0.65, linewidths=0.4, edgecolors="white")
    axes.set(xlim=(-half, half), ylim=(-half, half), aspect="equal")
    note = f"{len(share)} particles" + (f", {outside} outside" if outside else "")
    axes.text(0.04, 0.04, note, transform=axes.transAxes, fontsize=8, color="0.35")


def _legend(figure: Figure, colours: Mapping[str, str]) -> None:
    """Explain colours, and two sizes of discs."""
    disc: dict[str, Any] = {"marker": "o", "linestyle": "none", "markeredgecolor": "white"}
    handles = [
        Line2D([], [], color=colour, label=name.replace("_", " "), markersize=8, **disc)
        for name, colour in colours.items()
    ]
    handles += [
        # a marker's size is its diameter, a scatter's its area
        Line2D([], [], color="0.6", label=f"{share:.0%} of jet $p_T$",
               markersize=np.sqrt(_AREA * share), **disc)
        for share in (0.01, 0.1)
    ]  # fmt: skip
    legend_below(figure, handles)


def reconstructed_images(events: Mapping[str, np.ndarray], results: Results) -> Figure:
    """Return true images, reconstructed probabilities and masks, in columns by class.

    `events` is reconstructions.npz, the fields of `ImageReconstruction` and labels [event]. One
    image is drawn of the background and of each group's middle signal, or of each signal if there
    are no groups. A binary reconstruction has no row of probabilities.
    """
    chosen = _one_of_each_group(events["labels"], results)
    truth, probability = events["truth"][chosen], events["reconstructed"][chosen]
    rows = {_TRUE: truth, _PROBABILITY: probability, _MASK: (probability > 0.5).astype(float)}
    if np.isin(probability, (0.0, 1.0)).all():
        del rows[_PROBABILITY]
    with house_style():
        figure = Figure(figsize=(2.6 * len(chosen) + 1.1, 3.0 * len(rows) + 0.6))
        grid = figure.subplots(len(rows), len(chosen), sharex=True, sharey=True, squeeze=False)
        for line, (title, pictures) in zip(grid, rows.items(), strict=True):
            for axes, picture, true in zip(line, pictures, truth, strict=True):
                mesh = _draw_image(axes, picture, in_steps=title != _PROBABILITY)
                axes.text(
                    0.03, 0.98, _caption(title, picture, true), transform=axes.transAxes, va="top",
                    fontsize=8, color="0.15", bbox=_BOX,
                )  # fmt: skip
            line[0].set_ylabel(f"{title}\n" + r"$\phi$ (pixels)")
            if title == _PROBABILITY:
                # beside all rows, so that their columns stay aligned
                figure.colorbar(mesh, ax=grid.ravel().tolist(), label="probability of a hit",
                                pad=0.02, shrink=0.32)  # fmt: skip
        for axes, event in zip(grid[0], chosen, strict=True):
            axes.set_title(results.paper.text(str(events["labels"][event])), fontsize=11)
        for axes in grid[-1]:
            axes.set_xlabel(r"$\eta$ (pixels)")
        stamp_figure(figure, results, right=f"{len(chosen)} {results.data.event_noun}")
    return figure


def _one_of_each_group(labels: Shaped[np.ndarray, " event"], results: Results) -> list[int]:
    """Return the first image of the background and of the middle signal of each group."""
    names, first = np.unique(labels, return_index=True)
    first_of = dict(zip(map(str, names), map(int, first), strict=True))
    wanted = [results.data.background]
    groups = results.data.measured_groups or {label: [label] for label in results.signals[:5]}
    for members in groups.values():
        known = [label for label in members if label in first_of]
        wanted += known[len(known) // 2 : len(known) // 2 + 1]
    return [first_of[label] for label in wanted if label in first_of]


def _draw_image(axes: Axes, picture: Float[np.ndarray, "phi eta"], *, in_steps: bool) -> Any:
    return axes.imshow(
        picture, origin="lower", aspect="equal", interpolation="nearest", vmin=0, vmax=1,
        cmap="Greys" if in_steps else DENSITY_COLOURS,
    )  # fmt: skip


def _caption(
    title: str, picture: Float[np.ndarray, "phi eta"], true: Float[np.ndarray, "phi eta"]
) -> str:
    """Return the numbers that summarise a picture."""
    if title == _PROBABILITY:
        return f"sum {picture.sum():.1f}, SSE {((picture - true) ** 2).sum():.1f}"
    if title == _TRUE:
        return f"{int(picture.sum())} pixels"
    return f"{int(picture.sum())} pixels, {int((picture != true).sum())} wrong"
