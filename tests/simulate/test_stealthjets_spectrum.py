"""Which jets a wanted spectrum keeps: closed forms, and a toy of falling spectra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from anomaly_hep.simulate.stealthjets_spectrum import Spectrum, uniform

SPECTRUM = Spectrum(4.0, 400.0, 2000.0, (450.0, 900.0, 1800.0), (0.1, 0.4, 0.025))


def probability(pt: float, pt_hat: float) -> float:
    return float(SPECTRUM.probability(np.array([pt]), np.array([pt_hat]))[0])


def test_the_table_is_met_and_the_bias_undone() -> None:
    assert probability(900.0, 900.0) == pytest.approx(0.4)
    assert probability(900.0, 450.0) == pytest.approx(0.4 * 16)
    # half way in pT is half way in the logarithm
    assert probability(675.0, 675.0) == pytest.approx(0.2)


def test_beyond_the_table_nothing_is_kept() -> None:
    assert probability(449.0, 449.0) == 0
    assert probability(1801.0, 1801.0) == 0


@given(st.floats(100, 2500), st.floats(400, 2000), st.floats(0, 0.3), st.floats(-1, 1))
def test_no_jet_near_a_pt_has_a_higher_probability(
    pt: float, pt_hat: float, margin: float, where: float
) -> None:
    highest = SPECTRUM.highest(pt, pt_hat, margin)
    assert probability(pt * (1 + where * margin), pt_hat) <= highest * (1 + 1e-9)


@given(st.floats(-2000, 2000), st.floats(-2000, 2000))
def test_the_number_of_an_event_is_in_the_unit_interval(px: float, py: float) -> None:
    one = uniform(np.array([px]), np.array([py]))
    assert 0 <= one[0] < 1
    # the same alone and among others
    among = uniform(np.array([1.0, px, 3.0]), np.array([2.0, py, 4.0]))
    assert one[0] == among[1]


def test_the_numbers_of_events_are_uniform() -> None:
    angle = np.random.default_rng(1).uniform(-np.pi, np.pi, 4000)
    found = uniform(500 * np.cos(angle), 500 * np.sin(angle))
    assert kstest(found, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(found, angle)[0, 1]) < 0.06


def test_a_biased_sample_gets_the_wanted_spectrum_and_keeps_its_jets() -> None:
    """Scatterings fall as pT^-6; jets have 0.8 to 1.2 of that pT; wanted is a flat spectrum.

    What is kept at a jet's pT must be the scatterings that are there without bias.
    """
    rng = np.random.default_rng(2)
    number = 400_000

    def scatterings(power: float) -> np.ndarray:
        """Draw pT above 400 that falls as pT^-power."""
        drawn: np.ndarray = 400 * rng.uniform(size=number) ** (1 / (1 - power))
        return drawn

    hat = scatterings(6.0 - 3.0)  # biased by pT^3
    pt = hat * rng.uniform(0.8, 1.2, number)
    edges = np.linspace(500, 1000, 11)
    weighted, _ = np.histogram(pt, edges, weights=(pt / hat) ** 3)
    middle = (edges[1:] + edges[:-1]) / 2
    table = tuple(0.3 * weighted.min() / weighted)
    wanted = Spectrum(3.0, 400.0, np.inf, tuple(middle), table)
    angle = rng.uniform(-np.pi, np.pi, number)
    chosen = uniform(np.cos(angle), np.sin(angle)) < wanted.probability(pt, hat)
    inside = chosen & (pt > middle[0]) & (pt < middle[-1])
    assert kstest(pt[inside], "uniform", (middle[0], middle[-1] - middle[0])).statistic < 0.02
    natural = scatterings(6.0)
    near = natural * rng.uniform(0.8, 1.2, number)
    for low, high in ((550, 650), (750, 900)):
        ours = hat[chosen & (pt > low) & (pt < high)] / pt[chosen & (pt > low) & (pt < high)]
        theirs = natural[(near > low) & (near < high)] / near[(near > low) & (near < high)]
        assert ours.mean() == pytest.approx(theirs.mean(), abs=0.01)
