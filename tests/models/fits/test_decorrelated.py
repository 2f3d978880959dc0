"""Decorrelated scores: the same share of background at every mass, by a table and by a flow."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_ndtr

from anomaly_hep.errors import ConfigError
from anomaly_hep.models.fits.decorrelated import Decorrelated
from anomaly_hep.models.fits.shares import ShareAbove
from anomaly_hep.models.fitted import MassFlow, MassQuantile

SLOPE, SCALE = 1 / 50, 100.0  # of the score with the mass, per GeV; of the mass, in GeV
LOWEST = 50.0  # GeV


def background(events: int, seed: int = 0) -> np.ndarray:
    """Exponential masses in GeV, and a score that grows with them and has normal noise."""
    rng = np.random.default_rng(seed)
    mass = LOWEST + rng.exponential(SCALE, events)
    return np.column_stack([mass * SLOPE + rng.normal(size=events), mass])


def exact(values: np.ndarray) -> np.ndarray:
    """Minus the logarithm of the true share of background above, at the same mass."""
    return -log_ndtr(-(values[:, 0] - SLOPE * values[:, 1]))


@cache
def table() -> MassQuantile:
    made = MassQuantile(score="s", mass="m")
    made.fit(background(60_000), np.ones(60_000))
    return made


@cache
def flow() -> MassFlow:
    made = MassFlow(score="s", mass="m", epochs=6, hidden=32)
    made.fit(background(30_000), np.ones(30_000))
    return made


KINDS = {"table": table, "flow": flow}


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_passes_the_same_share_of_background_at_every_mass(kind: str) -> None:
    values = background(100_000, seed=1)
    scores = KINDS[kind]().score(values)
    edges = np.quantile(values[:, 1], [0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 1])
    for rejection in (10, 100):
        for low, high in pairwise(edges):
            here = (values[:, 1] >= low) & (values[:, 1] <= high)
            passed = float((scores[here] > np.log(rejection)).mean())
            # background of the test, and of the fit's bins
            error = np.sqrt((1 / here.sum() + 1 / (0.6 * here.sum())) / rejection)
            assert abs(passed - 1 / rejection) < 4 * error + 0.15 / rejection, (rejection, low)
        # the score itself passes next to nothing of light jets, and nearly all heavy ones
        raw = values[:, 0] > np.quantile(values[:, 0], 1 - 1 / rejection)
        assert raw[values[:, 1] < edges[2]].mean() < 0.01 / rejection


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_share_of_background_of_that_mass_above(kind: str) -> None:
    values = background(20_000, seed=2)
    middle = values[(values[:, 1] > 55) & (values[:, 1] < 400)]
    here, truth = KINDS[kind]().score(middle), exact(middle)
    common = truth < np.log(100)
    assert np.abs(here - truth)[common].mean() < 0.08
    assert np.corrcoef(here[common], truth[common])[0, 1] > 0.99


@pytest.mark.parametrize("kind", KINDS)
@given(mass=st.floats(0, 2000), low=st.floats(-5, 60), step=st.floats(0.01, 5))
def test_it_grows_with_the_score_at_every_mass(
    kind: str, mass: float, low: float, step: float
) -> None:
    pair = np.array([[low, mass], [low + step, mass]])
    lower, higher = KINDS[kind]().score(pair)
    assert np.isfinite([lower, higher]).all()
    assert 0 <= lower <= higher


def test_beyond_all_background_no_two_events_tie() -> None:
    far = np.array([[score, 100.0] for score in (10, 20, 40, 1e3, 1e4)])
    assert (np.diff(table().score(far)) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_mass_outside_of_the_fit_counts_as_its_edge(kind: str) -> None:
    score = KINDS[kind]()
    low, high = score.ranges["m"]
    at = score.score(np.array([[3.0, low], [3.0, high]]))
    beyond = score.score(np.array([[3.0, low - 40], [3.0, 10 * high]]))
    np.testing.assert_array_equal(beyond, at)


@pytest.mark.parametrize("kind", KINDS)
def test_kept_as_arrays_it_is_the_same_score(kind: str) -> None:
    made = KINDS[kind]()
    state = {name: np.array(array) for name, array in made.state().items()}
    again = type(made)(score="s", mass="m", **({"hidden": 32} if kind == "flow" else {}))
    again.load(state)
    values = background(500, seed=3)
    np.testing.assert_array_equal(again.score(values), made.score(values))
    assert again.ranges == made.ranges
    assert again.notes() == made.notes()


def test_the_same_events_give_the_same_flow() -> None:
    values = background(2000)
    scores = []
    for _ in range(2):
        made = MassFlow(score="s", mass="m", epochs=2, hidden=8)
        made.fit(values, np.ones(2000))
        scores.append(made.score(values))
    np.testing.assert_array_equal(*scores)


def test_weights_are_numbers_of_events() -> None:
    values = background(4000)
    weights = np.random.default_rng(0).integers(0, 3, 4000).astype(float)
    weighted, repeated = (MassQuantile(score="s", mass="m") for _ in range(2))
    weighted.fit(values, weights)
    repeated.fit(np.repeat(values, weights.astype(int), axis=0), np.ones(int(weights.sum())))
    some = background(3000, seed=4)
    # the number of effective events, and with it that of the bins, differs
    difference = np.abs(weighted.score(some) - repeated.score(some))
    assert np.median(difference) < 0.1


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_neither_the_unit_of_the_score_nor_that_of_the_mass_matters(scale: float) -> None:
    values, some = background(3000), background(1000, seed=5)
    plain, scaled = (MassQuantile(score="s", mass="m") for _ in range(2))
    plain.fit(values, np.ones(3000))
    scaled.fit(values * [scale, 1000.0], np.ones(3000))
    np.testing.assert_allclose(
        scaled.score(some * [scale, 1000.0]), plain.score(some), rtol=1e-6, atol=1e-6
    )


def test_the_table_holds_the_scores_that_shares_of_background_exceed() -> None:
    shares, masses = np.array([0.5, 0.1, 0.01, 1e-3]), np.array([60.0, 100.0, 200.0])
    made = table().table(shares, masses)
    assert made.thresholds.shape == (3, 4)
    points = np.column_stack([made.thresholds.ravel(), np.repeat(masses, 4)])
    np.testing.assert_allclose(table().score(points), np.tile(-np.log(shares), 3), rtol=1e-9)
    # normal noise around the trend: its quantiles
    expected = SLOPE * masses[:, None] + np.array([0, 1.2816, 2.3263])
    np.testing.assert_allclose(made.thresholds[:, :3], expected, atol=0.25)
    assert len(table().table(shares).masses) == len(table().state()["mass_centres"])


def test_its_uncertainty_is_the_binomial_error_of_the_share() -> None:
    fits = []
    point = np.array([[SLOPE * 100 + 1.2816, 100.0]])  # a share of 10 %
    for seed in range(60):
        made = MassQuantile(score="s", mass="m")
        made.fit(background(4000, seed=seed), np.ones(4000))
        fits.append((made.score(point)[0], made.uncertainty(point)[0]))
    scores, said = np.array(fits).T
    # the trend is fitted on the same events, which takes a part of the fluctuations
    assert 0.4 < scores.std() / said.mean() < 1.6
    far = np.array([[SLOPE * 100 + 3.0, 100.0]])
    assert table().uncertainty(far)[0] > 3 * table().uncertainty(point)[0]


def test_the_events_behind_a_quantile_are_said() -> None:
    notes = table().notes()
    assert notes["decorrelated_from"] == "m"
    assert notes["background_events"] == pytest.approx(60_000)
    events = table().state()["events"]
    assert notes["events_behind"]["100"] == pytest.approx([events.min() / 100,
                                                           np.median(events) / 100])  # fmt: skip
    assert events.min() >= 50


@pytest.mark.parametrize("kind", [MassQuantile, MassFlow])
def test_what_has_no_mass_to_depend_on_is_refused_in_one_line(kind: type[Decorrelated]) -> None:
    values = background(1000)
    values[:, 1] = 80.4
    made = kind(score="s", mass="m")  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match=r"all 1,000 .* same m \(80.4 GeV\).*Cure") as caught:
        made.fit(values, np.ones(1000))
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"199 background events .* too few .* takes 200. Cure"):
        made.fit(background(199), np.ones(199))
    assert made.ranges == {}


def test_nearly_one_mass_is_refused_and_few_masses_are_not() -> None:
    values = background(1000)
    values[10:, 1] = 80.4
    made = MassQuantile(score="s", mass="m")
    with pytest.raises(ConfigError, match=r"nearly all of 1,000 .* no bins of it. Cure"):
        made.fit(values, np.ones(1000))
    values = background(3000)
    values[:, 1] = np.round(values[:, 1], -2)  # to 100 GeV
    made.fit(values, np.ones(3000))
    assert np.isfinite(made.score(values)).all()


def test_a_constant_score_stays_one() -> None:
    values = background(1000)
    values[:, 0] = 3.0
    made = MassQuantile(score="s", mass="m")
    made.fit(values, np.ones(1000))
    np.testing.assert_allclose(made.score(values), np.log(2), rtol=1e-6)


def test_a_score_without_a_trend_keeps_its_order() -> None:
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.exponential(size=20_000), background(20_000, seed=9)[:, 1]])
    made = MassQuantile(score="s", mass="m")
    made.fit(values, np.ones(20_000))
    found = made.score(values)
    # -log of the share above an exponential is the value itself
    common = values[:, 0] < np.log(50)
    assert np.abs(found - values[:, 0])[common].mean() < 0.07


@given(st.floats(1e-6, 0.999))
def test_less_background_lies_above_what_is_said_to_be_beyond(share: float) -> None:
    scores = np.random.default_rng(0).normal(size=100)
    known = ShareAbove.of(scores, np.ones(100))
    assert known.log(np.array([known.beyond(share)]))[0] < np.log(share)
