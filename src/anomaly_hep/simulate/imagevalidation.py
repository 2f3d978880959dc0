"""Physics of simulated detector images, and how they compare with published ones.

Units: GeV; errors and intervals are those of 68 %.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
from jaxtyping import Float64, Int64, Shaped
from scipy.stats import rankdata

from anomaly_hep.errors import MissingDataError, SimulationError
from anomaly_hep.formats import darkshowers, darkshowers_raw
from anomaly_hep.formats.files import find_files
from anomaly_hep.formats.pixels import BLOCK, CHANNELS, COLUMNS, HIT_COLUMNS, ROWS
from anomaly_hep.simulate.darkprocesses import CLASSES, PREFIXES, QCD
from anomaly_hep.simulate.images import PIXEL
from anomaly_hep.simulate.production import SPLITS
from anomaly_hep.types import Events

# of each class: enough for every number and curve here
MAX_EVENTS = 4000
_READERS: Mapping[str, ModuleType] = {".h5": darkshowers_raw, ".npz": darkshowers}
_EVENT_COLUMNS = ("n_tracks", "hits", *(f"energy_{name}" for name in CHANNELS))

CELL = BLOCK * PIXEL  # of the down-scaled images, in eta; 2 pi / 72 in phi is the same to 0.3 %
RADII = np.array([0.0, 0.13, 0.3, 0.5, 0.8, 1.2, 1.6, 2.0, 2.5, 3.2])
CORE = 0.3  # radius within which a jet's share of tracks is counted


@dataclass(frozen=True)
class Value:
    """A number and its standard error."""

    value: float
    error: float

    def __str__(self) -> str:
        digits = max(0, min(3, 1 - int(np.floor(np.log10(self.error))))) if self.error > 0 else 1
        return f"{self.value:.{digits}f} ± {self.error:.{digits}f}"


# ---- numbers


def summary(classes: Mapping[str, Events]) -> dict[str, dict[str, Value]]:
    """Return what the images of each class look like.

    Means per event: hits (tracker pixels), tracks, ecal and hcal (pixels hit), energy by channel
    (GeV), core (share of the tracks' pT within 0.3 of the pixel with most). For signals also auc:
    how well the number of hits tells them from QCD.
    """
    return {label: _summary(label, events, classes.get(QCD)) for label, events in classes.items()}


def _summary(label: str, events: Events, background: Events | None) -> dict[str, Value]:
    counts, columns = hit_counts(events), events.events
    result = {
        "hits": mean(columns["hits"]),
        "tracks": mean(columns["n_tracks"]),
        "ecal": mean(counts[:, 1]),
        "hcal": mean(counts[:, 2]),
        **{f"energy_{name}": mean(columns[f"energy_{name}"]) for name in CHANNELS},
        "core": mean(profile(events, np.array([0.0, CORE]))[1][:, 0]),
    }
    if label != QCD and background is not None:
        result["auc"] = auc(background.events["hits"], columns["hits"])
    return result


def mean(values: Shaped[np.ndarray, " event"]) -> Value:
    """Return the mean; the error is 0 where there is only one event."""
    values = np.asarray(values, np.float64)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return Value(float(values.mean()), float(error))


def auc(
    background: Shaped[np.ndarray, " background"], signal: Shaped[np.ndarray, " signal"]
) -> Value:
    """Return the area under the ROC curve, ties counted half, with DeLong's standard error."""
    below = _placements(signal, background)
    above = 1 - _placements(background, signal)
    variance = below.var() / max(len(signal) - 1, 1) + above.var() / max(len(background) - 1, 1)
    return Value(float(below.mean()), float(np.sqrt(variance)))


def _placements(values: np.ndarray, others: np.ndarray) -> Float64[np.ndarray, " value"]:
    """Return the share of `others` below each of the values."""
    both = rankdata(np.concatenate([values, others]))[: len(values)]
    share: np.ndarray = (both - rankdata(values)) / len(others)
    return share


def hit_counts(events: Events) -> Int64[np.ndarray, "event 3"]:
    """Return the number of pixels hit in each channel."""
    key = _event(events) * len(CHANNELS) + events.particles["hit_channel"]
    return np.bincount(key, minlength=len(events) * len(CHANNELS)).reshape(-1, len(CHANNELS))


def profile(
    events: Events, radii: Float64[np.ndarray, " edge"]
) -> tuple[Int64[np.ndarray, "event ring"], Float64[np.ndarray, "event ring"]]:
    """Return, ring by ring about the tracker's highest pixel, the hits and the share of all pT.

    Events without a track have none. The distance is that of the pixels' centres in (eta, phi).
    """
    tracker = events.particles["hit_channel"] == 0
    event = _event(events)[tracker]
    energy, row, column = (
        events.particles[name][tracker].astype(np.float64)
        for name in ("hit_energy", "hit_row", "hit_column")
    )
    lengths = np.bincount(event, minlength=len(events))
    order = np.lexsort((energy, event))
    leading = np.zeros(len(events), np.int64)
    leading[lengths > 0] = order[np.cumsum(lengths)[lengths > 0] - 1]
    centre_row, centre_column = (
        values[leading][event] if len(event) else values for values in (row, column)
    )
    turn = np.mod(row - centre_row + ROWS / 2, ROWS) - ROWS / 2
    distance = np.hypot(turn * 2 * np.pi / ROWS, (column - centre_column) * CELL)
    ring, rings = np.searchsorted(radii, distance, side="right") - 1, len(radii) - 1
    inside = (ring >= 0) & (ring < rings)
    key = event[inside] * rings + ring[inside]
    total = np.bincount(event, energy, len(events))
    share = energy[inside] / total[event[inside]]
    shape = (len(events), rings)
    return (
        np.bincount(key, minlength=shape[0] * rings).reshape(shape),
        np.bincount(key, share, shape[0] * rings).reshape(shape).astype(np.float64),
    )


def tracks_by_momentum(events: Events, edges: Sequence[float]) -> list[tuple[int, Value | None]]:
    """Return number of events and mean tracks in bins of the tracks' pT sum; None below 10."""
    total, tracks = events.events["energy_tracker"], events.events["n_tracks"]
    chosen = [(total >= low) & (total < high) for low, high in pairwise(edges)]
    return [(int(c.sum()), mean(tracks[c]) if c.sum() >= 10 else None) for c in chosen]


def columns_hit(events: Events) -> Float64[np.ndarray, " column"]:
    """Return the mean number of tracker pixels hit in each column of eta."""
    column = events.particles["hit_column"][events.particles["hit_channel"] == 0]
    return np.bincount(column, minlength=COLUMNS) / len(events)


def _event(events: Events) -> Int64[np.ndarray, " hit"]:
    return np.repeat(np.arange(len(events)), events.lengths)


# ---- tables


def tables(simulated: Mapping[str, Events], published: Mapping[str, Events] | None) -> list[str]:
    """Return the numbers as lines of Markdown tables, published ones beside simulated."""
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
    """Return mean tracks of both in the same bins of the tracks' pT sum, as a Markdown table."""
    head = "track pT sum (GeV) | share, simulated / published | tracks, simulated | published"
    lines = [f"| {head} |", "|---|---|---|---|"]
    counted = zip(
        tracks_by_momentum(simulated, edges), tracks_by_momentum(published, edges), strict=True
    )
    for (low, high), ((made, ours), (found, theirs)) in zip(pairwise(edges), counted, strict=True):
        span = f"{low:g} to {high:g}" if np.isfinite(high) else f"above {low:g}"
        share = f"{made / len(simulated):.1%} / {found / len(published):.1%}"
        lines.append(f"| {span} | {share} | {ours or '–'} | {theirs or '–'} |")
    return lines


# ---- the command


EDGES = (0.0, 300.0, 400.0, 500.0, 650.0, 900.0, np.inf)


def check_published(published: Path | None) -> None:
    """Refuse a directory to compare with that has no published images of QCD."""
    if published is not None and QCD not in read_classes(published, simulated=False, most=1):
        raise MissingDataError(
            f"{published} has no QCD images. Cure: give the directory that holds train/ and test/"
        )


def report(directory: Path, path: Path, published: Path | None = None) -> list[str]:
    """Draw the figure and return lines to print: where it is, and the tables."""
    from anomaly_hep.simulate.imagefigure import draw

    ours = read_classes(directory, simulated=True)
    theirs = None if published is None else read_classes(published, simulated=False)
    lines = [f"figure: {draw(ours, theirs, path)}", "", *tables(ours, theirs)]
    if theirs is not None and QCD in ours:
        lines += ["", *momentum_table(ours[QCD], theirs[QCD], EDGES)]
    return lines


def read_classes(directory: Path, *, simulated: bool, most: int = MAX_EVENTS) -> dict[str, Events]:
    """Return at most `most` events of each class in a directory, those of the test split first.

    Raises SimulationError where simulated and published images would be taken for each other, and
    MissingDataError where there are none.
    """
    found = {}
    for label in CLASSES:
        parts = list(_read(directory, label, simulated, most))
        if parts:
            found[label] = Events.concatenate(parts)
    if not found:
        raise MissingDataError(
            f"{directory} has no images. Cure: run `python -m anomaly_hep simulate "
            "data=darkshowers`, or give the directory that holds train/ and test/"
        )
    return found


def _read(directory: Path, label: str, simulated: bool, most: int) -> Iterator[Events]:
    for split in reversed(SPLITS):
        try:
            paths = find_files(directory, split, PREFIXES[label])
        except MissingDataError:
            continue
        for path in paths:
            if not most:
                return
            reader = _READERS.get(path.suffix)
            if reader is None:
                continue
            description = reader.describe(path)
            ours = (description.provenance or {}).get("origin") == "simulated"
            if ours != simulated:
                said, place = ("was not", "their own") if simulated else ("was", "another")
                raise SimulationError(
                    f"{path} {said} simulated here, and its images cannot be shown as the other "
                    f"kind. Cure: keep published files in a directory of {place}"
                )
            stop = min(most, description.entries)
            most -= stop
            yield reader.read(path, 0, stop, [*HIT_COLUMNS, *_EVENT_COLUMNS])
