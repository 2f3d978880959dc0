"""Pythia's processes: that they start, and make resonances of the challenge's masses and decays."""

from __future__ import annotations

import numpy as np
import pytest

from anomaly_hep.simulate.generator import Generator, Particles
from anomaly_hep.simulate.lhco_processes import (
    BACKGROUND_TRUTH,
    CLASSES,
    MULTIJETS,
    PREFIXES,
    Signal,
)

FAST = ("Beams:eCM = 13000.", "PartonLevel:ISR = off", "PartonLevel:FSR = off",
        "PartonLevel:MPI = off", "HadronLevel:all = off")  # fmt: skip
EVENTS = 40


def generated(signal: Signal) -> Particles:
    return Generator([*signal.settings, *FAST], 3).batch(EVENTS)


def masses(particles: Particles, code: int) -> np.ndarray:
    """Return the masses of all particles of this kind that decayed in the hard process."""
    chosen = (np.abs(particles.pid) == code) & (particles.status == -22)
    px, py, pz, energy = particles.momentum[:, chosen]
    found: np.ndarray = np.sqrt(energy**2 - px**2 - py**2 - pz**2)
    return found


def quarks(particles: Particles) -> np.ndarray:
    """Return the number of light quarks of each event's decays."""
    decayed = (particles.status == 23) & (np.abs(particles.pid) < 6)
    return np.bincount(particles.event[decayed], minlength=EVENTS)


@pytest.mark.parametrize(
    ("label", "parent", "heavy", "light", "products"),
    [
        ("two_prong", 3500, 500, 100, 4),
        ("three_prong", 3500, 500, 100, 6),
        ("BlackBox1", 3823, 732, 378, 4),
    ],
)
def test_two_particles_of_many_quarks(
    label: str, parent: float, heavy: float, light: float, products: int
) -> None:
    (signal,) = CLASSES[label].signals
    particles = generated(signal)
    assert np.median(masses(particles, 34)) == pytest.approx(parent, rel=0.01)
    for code, mass in ((9000001, heavy), (9000002, light)):
        found = masses(particles, code)
        assert len(found) == EVENTS
        assert np.median(found) == pytest.approx(mass, rel=0.002)
        assert np.abs(found / mass - 1).max() < 0.05
    assert (quarks(particles) == products).all()


def test_one_graviton_of_two_jets_and_of_three() -> None:
    dijet, trijet = CLASSES["BlackBox3"].signals
    two, three = generated(dijet), generated(trijet)
    for particles in (two, three):
        assert np.median(masses(particles, 5100039)) == pytest.approx(4200, rel=0.01)
        assert (quarks(particles) == 2).all()
    assert len(masses(two, 9000003)) == 0
    assert np.median(masses(three, 9000003)) == pytest.approx(2217, rel=0.002)
    gluons = (three.pid == 21) & (three.status == 23)
    assert (np.bincount(three.event[gluons], minlength=EVENTS) == 1).all()


def test_both_charges_of_the_parent_are_made() -> None:
    particles = generated(CLASSES["two_prong"].signals[0])
    assert set(particles.pid[particles.status == -22].tolist()) >= {34, -34}


def test_multijets_have_two_partons_above_the_bound() -> None:
    settings = [*MULTIJETS, "PhaseSpace:pTHatMin = 1100", *FAST]
    particles = Generator(settings, 3).batch(EVENTS)
    hard = np.abs(particles.status) == 23
    assert hard.sum() == 2 * EVENTS
    assert (np.hypot(*particles.momentum[:2, hard]) > 1099).all()


def test_truths_tell_signals_apart() -> None:
    for composition in CLASSES.values():
        truths = [BACKGROUND_TRUTH, *(signal.truth for signal in composition.signals)]
        assert truths == sorted(set(truths))
    assert set(PREFIXES) == set(CLASSES)
    dijet, trijet = CLASSES["BlackBox3"].signals
    assert (dijet.share, trijet.share) == (1200, 2000)
