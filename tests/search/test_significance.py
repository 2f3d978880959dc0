from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2, norm

from anomaly_hep.search.likelihood import fit_smooth
from anomaly_hep.search.scan import gaussian_templates, scan, toys
from anomaly_hep.search.significance import (
    ToyNull,
    in_deviations,
    local_p,
    standard_deviations,
)
from anomaly_hep.search.smooth import Groups, chosen_parameters
from anomaly_hep.search.spectrum import Spectrum
from tests.search.test_likelihood import EDGES, ENERGY, Shape, shape, smooth_counts


def test_p_values_of_known_q0() -> None:
    assert local_p(np.array([0.0, 4.0, 25.0])) == pytest.approx([0.5, 0.02275013, 2.8665157e-7])
    assert standard_deviations(norm.sf(3.0)) == pytest.approx(3)
    assert np.isfinite(standard_deviations(np.array([0.0, 1.0]))).all()


def test_toys_follow_the_asymptotic_formula_where_events_are_many() -> None:
    expected = smooth_counts(1e5)
    start = fit_smooth(expected[None], shape()).parameters[0]
    template = gaussian_templates(np.array([4000.0]), 0.05, EDGES)
    q0 = scan(toys(expected, 4000, [5]), shape(), start, template).q0[:, 0]
    for z in (0.5, 1.0, 2.0):
        nominal = norm.sf(z)
        error = np.sqrt(nominal * (1 - nominal) / 4000)
        assert abs((q0 > z**2).mean() - nominal) < 3.5 * error
    assert (q0 == 0).mean() == pytest.approx(0.5, abs=0.03)


def test_toys_of_a_scan_exceed_no_more_than_gross_and_vitells_allow() -> None:
    expected = smooth_counts(2e4)
    start = fit_smooth(expected[None], shape()).parameters[0]
    masses = np.sqrt(EDGES[1:] * EDGES[:-1])[4:-6]
    found = scan(toys(expected, 3000, [6]), shape(), start, gaussian_templates(masses, 0.05, EDGES))
    null = ToyNull.of(found.q0)
    for level in (4.0, 6.0, 9.0):
        share = null.interval(level)
        # an upper bound, close where it is small
        assert share.low < float(null.bound(level)) * 1.15
        assert float(null.bound(level)) < 1.5 * share.high
        assert float(null.p(level)) == share.value
    far = float(null.p(60.0))
    assert 0 < far < 1e-10
    assert null.interval(60.0).value == 0


def test_global_false_positives_are_nominal() -> None:
    expected = smooth_counts(500)
    start = fit_smooth(expected[None], shape(3)).parameters[0]
    templates = gaussian_templates(np.array([3000.0, 3300.0, 3600.0]), 0.05, EDGES)
    thrown, tried = (
        scan(toys(expected, 3000, [seed]), shape(3), start, templates).q0 for seed in (7, 8)
    )
    for one, other in ((thrown, tried), (thrown[:, [1]], tried[:, [1]])):
        z = standard_deviations(ToyNull.of(one).p(other.max(axis=1)))
        # both samples of toys fluctuate
        assert abs((z > 2).mean() - 0.02275) < 3.5 * np.sqrt(2 * 0.02275 / 3000)


def test_p_values_fall_with_the_excess() -> None:
    null = ToyNull.of(np.random.default_rng(0).chisquare(1, (2000, 5)))
    p = null.p(np.linspace(0, 200, 500))
    assert (np.diff(p) <= 0).all()
    assert p[0] == 1


def test_deviations_without_a_toy_beyond_have_no_upper_end() -> None:
    null = ToyNull(np.arange(1000.0), 1.0)
    value, low, high = in_deviations(null.interval(2000.0), float(null.p(2000.0)))
    assert high is None
    assert 2.8 < low < 3.0 < value
    value, low, high = in_deviations(null.interval(900.0), 0.1)
    assert high is not None
    assert value == pytest.approx(1.2816, abs=1e-3)
    assert low < value < high


def test_chi2_of_grouped_bins_is_distributed_as_it_should() -> None:
    expected = smooth_counts(3000)
    start = fit_smooth(expected[None], shape()).parameters[0]
    counts = toys(expected, 1500, [9])
    fits = scan(counts, shape(), start, np.zeros((0, len(expected)))).smooth
    groups = Groups.of(expected)
    sums = np.add.reduceat(expected, groups.first)
    assert (sums >= 5).all()
    assert sums.sum() == pytest.approx(expected.sum())
    assert groups.first[0] == 0
    p = chi2.sf(groups.chi2(counts, fits.expected), groups.degrees(4))
    assert np.quantile(p, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.06)


def test_a_chi2_needs_no_group_to_be_computed() -> None:
    assert Groups.of(np.full(4, 0.1)).first.tolist() == [0]


@pytest.mark.parametrize(("bend", "least"), [(0.0, 3), (1.0, 4)])
def test_as_many_parameters_are_taken_as_the_spectrum_needs(bend: float, least: int) -> None:
    x = np.sqrt(EDGES[1:] * EDGES[:-1]) / ENERGY
    counts = (1 - x) ** 8 * x ** -(5 + bend * np.log(x)) * np.diff(EDGES)
    counts *= 3e5 / counts.sum()
    spectrum = Spectrum(EDGES, counts, counts)
    assert chosen_parameters(spectrum, Shape(EDGES, ENERGY, 3, np.ones(len(x)))) == least
