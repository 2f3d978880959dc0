"""What readings say of an event without a model, against slow sums."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from anomaly_hep.data.batch import ImageBatch
from anomaly_hep.data.images import ImageReading
from anomaly_hep.data.particles import ParticleReading
from anomaly_hep.data.reading import Reading
from anomaly_hep.types import Events
from tests.toys import toy_jets

FEATURES = {"pt_rel": {"scale": 10.0}, "delta_eta": None}


@pytest.mark.parametrize("types", [True, False])
def test_particles_are_summed_event_by_event(types: bool) -> None:
    jets = toy_jets(20, mean_particles=6.0)
    reading = ParticleReading(
        features=FEATURES, max_particles=5, particle_types=types, selection={}
    )
    batch, _ = reading.batch(jets, np.arange(20), Path("toys"))
    found = dict(zip(reading.summary_names, reading.summary(batch).numpy().T, strict=True))
    start = 0
    for event, length in enumerate(batch.lengths.tolist()):
        rows = batch.features[start : start + length].double().numpy()
        assert found["particles"][event] == length
        for column, name in enumerate(FEATURES):
            values = rows[:, column]
            for kind, value in (
                ("sum", values.sum()), ("mean", values.mean()), ("std", values.std()),
                ("max", values.max()),
            ):  # fmt: skip
                assert found[f"{kind}_{name}"][event] == pytest.approx(value, abs=1e-9)
        if types:
            photons = (batch.known_types[start : start + length] == 3).sum()
            assert found["number_photon"][event] == photons
        start += length


def images(hits: list[tuple[int, int, int, float]]) -> ImageBatch:
    """One event of (channel, row, column, energy), and one without hits."""
    channel, row, column, energy = (torch.tensor(part) for part in zip(*hits, strict=True))
    return ImageBatch(
        lengths=torch.tensor([len(hits), 0]), index=torch.arange(2), weight=torch.ones(2),
        shape=(2, 8, 10), pixel=(channel * 8 + row) * 10 + column, energy=energy,
    )  # fmt: skip


def test_an_image_is_summed_channel_by_channel() -> None:
    reading = ImageReading(augmentation=False, shape=(2, 8, 10), selection={})
    batch = images([(0, 1, 2, 3.0), (0, 1, 6, 1.0), (1, 4, 4, 2.0), (1, 0, 4, 2.0)])
    event, empty = reading.summary(batch)
    found = dict(zip(reading.summary_names, event.tolist(), strict=True))
    assert [found["hits_0"], found["hits_1"]] == [2, 2]
    assert [found["energy_0"], found["energy_1"]] == [4.0, 4.0]
    # columns 2 and 6 with weights 3 and 1: mean 3, variance (3 + 9) / 4
    assert found["column_spread_0"] == pytest.approx(3**0.5)
    assert found["column_spread_1"] == 0.0
    assert found["row_spread_0"] == pytest.approx(0.0, abs=1e-9)
    assert found["row_spread_1"] == pytest.approx(1.0)  # opposite in phi
    assert not empty.any()


def test_no_rotation_in_phi_changes_an_image() -> None:
    reading = ImageReading(augmentation=False, shape=(2, 8, 10), selection={})
    hits = [(0, 0, 2, 3.0), (0, 2, 6, 1.0), (1, 7, 4, 2.0), (1, 1, 3, 5.0)]
    turned = [(channel, (row + 3) % 8, column, energy) for channel, row, column, energy in hits]
    torch.testing.assert_close(reading.summary(images(turned)), reading.summary(images(hits)))


def test_a_reading_of_its_own_counts_rows() -> None:
    jets: Events = toy_jets(3)
    reading = ParticleReading(features=FEATURES, max_particles=9, selection={})
    batch, _ = reading.batch(jets, np.arange(3), Path("toys"))
    found = Reading.summary(reading, batch)
    assert found[:, 0].tolist() == batch.lengths.tolist()
    assert len(super(ParticleReading, reading).summary_names) == 1
