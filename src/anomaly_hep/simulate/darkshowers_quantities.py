"""Summary numbers of detector images: hits, momenta, radial profile, areas under ROC curves.

Units: GeV; errors are at 68 % confidence level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float64, Int64, Shaped
from scipy.stats import rankdata

from anomaly_hep.formats.pixels import BLOCK, CHANNELS, ROWS
from anomaly_hep.simulate.darkshowers_processes import QCD
from anomaly_hep.simulate.images import PIXEL
from anomaly_hep.types import Events

CELL = BLOCK * PIXEL  # pixel of down-scaled images, in eta; 2 pi / 72 in phi agrees to 0.3 %
RADII = np.array([0.0, 0.13, 0.3, 0.5, 0.8, 1.2, 1.6, 2.0, 2.5, 3.2])
CORE = 0.3  # radius of the core about the highest tracker pixel


@dataclass(frozen=True)
class Value:
    """A number and its standard error."""

    value: float
    error: float

    def __str__(self) -> str:
        digits = max(0, min(3, 1 - int(np.floor(np.log10(self.error))))) if self.error > 0 else 1
        return f"{self.value:.{digits}f} ± {self.error:.{digits}f}"


def summary(classes: Mapping[str, Events]) -> dict[str, dict[str, Value]]:
    """Return summary numbers of the images of each class.

    Means per event: hits (tracker pixels), tracks, ecal and hcal (pixels hit), energy by channel
    (GeV), core (share of the tracks' pT within 0.3 of the highest pixel). For signals also auc:
    the area under the ROC curve of the number of hits against QCD.
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
    """Return the mean with its standard error, which is 0 for a single event."""
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
    """Return the share of `others` below each value, ties counted half."""
    ranks = rankdata(np.concatenate([values, others]))[: len(values)]
    share: np.ndarray = (ranks - rankdata(values)) / len(others)
    return share


def hit_counts(events: Events) -> Int64[np.ndarray, "event 3"]:
    """Return the number of pixels hit in each channel."""
    key = _event(events) * len(CHANNELS) + events.particles["hit_channel"]
    return np.bincount(key, minlength=len(events) * len(CHANNELS)).reshape(-1, len(CHANNELS))


def profile(
    events: Events, radii: Float64[np.ndarray, " edge"]
) -> tuple[Int64[np.ndarray, "event ring"], Float64[np.ndarray, "event ring"]]:
    """Return the tracker's hits and share of pT in rings about its highest pixel.

    Both are 0 for events without a track. Distances are between pixel centres in (eta, phi).
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
    rows_apart = np.mod(row - centre_row + ROWS / 2, ROWS) - ROWS / 2
    distance = np.hypot(rows_apart * 2 * np.pi / ROWS, (column - centre_column) * CELL)
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
    """Return the events and mean tracks in bins of the track pT sum; None below 10 events."""
    total, tracks = events.events["energy_tracker"], events.events["n_tracks"]
    chosen = [(total >= low) & (total < high) for low, high in pairwise(edges)]
    return [(int(c.sum()), mean(tracks[c]) if c.sum() >= 10 else None) for c in chosen]


def _event(events: Events) -> Int64[np.ndarray, " hit"]:
    return np.repeat(np.arange(len(events)), events.lengths)
