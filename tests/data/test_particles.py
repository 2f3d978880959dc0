"""What a network sees of particles that come as transverse momentum and angles."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.data.particles import ParticleReading
from anomaly_hep.types import Events

READING = ParticleReading(
    features={name: {"column": f"part_{name}"} for name in ("pt", "eta", "phi")},
    max_particles=3,
    particle_types=False,
    selection={},
)


@given(st.lists(st.lists(st.integers(1, 9), max_size=8), min_size=1, max_size=5))
def test_the_hardest_particles_are_kept_in_their_order(momenta: list[list[int]]) -> None:
    lengths = np.array([len(event) for event in momenta])
    pt = np.array([pt for event in momenta for pt in event], np.float32)
    place = np.arange(len(pt), dtype=np.float32)
    events = Events(lengths, {"part_pt": pt, "part_eta": place, "part_phi": place}, {})
    batch, counts = READING.batch(events, np.arange(len(lengths)), "toys")
    expected = []
    for event in momenta:
        # sorted is stable: of equal ones the first are kept
        hardest = sorted(range(len(event)), key=lambda i, event=event: -event[i])[:3]
        expected += [event[i] for i in sorted(hardest)]
    assert batch.features[:, 0].tolist() == expected
    assert (np.diff(batch.features[:, 1]) > 0).all()
    assert counts.truncated == sum(len(event) > 3 for event in momenta)
