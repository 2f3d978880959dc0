"""The dark shower against closed forms: conservation, spectrum, decay kinematics, isotropy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import kn
from scipy.stats import kstest

from anomaly_hep.errors import SimulationError
from anomaly_hep.simulate.thermal import (
    PRODUCTS,
    Dark,
    boosted,
    decay,
    isotropic,
    shower,
    thermal_momentum,
    two_body,
)

DARK = Dark(2.0, 2.0, 0.7, {11: 0.15, 13: 0.15, 211: 0.70})


def mass(momentum: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(momentum[3] ** 2 - (momentum[:3] ** 2).sum(axis=0), 0.0))


def moving(mass_: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    momentum = rng.normal(0, 300, (3, len(mass_)))
    return np.concatenate([momentum, [np.sqrt((momentum**2).sum(axis=0) + mass_**2)]])


# ---- the shower at rest


@given(st.floats(4.3, 3000), st.floats(0.5, 2.0), st.floats(0.3, 6.0), st.integers(0, 2**31))
def test_energy_and_momentum_are_conserved_exactly(
    total: float, meson: float, temperature: float, seed: int
) -> None:
    event, mesons = shower(np.array([total]), meson, temperature, np.random.default_rng(seed))
    assert len(event) >= 2
    assert mesons[3].sum() == pytest.approx(total, rel=1e-12)
    assert np.abs(mesons[:3].sum(axis=1)).max() < 1e-11 * total
    np.testing.assert_allclose(mass(mesons), meson, rtol=1e-6)


def test_events_of_a_batch_do_not_mix() -> None:
    total = np.array([125.0, 1000.0, 200.0, 400.0])
    event, mesons = shower(total, 2.0, 2.0, np.random.default_rng(1))
    assert (np.diff(event) >= 0).all()
    for i, wanted in enumerate(total):
        assert mesons[3, event == i].sum() == pytest.approx(wanted, rel=1e-12)
        assert np.abs(mesons[:3, event == i].sum(axis=1)).max() < 1e-10


@pytest.mark.parametrize(("meson", "temperature"), [(2.0, 2.0), (2.0, 0.5), (0.5, 3.0)])
def test_momenta_have_the_spectrum_of_maxwell_and_juettner(
    meson: float, temperature: float
) -> None:
    drawn = thermal_momentum(meson, temperature, (40_000,), np.random.default_rng(2))
    # the mean energy of p^2 exp(-E / T) by modified Bessel functions
    expected = 3 * temperature + meson * kn(1, meson / temperature) / kn(2, meson / temperature)
    energy = np.hypot(drawn, meson)
    assert energy.mean() == pytest.approx(expected, abs=4 * energy.std() / 200)

    def density(p: float) -> float:
        return p**2 * np.exp((meson - np.hypot(p, meson)) / temperature)

    grid = np.linspace(0, 30 * temperature + meson, 60)
    whole = quad(density, 0, 60 * temperature + 2 * meson)[0]
    below = [quad(density, 0, p)[0] / whole for p in grid]
    assert kstest(drawn[:4000], lambda p: np.interp(p, grid, below)).pvalue > 1e-3


def test_a_heavy_shower_keeps_the_spectrum_and_its_multiplicity() -> None:
    event, mesons = shower(np.full(40, 5000.0), 2.0, 2.0, np.random.default_rng(3))
    mean = 6 + 2 * kn(1, 1.0) / kn(2, 1.0)
    # half a meson too many on average, since the last one exceeds the energy
    assert len(event) / 40 == pytest.approx(5000 / mean + 0.5, rel=0.01)
    assert mesons[3].mean() == pytest.approx(mean, rel=0.01)
    assert mesons[3].std() == pytest.approx(
        np.hypot(thermal_momentum(2.0, 2.0, (100_000,), np.random.default_rng(4)), 2.0).std(),
        rel=0.03,
    )


def test_a_shower_without_room_for_two_mesons_is_refused() -> None:
    with pytest.raises(SimulationError, match="holds no two mesons of 2 GeV"):
        shower(np.array([100.0, 4.0]), 2.0, 2.0, np.random.default_rng(0))


def test_no_events_give_no_mesons() -> None:
    event, mesons = shower(np.zeros(0), 2.0, 2.0, np.random.default_rng(0))
    assert event.shape == (0,)
    assert mesons.shape == (4, 0)


# ---- decays


def test_a_boost_is_that_of_lorentz() -> None:
    parent, at_rest = np.array([[30.0], [0.0], [0.0], [50.0]]), np.array([[1.0], [2], [3], [9]])
    gamma, beta = 50 / 40, 30 / 50
    expected = [gamma * (1 + beta * 9), 2, 3, gamma * (9 + beta * 1)]
    np.testing.assert_allclose(boosted(at_rest, parent)[:, 0], expected)


@given(st.integers(0, 2**31))
def test_a_boost_keeps_masses_and_takes_rest_to_the_parent(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parent, other = moving(rng.uniform(1, 500, 20), rng), moving(rng.uniform(1, 5, 20), rng)
    after = boosted(other, parent)
    # a mass is the difference of squares that have the rounding of the energy
    assert (np.abs(mass(after) ** 2 - mass(other) ** 2) < 1e-12 * after[3] ** 2).all()
    rest = np.zeros((4, 20))
    rest[3] = mass(parent)
    np.testing.assert_allclose(boosted(rest, parent), parent, rtol=1e-10)


def test_two_body_decays_have_their_kinematics() -> None:
    rng = np.random.default_rng(5)
    parent = moving(np.full(4000, 2.0), rng)
    first, second = two_body(parent, 0.7, rng)
    np.testing.assert_allclose(first + second, parent, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(mass(first), 0.7, rtol=1e-3)
    # in the parent's rest frame: half the mass each, back to back, all directions alike
    back = np.concatenate([-parent[:3], parent[3:]])
    rest = boosted(first, back)
    np.testing.assert_allclose(rest[3], 1.0, rtol=1e-4)
    cosine = rest[2] / np.sqrt(1 - 0.49)
    assert kstest(cosine, "uniform", (-1, 2)).pvalue > 1e-3


def test_directions_are_isotropic() -> None:
    unit = isotropic(20_000, np.random.default_rng(6))
    np.testing.assert_allclose((unit**2).sum(axis=0), 1)
    # <u_i u_j> = delta_ij / 3, with standard errors of 0.002
    np.testing.assert_allclose(unit @ unit.T / 20_000, np.eye(3) / 3, atol=0.01)
    assert np.abs(unit.mean(axis=1)).max() < 0.017


def test_the_end_products_carry_the_scalar() -> None:
    rng = np.random.default_rng(7)
    scalars = moving(np.array([125.0, 400.0, 1000.0]), rng)
    made = decay(scalars, DARK, rng)
    for i in range(3):
        inside = made.event == i
        np.testing.assert_allclose(
            made.momentum[:, inside].sum(axis=1), scalars[:, i], rtol=1e-9, atol=1e-7
        )
        assert made.charge[inside].sum() == 0
        # each meson gives two photons, each photon a pair
        assert inside.sum() % 4 == 0
    for pid, (rest, charge) in PRODUCTS.items():
        these = made.pid == pid
        np.testing.assert_allclose(made.charge[these], charge)
        np.testing.assert_allclose(made.charge[made.pid == -pid], -charge)
        np.testing.assert_allclose(mass(made.momentum[:, these]), rest, atol=2e-3)


def test_branching_ratios_are_those_asked_for() -> None:
    rng = np.random.default_rng(8)
    made = decay(moving(np.full(60, 400.0), rng), DARK, rng)
    pairs = len(made.pid) // 2
    for pid, share in DARK.branching.items():
        found = (made.pid == pid).sum() / pairs
        assert found == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / pairs))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0.0}, "temperature above 0"),
        ({"meson_mass": 1.4}, "more than twice the photon's mass"),
        ({"branching": {15: 1.0}}, "cannot decay to pairs of 15"),
        ({"photon_mass": 0.2, "branching": {211: 1.0}}, "cannot decay to pairs of 211"),
        ({"branching": {11: 0.4, 13: 0.4}}, "sum to 0.8"),
        ({"branching": {11: 1.5, 13: -0.5}}, "make them sum to 1"),
    ],
)
def test_impossible_dark_sectors_are_refused(change: dict, message: str) -> None:
    values = {"temperature": 2.0, "meson_mass": 2.0, "photon_mass": 0.7, "branching": {211: 1.0}}
    with pytest.raises(SimulationError, match=message):
        Dark(**{**values, **change})
