"""Detector images as lists of their non-zero pixels: columns, sums and down-scaling.

A full image has 286 pixels in eta by 360 in phi, a down-scaled one 72 rows of phi by 58 columns of
eta; the channels are tracker, ECAL and HCAL. Units: GeV.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from anomaly_hep.formats.layout import Column, Layout

CHANNELS = ("tracker", "ecal", "hcal")
ETA_PIXELS, PHI_PIXELS = 286, 360
ROWS, COLUMNS, BLOCK = 72, 58, 5
# TensorFlow's SAME: 286 pixels need 4 more for blocks of 5, half of them on either side
PADDING = 2

ROUNDING_GEV = 1e-6  # a pixel this little below zero is empty

_F32, _I64 = np.dtype(np.float32), np.dtype(np.int64)
LAYOUT = Layout(
    particles={
        "hit_channel": Column(np.dtype(np.int8), least=0, most=len(CHANNELS) - 1),
        "hit_row": Column(np.dtype(np.int16), least=0, most=ROWS - 1),
        "hit_column": Column(np.dtype(np.int16), least=0, most=COLUMNS - 1),
        "hit_energy": Column(_F32, "GeV", above=0),
    },
    events={
        "label": Column(_I64, truth=True),
        "mass": Column(_F32, "GeV", truth=True),
        "n_tracks": Column(_F32, least=0),
        "hits": Column(_I64, least=0),
        "energy_tracker": Column(_F32, "GeV", least=0),
        "energy_ecal": Column(_F32, "GeV", least=0),
        "energy_hcal": Column(_F32, "GeV", least=0),
        "energy": Column(_F32, "GeV", least=0),
    },
    stored={"hit_energy": "images"},
)


def downscale(
    event: Int64[np.ndarray, " hit"],
    channel: Int64[np.ndarray, " hit"],
    eta: Int64[np.ndarray, " hit"],
    phi: Int64[np.ndarray, " hit"],
    energy: Float32[np.ndarray, " hit"],
    entries: int,
) -> tuple[Int64[np.ndarray, " event"], dict[str, np.ndarray]]:
    """Sum blocks of 5 x 5 pixels, as a 5 x 5 kernel of ones with stride 5 and SAME padding does.

    Returns the number of hits per event, and the hit columns sorted by channel, row and column.
    """
    row, column = phi // BLOCK, (eta + PADDING) // BLOCK
    key = ((event * len(CHANNELS) + channel) * ROWS + row) * COLUMNS + column
    kept, inverse = np.unique(key, return_inverse=True)
    sums = np.bincount(inverse, energy.astype(np.float64), len(kept))
    place, column = np.divmod(kept, COLUMNS)
    place, row = np.divmod(place, ROWS)
    event, channel = np.divmod(place, len(CHANNELS))
    values = (channel, row, column, sums)
    columns = {
        name: value.astype(column.dtype)
        for (name, column), value in zip(LAYOUT.particles.items(), values, strict=True)
    }
    return np.bincount(event, minlength=entries).astype(np.int64), columns


def sums(
    lengths: Int64[np.ndarray, " event"],
    channel: Shaped[np.ndarray, " hit"],
    energy: Float32[np.ndarray, " hit"],
) -> dict[str, np.ndarray]:
    """Return the event columns that follow from the hits: tracker hits, and summed energies."""
    number = len(lengths)
    event = np.repeat(np.arange(number), lengths)
    by_channel = np.bincount(
        event * len(CHANNELS) + channel, energy.astype(np.float64), number * len(CHANNELS)
    ).reshape(number, len(CHANNELS))
    columns = {
        "hits": np.bincount(event[channel == 0], minlength=number),
        **{f"energy_{name}": by_channel[:, i] for i, name in enumerate(CHANNELS)},
        "energy": by_channel.sum(axis=1),
    }
    return {name: values.astype(LAYOUT.events[name].dtype) for name, values in columns.items()}
