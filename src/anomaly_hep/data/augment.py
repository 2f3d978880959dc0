"""Symmetries of the detector for images in training, arXiv:2306.12955 section 3.2."""

from __future__ import annotations

import numpy as np

from anomaly_hep.types import Events

CHUNK = 8  # rows: rotations are multiples of it
_MAX_CHUNKS = 7  # of a rotation


def rotated_and_mirrored(
    events: Events, rng: np.random.Generator, shape: tuple[int, int]
) -> Events:
    """Return images mirrored in eta or rotated in phi, by one of six equally likely choices each.

    The choices are: unchanged, mirrored, rotated down, rotated up, and either rotation mirrored. A
    rotation is by 8, 16, ..., 56 rows with equal probability. As in the published code, each image
    has its own draw (the paper says each batch). `shape` is (rows of phi, columns of eta).
    """
    rows, columns = shape
    choice = rng.integers(0, 6, len(events))
    shift = CHUNK * rng.integers(1, _MAX_CHUNKS + 1, len(events))
    down, up = np.isin(choice, (2, 4)), np.isin(choice, (3, 5))
    rotation = np.where(down, shift, np.where(up, -shift, 0))
    mirrored = np.isin(choice, (1, 4, 5))
    row, column = events.particles["hit_row"], events.particles["hit_column"]
    rotations = np.repeat(rotation, events.lengths)  # of each pixel's image
    new_row = (row + rotations) % rows
    new_column = np.where(np.repeat(mirrored, events.lengths), columns - 1 - column, column)
    particles = {
        **events.particles,
        "hit_row": new_row.astype(row.dtype),
        "hit_column": new_column.astype(column.dtype),
    }
    return Events(events.lengths, particles, events.events)
