from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from anomaly_hep.errors import SearchError
from anomaly_hep.search.likelihood import fit, fit_smooth
from anomaly_hep.search.scan import gaussian_templates, measured_templates, scan, toys
from anomaly_hep.search.shape import Shape
from anomaly_hep.search.spectrum import Spectrum, logarithmic_edges
from tests.search.fake_search_run import RESONANCE

EDGES = logarithmic_edges(2600.0, 7000.0, 0.03)
ENERGY = 13000.0


def smooth_counts(events: float, edges: np.ndarray = EDGES) -> np.ndarray:
    """Expectations of a dijet function with known coefficients."""
    x = np.sqrt(edges[1:] * edges[:-1]) / ENERGY
    density = (1 - x) ** 8 * x ** -(5 + 0.1 * np.log(x)) * np.diff(edges)
    return events * density / density.sum()


def shape(parameters: int = 4, edges: np.ndarray = EDGES) -> Shape:
    return Shape(edges, ENERGY, parameters, np.ones(len(edges) - 1))


def test_the_function_itself_is_found_again() -> None:
    model = shape()
    found = fit_smooth(smooth_counts(1e6)[None], model)
    assert found.converged.all()
    assert model.coefficients(found.parameters[0])[1:] == pytest.approx([8, 5, 0.1], abs=0.02)
    assert found.expected[0] == pytest.approx(smooth_counts(1e6), rel=1e-4)


def test_a_fit_is_the_one_of_a_slow_minimiser() -> None:
    model = shape(3)
    template = gaussian_templates(np.array([RESONANCE]), 0.05, EDGES)[0]
    counts = toys(smooth_counts(3000) + 80 * template, 3, [1])
    alone = fit_smooth(counts, model)
    both = fit(counts, model, alone.parameters, template)
    for row, n in enumerate(counts):

        def loss(point: np.ndarray, n: np.ndarray = n) -> float:
            mu = np.exp(model.offset + model.basis @ point[:3]) + point[3] * template
            return float((mu - n * np.log(mu)).sum())

        begin = np.append(alone.parameters[row], 1.0)
        bounds = [(None, None)] * 3 + [(0, None)]
        slow = minimize(loss, begin, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15})
        slow = minimize(loss, slow.x, method="Nelder-Mead", bounds=bounds,
                        options={"xatol": 1e-9, "fatol": 1e-10, "maxiter": 4000})  # fmt: skip
        assert -slow.fun == pytest.approx(both.log_likelihood[row], abs=1e-4)
        assert slow.x[3] == pytest.approx(both.signal[row], abs=0.5)


def test_one_bin_is_the_counting_experiment() -> None:
    # the sideband fixes one free number: Z of a known background is sqrt(2((s+b)ln(1+s/b)-s))
    edges = logarithmic_edges(3000.0, 6000.0, 0.1)
    model = Shape(edges, ENERGY, 1, np.full(len(edges) - 1, 1.0))
    background = np.diff(edges) * 1e5  # so much that it is known
    template = np.zeros(len(background))
    template[3] = 1.0
    b, s = background[3], 2e4
    counts = background + s * template
    alone = fit_smooth(background[None], model)
    q0 = scan(counts[None], model, alone.parameters[0], template[None]).q0[0, 0]
    known = 2 * ((s + b) * np.log1p(s / b) - s)
    # the rest of the spectrum knows the background to 1 part in sqrt(its events)
    assert q0 == pytest.approx(known / (1 + b / (background.sum() - b)), rel=0.01)


def test_a_deficit_has_no_significance() -> None:
    template = gaussian_templates(np.array([RESONANCE]), 0.05, EDGES)
    counts = smooth_counts(1e5) - 300 * template[0]
    found = scan(counts[None], shape(), fit_smooth(counts[None], shape()).parameters[0], template)
    assert found.q0[0, 0] == 0
    assert found.signal[0, 0] == 0
    assert found.failed == 0


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.floats(1e-6, 1e6))
def test_weights_of_one_size_change_nothing(seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    masses = 2700 + 900 * rng.exponential(size=400)
    order = rng.permutation(len(masses))
    one = Spectrum.of(masses, np.ones(400), EDGES)
    other = Spectrum.of(masses[order], np.full(400, size), EDGES)
    assert other.counts == pytest.approx(one.counts)
    assert other.content == pytest.approx(size * one.content)
    q0 = []
    for spectrum in (one, other):
        model = Shape(EDGES, ENERGY, 4, spectrum.scale)
        template = gaussian_templates(np.array([RESONANCE]), 0.05, EDGES) * spectrum.scale
        alone = fit_smooth(spectrum.counts[None], model)
        q0.append(scan(spectrum.counts[None], model, alone.parameters[0], template).q0[0, 0])
    assert q0[0] == pytest.approx(q0[1], abs=1e-4)


def test_results_do_not_depend_on_which_spectra_stand_together() -> None:
    counts = toys(smooth_counts(2000), 600, [3])
    template = gaussian_templates(np.array([3200.0, 4000.0]), 0.05, EDGES)
    start = fit_smooth(counts[:1], shape()).parameters[0]
    order = np.random.default_rng(0).permutation(600)
    together = scan(counts, shape(), start, template)
    shuffled = scan(counts[order], shape(), start, template)
    assert shuffled.q0 == pytest.approx(together.q0[order], abs=1e-5)
    assert together.fits >= 600


def test_templates_have_the_width_and_place_asked_for() -> None:
    edges = logarithmic_edges(1000.0, 9000.0, 0.005)
    centres = np.sqrt(edges[1:] * edges[:-1])
    rng = np.random.default_rng(2)
    events = RESONANCE * rng.normal(1, 0.05, 20000)
    for share in (
        gaussian_templates(np.array([4000.0]), 0.05, edges)[0],
        measured_templates(np.array([4000.0]), events, np.ones(20000), edges)[0],
    ):
        assert share.sum() == pytest.approx(1)
        mean = share @ centres
        assert mean == pytest.approx(4000, rel=0.002)
        assert np.sqrt(share @ (centres - mean) ** 2) == pytest.approx(200, rel=0.03)


def test_a_negative_bin_is_refused() -> None:
    with pytest.raises(SearchError, match="have the sum -1") as caught:
        Spectrum.of(np.array([3000.0, 3100.0]), np.array([1.0, -1.0]), EDGES)
    assert "\n" not in str(caught.value)
    with pytest.raises(SearchError, match="sum 0"):
        Spectrum.of(np.array([3000.0, 3000.0]), np.array([1.0, -1.0]), EDGES)


def test_masses_beyond_the_energy_are_refused() -> None:
    with pytest.raises(SearchError, match="beyond energy=13,000 GeV"):
        shape(edges=logarithmic_edges(10000.0, 14000.0, 0.03))


def test_edges_lie_on_one_grid_and_cover_what_is_asked() -> None:
    edges = logarithmic_edges(2600.0, 7000.0, 0.025)
    assert edges[0] <= 2600 < edges[1]
    assert edges[-2] < 7000 <= edges[-1]
    assert edges[1:] / edges[:-1] == pytest.approx(1.025)
    inner = logarithmic_edges(3000.0, 5000.0, 0.025)
    assert np.abs(inner[:, None] / edges - 1).min(axis=1).max() < 1e-9
