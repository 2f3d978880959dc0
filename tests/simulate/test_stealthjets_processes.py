"""Pythia's processes: that they start, and which particles they make."""

from __future__ import annotations

import numpy as np
import pytest

from anomaly_hep.simulate.generator import Generator, Particles
from anomaly_hep.simulate.stealthjets_processes import (
    PREFIXES,
    PROCESSES,
    PSEUDOSCALAR,
    QUARKS,
    STEALTH,
)

FAST = ("Beams:eCM = 13000.", "PartonLevel:ISR = off", "PartonLevel:FSR = off",
        "PartonLevel:MPI = off", "HadronLevel:all = off")  # fmt: skip
EVENTS = 200


def generated(label: str, *settings: str) -> Particles:
    return Generator([*PROCESSES[label].settings, *settings, *FAST], 3).batch(EVENTS)


def masses(particles: Particles, code: int) -> np.ndarray:
    """Return the masses of all particles of this kind that decayed in the hard process."""
    chosen = (np.abs(particles.pid) == code) & (particles.status == -22)
    px, py, pz, energy = particles.momentum[:, chosen]
    found: np.ndarray = np.sqrt(energy**2 - px**2 - py**2 - pz**2)
    return found


@pytest.mark.parametrize(
    ("label", "boson", "pseudoscalar", "parent"),
    [("StealthB80", 80, 30, 1200), ("StealthB400", 400, 80, 2200)],
)
def test_stealth_bosons_decay_to_four_quarks(
    label: str, boson: float, pseudoscalar: float, parent: float
) -> None:
    particles = generated(label)
    for code, mass, number in ((STEALTH, boson, 2), (PSEUDOSCALAR, pseudoscalar, 4)):
        found = masses(particles, code)
        assert len(found) == number * EVENTS
        assert np.median(found) == pytest.approx(mass, rel=0.002)
        assert np.abs(found / mass - 1).max() < 0.051
    assert np.median(masses(particles, 5100039)) == pytest.approx(parent, rel=0.1)
    decayed = (particles.status == 23) & (np.abs(particles.pid) < 6)
    assert (np.bincount(particles.event[decayed], minlength=EVENTS) == 8).all()
    # in pairs, of kinds in the shares of the decays; 4 errors of a binomial
    kinds = np.bincount(np.abs(particles.pid[decayed]), minlength=6) / decayed.sum()
    error = np.sqrt(0.25 / (decayed.sum() / 2))
    for codes, share in QUARKS.items():
        assert kinds[int(codes.split()[0])] == pytest.approx(share, abs=4 * error)
    assert sum(QUARKS.values()) == pytest.approx(1)


def test_no_leptons_come_with_stealth_bosons() -> None:
    particles = generated("StealthB80")
    assert not np.isin(np.abs(particles.pid), range(11, 17)).any()


def test_tops_decay_to_quarks() -> None:
    particles = generated("top", "PhaseSpace:pTHatMin = 400")
    assert np.median(masses(particles, 6)) == pytest.approx(172.5, abs=1.5)
    decayed = (particles.status == 23) & (np.abs(particles.pid) < 6)
    assert (np.bincount(particles.event[decayed], minlength=EVENTS) == 6).all()


@pytest.mark.parametrize("label", ["QCD", "QCD_boosted"])
def test_multijets_are_two_partons(label: str) -> None:
    particles = generated(label, "PhaseSpace:pTHatMin = 400")
    hard = np.abs(particles.status) == 23
    assert hard.sum() == 2 * EVENTS
    assert (np.hypot(*particles.momentum[:2, hard]) > 399).all()


def test_every_class_has_files() -> None:
    assert set(PREFIXES) == set(PROCESSES)
    assert [label for label, process in PROCESSES.items() if process.shaped] == ["QCD_boosted"]
