"""Symmetries of the detector for images in training, arXiv:2306.12955 section 3.2."""

from __future__ import annotations

import numpy as np

from anomaly_hep.types import Events

CHUNK = 8  # rows: rotations are multiples of it
_LARGEST = 7  # chunks


def rotated_and_mirrored(
    events: Events, rng: np.random.Generator, shape: tuple[int, int]
) -> Events:
    """Return images mirrored in eta and rotated in phi, each by one of six equally likely choices.

    Nothing, mirror, rotation down, rotation up, and the two rotations mirrored. A rotation is by 8,
    16, ..., 56 rows with equal probability. The published code draws for each image (the paper says
    for each batch). Energies stay as they are; `shape` is (rows of phi, columns of eta).
    """
    rows, columns = shape
    choice = rng.integers(0, 6, len(events))
    shift = CHUNK * rng.integers(1, _LARGEST + 1, len(events))
    down, up = np.isin(choice, (2, 4)), np.isin(choice, (3, 5))
    moved = np.where(down, shift, np.where(up, -shift, 0))
    mirrored = np.isin(choice, (1, 4, 5))
    row, column = events.particles["hit_row"], events.particles["hit_column"]
    each = np.repeat(moved, events.lengths)
    turned = (row + each) % rows
    flipped = np.where(np.repeat(mirrored, events.lengths), columns - 1 - column, column)
    particles = {
        **events.particles,
        "hit_row": turned.astype(row.dtype),
        "hit_column": flipped.astype(column.dtype),
    }
    return Events(events.lengths, particles, events.events)
