"""Settings of new particles, as Pythia understands them."""

from __future__ import annotations

import pytest

from anomaly_hep.simulate.generator import Generator
from anomaly_hep.simulate.resonances import GRAVITON, graviton, product, resonance

FAST = ("PartonLevel:ISR = off", "PartonLevel:FSR = off", "PartonLevel:MPI = off",
        "HadronLevel:all = off")  # fmt: skip


def test_widths_are_shares_of_the_mass() -> None:
    assert resonance(34, 2000, width=0.15, lowest=0.6) == (
        "34:m0 = 2000", "34:mWidth = 300", "34:mMin = 1200", "34:doForceWidth = on",
    )  # fmt: skip


def test_decays_have_their_shares() -> None:
    settings = product(9000001, "X0 void", "1 0 0", 100, {"1 -1": 0.25, "5 -5": 0.75})
    assert settings[0] == "9000001:all = X0 void 1 0 0 100 0.1 95 105 0."
    assert settings[2:] == (
        "9000001:addChannel = 1 0.25 101 1 -1", "9000001:addChannel = 1 0.75 101 5 -5",
    )  # fmt: skip


def test_pythia_takes_them() -> None:
    settings = [
        *graviton(1000, width=0.01), *product(9000001, "X0 void", "1 0 0", 100, {"1 -1": 1.0}),
        f"{GRAVITON}:oneChannel = 1 1.0 100 9000001 9000001", "Beams:eCM = 13000.",
        *FAST,
    ]  # fmt: skip
    particles = Generator(settings, 1).batch(5)
    decayed = particles.status == -22
    assert (particles.pid[decayed] == 9000001).sum() == 10
    made = particles.momentum[:, decayed & (particles.pid == GRAVITON)]
    squared = made[3] ** 2 - (made[:3] ** 2).sum(axis=0)
    assert squared**0.5 == pytest.approx(1000, rel=0.2)
