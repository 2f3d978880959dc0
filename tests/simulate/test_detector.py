from __future__ import annotations

import numpy as np
import pytest

from anomaly_hep.errors import SimulationError
from anomaly_hep.simulate.detector import (
    CHARGED_HADRON,
    ELECTRON,
    MUON,
    NEUTRAL_HADRON,
    PHOTON,
    Candidates,
    Detector,
)
from anomaly_hep.simulate.vectors import direction, transverse
from tests.simulate.records import Particle, record

CMS = Detector(hcal_min_significance=2.0, smear_momenta=True)
JETCLASS = Detector(hcal_min_significance=1.0, smear_momenta=False)


def many(particle: Particle, number: int = 2000, detector: Detector = CMS) -> Candidates:
    return detector.measure(record(*[[particle]] * number), np.random.default_rng(3))


@pytest.mark.parametrize(
    ("pid", "kind", "efficiency"),
    [
        (22, PHOTON, 1.0), (130, NEUTRAL_HADRON, 1.0), (2112, NEUTRAL_HADRON, 1.0),
        (11, ELECTRON, 0.95), (-13, MUON, 0.99), (211, CHARGED_HADRON, 0.95),
    ],
)  # fmt: skip
def test_each_kind_is_recognised(pid: int, kind: int, efficiency: float) -> None:
    found = many(Particle(pid, pt=80.0, eta=0.4, phi=1.0))
    seen = found.types == kind
    assert seen.sum() / 2000 == pytest.approx(efficiency, abs=0.02)
    pt = transverse(found.momentum[:, seen])
    assert np.median(pt) == pytest.approx(80.0, rel=0.03)
    # tracks keep their direction, cells blur it by their size
    eta, phi = direction(found.momentum[:, seen])
    size = 0.09 if kind == NEUTRAL_HADRON else 0.02
    assert np.abs(eta - 0.4).max() < size
    assert np.abs(phi - 1.0).max() < size
    assert (found.charge[seen] != 0).all() == (kind in (CHARGED_HADRON, ELECTRON, MUON))


def test_a_read_out_has_tracks_before_energy_flow_and_no_invisible_particles() -> None:
    events = [[Particle(211, pt=0.9, eta=0.4), Particle(22, pt=5.0), Particle(53, pt=90.0),
               Particle(12, pt=70.0)]] * 3000  # fmt: skip
    detector = Detector(2.0, True, track_resolution="CMS_PileUp")
    seen = detector.read_out(record(*events), np.random.default_rng(1))
    assert set(seen.hits.pid.tolist()) == {211, 22}
    assert (seen.track_pt[seen.hits.pid == 22] == 0).all()
    pt = seen.track_pt[seen.hits.pid == 211]
    assert (pt > 0).mean() == pytest.approx(0.70, abs=0.03)
    assert pt[pt > 0].mean() == pytest.approx(0.9, rel=0.01)
    assert pt[pt > 0].std() == pytest.approx(0.06 * 0.9, rel=0.1)


def test_an_unknown_resolution_is_refused() -> None:
    with pytest.raises(SimulationError, match=r"track_resolution=ATLAS.*CMS, CMS_PileUp"):
        Detector(2.0, True, track_resolution="ATLAS")


def test_charge_and_mass_survive() -> None:
    found = many(Particle(-2212, pt=5.0))
    track = found.types == CHARGED_HADRON
    assert set(found.charge[track]) == {-1.0}
    mass2 = found.momentum[3] ** 2 - (found.momentum[:3] ** 2).sum(axis=0)
    np.testing.assert_allclose(mass2[track], 0.93827**2, rtol=1e-6)


@pytest.mark.parametrize("pid", [12, -14, 16])
def test_neutrinos_are_not_seen(pid: int) -> None:
    assert len(many(Particle(pid, pt=100.0), 10).event) == 0


def test_what_is_born_outside_or_goes_down_the_beam_is_not_seen() -> None:
    events = record(
        [Particle(22, pt=50.0, vertex=(1300.0, 0.0, 0.0))],
        [Particle(22, pt=50.0, vertex=(0.0, 0.0, -3001.0))],
        [Particle(22, pt=50.0, eta=5.2)],
        [Particle(22, pt=1e-6, eta=0.1)],
        [Particle(22, pt=50.0)],
    )
    assert CMS.measure(events, np.random.default_rng(0)).event.tolist() == [4]


def test_a_lost_track_leaves_its_energy_in_the_calorimeter() -> None:
    found = many(Particle(211, pt=100.0), 4000)
    lost = np.setdiff1d(np.arange(4000), found.event[found.types == CHARGED_HADRON])
    assert len(lost) / 4000 == pytest.approx(0.05, abs=0.01)
    neutral = found.take(np.flatnonzero(np.isin(found.event, lost)))
    assert (neutral.types == NEUTRAL_HADRON).all()
    assert np.median(transverse(neutral.momentum)) == pytest.approx(100, rel=0.05)
    assert len(neutral.event) > 0.95 * len(lost)


def test_the_better_of_track_and_calorimeter_decides() -> None:
    particle = Particle(211, pt=20.0)
    by_tracks, by_cells = many(particle), many(particle, detector=JETCLASS)
    spread = []
    for found in (by_tracks, by_cells):
        pt = transverse(found.momentum[:, found.types == CHARGED_HADRON])
        spread.append(np.subtract(*np.percentile(pt, [84, 16])) / 2 / 20)
    assert spread[0] == pytest.approx(0.01, abs=0.003)  # 1 % of the tracker
    assert spread[1] > 0.15  # 150 % / sqrt(E) of the calorimeter, cut by the excess above the track


def test_impact_parameters_of_prompt_tracks_are_pure_resolution() -> None:
    found = many(Particle(211, pt=3.2, eta=0.2), 5000)
    d0, d0_error, dz, dz_error = found.impact[:, found.types == CHARGED_HADRON]
    assert (d0 / d0_error).std() == pytest.approx(1, abs=0.05)
    assert (dz / dz_error).std() == pytest.approx(1, abs=0.05)
    assert (d0 / d0_error).mean() == pytest.approx(0, abs=0.06)


def test_displaced_tracks_are_displaced() -> None:
    # born 2 mm from the beam, moving at right angles to the line of sight
    found = many(Particle(211, pt=50.0, phi=0.0, vertex=(0.0, 2.0, 1.0)), 200)
    d0, _, dz, _ = found.impact[:, found.types == CHARGED_HADRON]
    assert np.median(d0) == pytest.approx(-2.0, abs=0.01)
    assert np.median(dz) == pytest.approx(1.0, abs=0.02)


def test_neutral_candidates_have_no_impact_parameters() -> None:
    found = many(Particle(22, pt=30.0), 50)
    assert (found.impact == 0).all()


def test_events_do_not_mix_and_order_does_not_matter() -> None:
    rng = np.random.default_rng(8)
    events = [
        [Particle(int(pid), pt=float(pt), eta=float(eta), phi=float(phi)) for pid, pt, eta, phi in
         zip(rng.choice([22, 211, 130], n), rng.exponential(5, n) + 0.3, rng.uniform(-3, 3, n),
             rng.uniform(-3, 3, n), strict=True)]
        for n in (30, 0, 50)
    ]  # fmt: skip
    found = CMS.measure(record(*events), np.random.default_rng(1))
    assert (np.diff(found.event) >= 0).all()
    assert set(found.event) == {0, 2}
    energy = np.bincount(found.event, found.momentum[3], 3)
    true = [sum(p.pt * np.cosh(p.eta) for p in event) for event in events]
    np.testing.assert_allclose(energy, true, rtol=0.25)


def test_the_same_seed_gives_the_same_candidates() -> None:
    events = record(*[[Particle(211, pt=10.0), Particle(22, pt=10.0, eta=1.0)]] * 20)
    first, second, third = (
        CMS.measure(events, np.random.default_rng(seed)).momentum for seed in (1, 1, 2)
    )
    assert first.tobytes() == second.tobytes()
    assert first.tobytes() != third.tobytes()
