"""Features of leading jets against closed forms and the published events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anomaly_hep.formats import lhco
from anomaly_hep.simulate.lhco_jets import features
from anomaly_hep.types import Events


def events(*particles: list[tuple[float, float, float]]) -> Events:
    """Return events of particles (pT, eta, phi)."""
    flat = np.array([p for event in particles for p in event], np.float32).reshape(-1, 3).T
    names = ("part_pt", "part_eta", "part_phi")
    return Events(np.array(list(map(len, particles))), dict(zip(names, flat, strict=True)), {})


def test_jets_of_one_and_of_two_particles() -> None:
    """Two massless particles: m2 = 2 pT1 pT2 (cosh deta - cos dphi); tau1 of equal ones is pT
    times their distance, in GeV."""
    found = features(
        events([(100.0, 0.0, 0.0), (100.0, 0.2, 0.0), (300.0, 0.5, 3.0), (50.0, 0.1, 1.5)])
    )
    # j1 has 300 GeV, j2 the pair, the third jet is left out
    assert found["mj1"][0] == pytest.approx(0, abs=1e-2)
    assert np.hypot(found["pxj1"], found["pyj1"])[0] == pytest.approx(300)
    assert found["pzj1"][0] == pytest.approx(300 * np.sinh(0.5), rel=1e-6)
    assert found["mj2"][0] == pytest.approx(np.sqrt(2e4 * (np.cosh(0.2) - 1)), rel=1e-5)
    assert found["tau1j2"][0] == pytest.approx(2 * 100 * 0.1, rel=0.01)
    assert found["tau2j2"][0] == 0


def test_what_an_event_lacks_is_zero() -> None:
    found = features(events([(5.0, 0.0, 0.0)], [(100.0, 0.0, 0.0)], []))
    assert len(found) == 14
    for name, values in found.items():
        assert values.dtype == np.float32
        assert values.tolist() == ([0, 100, 0] if name == "pxj1" else [0, 0, 0]), name


def test_published_events_have_the_published_masses(shared_data: Path) -> None:
    path = shared_data / "lhco" / "events_anomalydetection_tiny.h5"
    read = lhco.read(path, 0, 1000, [*lhco.WRITTEN.names])
    found = features(read.take(np.flatnonzero(read.events["truth"] == 1)))
    light, heavy = np.sort(np.stack([found["mj1"], found["mj2"]]), axis=0)
    assert np.median(light) == pytest.approx(100, abs=15)
    assert np.median(heavy) == pytest.approx(500, abs=15)
