"""Rotations and mirrors of training images."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from anomaly_hep.data.augment import rotated_and_mirrored
from anomaly_hep.formats.darkshowers import as_events
from anomaly_hep.types import Events

SHAPE = (72, 58)


def _dense(events: Events) -> np.ndarray:
    dense = np.zeros((len(events), *SHAPE, 3), np.float32)
    event = np.repeat(np.arange(len(events)), events.lengths)
    hits = events.particles
    dense[event, hits["hit_row"], hits["hit_column"], hits["hit_channel"]] = hits["hit_energy"]
    return dense


@pytest.fixture(scope="module")
def events() -> Events:
    rng = np.random.default_rng(0)
    hit = rng.random((1, *SHAPE, 3)) < 0.02
    image = (hit * rng.exponential(3.0, hit.shape)).astype(np.float32)
    return as_events(np.repeat(image, 3000, axis=0))


def test_every_image_is_one_of_the_published_choices(events: Events) -> None:
    original = _dense(events.take(np.arange(1)))[0]
    turned = _dense(rotated_and_mirrored(events, np.random.default_rng(1), SHAPE))
    # rolled by 0, 8, ..., 64 rows as numpy rolls them, as it is or mirrored in eta
    allowed = {
        (rows, mirrored): np.roll(original[:, ::-1] if mirrored else original, rows, axis=0)
        for rows in range(0, 72, 8)
        for mirrored in (False, True)
    }
    names = {image.tobytes(): name for name, image in allowed.items()}
    found = Counter(names[image.tobytes()] for image in turned)
    assert set(found) == set(allowed)
    # nothing and the mirror alone 1/6 each; a roll by k chunks is one down by k or up by 9 - k
    share = {name: count / len(turned) for name, count in found.items()}
    for name, value in share.items():
        chunks = name[0] // 8
        ways = 7 if chunks == 0 else sum(k in range(1, 8) for k in (chunks, 9 - chunks))
        assert value == pytest.approx(ways / 42, abs=4 * (ways / 42 / len(turned)) ** 0.5)


def test_energy_and_hits_stay_to_the_last_bit(events: Events) -> None:
    turned = rotated_and_mirrored(events, np.random.default_rng(2), SHAPE)
    assert turned.particles["hit_energy"] is events.particles["hit_energy"]
    np.testing.assert_array_equal(turned.lengths, events.lengths)
    np.testing.assert_array_equal(
        (_dense(turned) > 0).sum((1, 2)), (_dense(events) > 0).sum((1, 2))
    )
    assert turned.particles["hit_row"].dtype == events.particles["hit_row"].dtype


def test_the_same_chance_gives_the_same_images(events: Events) -> None:
    one, same, other = (
        rotated_and_mirrored(events, np.random.default_rng(seed), SHAPE).particles["hit_row"]
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
