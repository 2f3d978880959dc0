"""One look for all figures: mplhep's ticks, a palette that colour-blind readers can tell apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import mplhep
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from anomaly_hep.atomic import atomic_path
from anomaly_hep.evaluate.results import Results
from anomaly_hep.models.fits.companions import decorrelated

# M. Petroff, arXiv:2107.02270: ten colours, tested for colour-vision deficiencies.
PALETTE = {
    "blue": "#3f90da",
    "orange": "#ffa90e",
    "red": "#bd1f01",
    "grey": "#94a4a2",
    "violet": "#832db6",
    "brown": "#a96b59",
    "vermilion": "#e76300",
    "sand": "#b9ac70",
    "slate": "#717581",
    "cyan": "#92dadd",
}
_SCORES = [PALETTE[c] for c in ("blue", "red", "orange", "violet", "vermilion", "cyan")]
_BASELINES = [PALETTE[c] for c in ("slate", "brown", "sand", "grey")]
BACKGROUND_COLOUR = "#c8cdd0"
PUBLISHED_COLOUR = "#222222"
DENSITY_COLOURS = "cividis"

_SETTINGS: dict[Any, Any] = {
    **mplhep.style.ROOT,
    "font.size": 11,
    "axes.linewidth": 1.0,
    "axes.labelsize": 11,
    "axes.titlesize": 11,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "xtick.major.size": 5,
    "xtick.minor.size": 2.5,
    "ytick.major.size": 5,
    "ytick.minor.size": 2.5,
    "xtick.major.pad": 4,
    "legend.fontsize": 9,
    "legend.handlelength": 2.0,
    "lines.linewidth": 1.5,
    "figure.dpi": 100,
    "savefig.dpi": 160,
    "figure.constrained_layout.use": True,
    "mathtext.fallback": "stixsans",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Use the house style inside the context; figures are made and saved in one."""
    with mpl.rc_context():
        # the style holds a few aliases that rcParams.update would warn about one by one
        mpl.rcParams.update({k: v for k, v in _SETTINGS.items() if k in mpl.rcParams})
        yield


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG in one step; the same figure gives the same bytes."""
    with house_style(), atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
    return path


def signal_lines(labels: Iterable[str], results: Results) -> dict[str, dict[str, Any]]:
    """Return colour and line style of each signal: the paper's, else the next of the palette.

    The signals of a group have shades of its colour, in their order.
    """
    lines, palette = {}, list(PALETTE)
    for i, label in enumerate(results.paper.ordered(labels)):
        signal = results.paper.signal(label)
        colour = PALETTE[signal.colour or palette[i % len(palette)]]
        lines[label] = {"color": colour, "linestyle": signal.line}
    groups = results.data.measured_groups
    for group, colour in group_colours(results).items():
        members = [label for label in groups[group] if label in lines]
        shades = _shades(colour, len(members))
        for i, (label, shade) in enumerate(zip(members, shades, strict=True)):
            lines[label] = {"color": shade, "linestyle": ("-", "--")[i % 2]}
    return lines


def group_colours(results: Results) -> dict[str, str]:
    """Return the colour of each group of signals."""
    colours = [PALETTE[c] for c in ("red", "blue", "violet", "brown", "slate")]
    return {g: colours[i % len(colours)] for i, g in enumerate(results.data.measured_groups)}


def _shades(colour: str, number: int) -> list[str]:
    """Return shades of a colour from light to dark."""
    full = np.array(to_rgb(colour))
    mixes = np.linspace(0.5, -0.45, number) if number > 1 else np.zeros(1)
    return [to_hex(full + (1 - full) * m if m > 0 else full * (1 + m)) for m in mixes]


def model_colours() -> list[str]:
    """Return colours for curves that differ by model or by training stage."""
    return list(_SCORES)


def all_colours() -> list[str]:
    """Return the whole palette, for curves of which there are many."""
    return [*_SCORES, *_BASELINES]


def score_colours(results: Results) -> dict[str, str]:
    """Return the colour of each score and baseline, in the order to show them.

    A name keeps its colour whichever score is the default one; a decorrelated score has that of the
    score itself.
    """
    source = {decorrelated(name): name for name in results.scores}
    own = {name for name in results.scores if name not in source}
    colours = {
        name: palette[i % len(palette)]
        for names, palette in ((own, _SCORES), (results.baselines, _BASELINES))
        for i, name in enumerate(sorted(names))
    }
    return {name: colours[source.get(name, name)] for name in results.names}


def score_lines(results: Results) -> dict[str, dict[str, Any]]:
    """Return how scores (solid, the default one thick) and baselines (dashed) are drawn.

    Decorrelated scores are dotted.
    """
    lines: dict[str, dict[str, Any]] = {}
    without_mass = {decorrelated(name) for name in results.scores}
    for name, colour in score_colours(results).items():
        baseline, flat = name in results.baselines, name in without_mass
        width = 2.0 if name == results.default_score else 1.1 if baseline else 1.3
        line: dict[str, Any] = {"color": colour, "linewidth": width, "label": results.title(name)}
        repeated = colour in {known["color"] for known in lines.values()}
        style = "--" if baseline else ":" if flat else "-." if repeated else "-"
        lines[name] = line | {"linestyle": style}
    return lines


def logarithmic(axis: Axis) -> None:
    """Make an axis logarithmic, with labels at 1, 2 and 5 where it spans few decades."""
    set_scale = axis.axes.set_xscale if isinstance(axis, XAxis) else axis.axes.set_yscale
    set_scale("log")
    low, high = axis.get_view_interval()
    if high / low < 300:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def stamp(axes: Axes, results: Results, *, right: str = "") -> None:
    """Write above the axes what the data are (simulated or not) and, at the right, how many."""
    above: dict[str, Any] = {"transform": axes.transAxes, "va": "bottom"}
    axes.text(0.0, 1.012, results.data.title, ha="left", weight="bold", fontsize=10, **above)
    axes.text(1.0, 1.012, right, ha="right", fontsize=9, **above)


def stamp_figure(figure: Figure, results: Results, *, right: str = "") -> None:
    """Write the same above a figure of several panels."""
    stamp_name(figure, results.data.title)
    top = 1 - mpl.rcParams["figure.constrained_layout.h_pad"] / figure.get_figheight()
    figure.text(0.985, top, right, ha="right", va="top", fontsize=9.5)


def stamp_name(figure: Figure, name: str) -> None:
    """Write the name of the data above a figure of several panels."""
    # constrained layout moves the title to its padding below the upper edge and makes room for it
    figure.suptitle(name, x=0.01, ha="left", weight="bold", fontsize=11)


def legend_below(
    figure: Figure, handles: Sequence[Artist | Container], *, columns: int = 6
) -> None:
    """Explain lines below the panels, in as many columns as the figure is wide for.

    The figure grows by the height of the legend: panels keep theirs, however many lines there are.
    """
    renderer = FigureCanvasAgg(figure).get_renderer()
    for number in range(min(columns, len(handles)), 0, -1):
        legend = figure.legend(
            handles=handles, loc="outside lower center", ncols=number, columnspacing=1.4
        )
        extent = legend.get_window_extent(renderer)
        if number == 1 or extent.width < 0.98 * figure.bbox.width:
            break
        legend.remove()
    figure.set_figheight(figure.get_figheight() + extent.height / figure.dpi)
