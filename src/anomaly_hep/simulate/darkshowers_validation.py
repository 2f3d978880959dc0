"""Compare simulated detector images with published ones, in tables and a figure.

Units: GeV; errors and intervals are at 68 % confidence level.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from anomaly_hep.errors import MissingDataError, SimulationError
from anomaly_hep.formats.files import format_of
from anomaly_hep.formats.pixels import CHANNELS, LAYOUT
from anomaly_hep.simulate.darkshowers_figure import draw
from anomaly_hep.simulate.darkshowers_processes import CLASSES, PREFIXES, QCD
from anomaly_hep.simulate.darkshowers_quantities import CORE, summary, tracks_by_momentum
from anomaly_hep.simulate.plan import SPLITS
from anomaly_hep.types import Events

# of each class, enough for all numbers and curves here
MAX_EVENTS = 4000
_EVENT_COLUMNS = ("n_tracks", "hits", *(f"energy_{name}" for name in CHANNELS))


def tables(simulated: Mapping[str, Events], published: Mapping[str, Events] | None) -> list[str]:
    """Return the summary numbers as lines of a Markdown table, published ones after simulated."""
    columns = ("hits", "tracks", "ecal", "hcal", "energy_tracker", "core", "auc")
    names = ("tracker hits", "tracks", "ECAL pixels", "HCAL pixels", "track pT sum (GeV)",
             f"share within {CORE:g}", "AUC of hits")  # fmt: skip
    lines = ["| class | images | events | " + " | ".join(names) + " |",
             "|---|---|" + "---|" * (len(names) + 1)]  # fmt: skip
    samples = [("simulated", simulated, summary(simulated))]
    if published is not None:
        samples.append(("published", published, summary(published)))
    for label in CLASSES:
        for origin, events, numbers in samples:
            if label in events:
                cells = [str(numbers[label][c]) if c in numbers[label] else "" for c in columns]
                lines.append(f"| {label} | {origin} | {len(events[label]):,} | "
                             + " | ".join(cells) + " |")  # fmt: skip
    return lines


def momentum_table(simulated: Events, published: Events, edges: Sequence[float]) -> list[str]:
    """Return the mean tracks of both samples in bins of the track pT sum, as a Markdown table."""
    head = "track pT sum (GeV) | share, simulated / published | tracks, simulated | published"
    lines = [f"| {head} |", "|---|---|---|---|"]
    samples = (tracks_by_momentum(events, edges) for events in (simulated, published))
    bins = zip(pairwise(edges), *samples, strict=True)
    for (low, high), (n_ours, ours), (n_theirs, theirs) in bins:
        span = f"{low:g} to {high:g}" if np.isfinite(high) else f"above {low:g}"
        share = f"{n_ours / len(simulated):.1%} / {n_theirs / len(published):.1%}"
        lines.append(f"| {span} | {share} | {ours or '–'} | {theirs or '–'} |")
    return lines


EDGES = (0.0, 300.0, 400.0, 500.0, 650.0, 900.0, np.inf)


def check_published(published: Path | None) -> None:
    """Refuse a directory for comparison that has no published images of QCD."""
    if published is not None and QCD not in read_classes(published, simulated=False, most=1):
        raise MissingDataError(
            f"{published} has no QCD images. Cure: give the directory that holds train/ and test/"
        )


def report(directory: Path, path: Path, published: Path | None = None) -> list[str]:
    """Draw the figure; return lines to print: its path, and the tables."""
    ours = read_classes(directory, simulated=True)
    theirs = None if published is None else read_classes(published, simulated=False)
    lines = [f"figure: {draw(ours, theirs, path)}", "", *tables(ours, theirs)]
    if theirs is not None and QCD in ours:
        lines += ["", *momentum_table(ours[QCD], theirs[QCD], EDGES)]
    return lines


def read_classes(directory: Path, *, simulated: bool, most: int = MAX_EVENTS) -> dict[str, Events]:
    """Return at most `most` events of each class in a directory, those of the test split first.

    Raises SimulationError if published images are found where simulated ones are expected or vice
    versa, and MissingDataError if there are none.
    """
    classes = {}
    for label in CLASSES:
        parts = list(_read(directory, label, simulated, most))
        if parts:
            classes[label] = Events.concatenate(parts)
    if not classes:
        raise MissingDataError(
            f"{directory} has no images. Cure: run `python -m anomaly_hep simulate "
            "data=darkshowers`, or give the directory that holds train/ and test/"
        )
    return classes


def _read(directory: Path, label: str, simulated: bool, most: int) -> Iterator[Events]:
    paths = [
        path
        for split in reversed(SPLITS)
        for path in sorted((directory / split).glob(f"{PREFIXES[label]}_*"))
    ]
    for path in paths:
        if not most:
            return
        reader = format_of(path)
        description = reader.describe(path)
        is_simulated = (description.provenance or {}).get("origin") == "simulated"
        if is_simulated != simulated:
            verb, place = ("was not", "their own") if simulated else ("was", "another")
            raise SimulationError(
                f"{path} {verb} simulated here, and its images cannot be shown as the other "
                f"kind. Cure: keep published files in a directory of {place}"
            )
        stop = min(most, description.entries)
        most -= stop
        yield reader.read(path, 0, stop, [*LAYOUT.particles, *_EVENT_COLUMNS])
