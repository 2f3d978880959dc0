"""Curves against closed forms, a double loop, scikit-learn, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from anomaly_hep.errors import ConfigError, NonFiniteError, ScoreTableError
from anomaly_hep.evaluate.roc import (
    ScoreDistribution,
    auc,
    signal_efficiency,
    signal_efficiency_at_rejection,
    size_for_rate,
    tail_events,
)

# few distinct values, so that ties within and between the classes are common
scores = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=30).map(np.array)
weights = st.integers(1, 5).map(float)


@st.composite
def weighted_scores(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    values = draw(scores)
    return values, np.array(draw(st.lists(weights, min_size=len(values), max_size=len(values))))


def auc_by_pairs(
    background: np.ndarray, background_weights: np.ndarray,
    signal: np.ndarray, signal_weights: np.ndarray,
) -> float:  # fmt: skip
    won = 0.0
    for b, wb in zip(background, background_weights, strict=True):
        for s, ws in zip(signal, signal_weights, strict=True):
            won += wb * ws * (1.0 if s > b else 0.5 if s == b else 0.0)
    return won / (background_weights.sum() * signal_weights.sum())


def efficiency_by_cuts(background: np.ndarray, signal: np.ndarray, rate: float) -> float:
    """Linear interpolation between the ROC points of every cut, the upper one on a vertical."""
    cuts = sorted({*background, *signal}, reverse=True)
    points = [(0.0, 0.0), *((np.mean(background >= c), np.mean(signal >= c)) for c in cuts)]
    below = max(i for i, point in enumerate(points) if point[0] <= rate)
    if points[below][0] == rate or below + 1 == len(points):
        return points[below][1]
    (x0, y0), (x1, y1) = points[below], points[below + 1]
    return y0 + (rate - x0) / (x1 - x0) * (y1 - y0)


@given(weighted_scores(), weighted_scores())
def test_auc_equals_counting_all_pairs(background, signal):
    expected = auc_by_pairs(*background, *signal)
    assert auc(ScoreDistribution.of(*background), ScoreDistribution.of(*signal)) == pytest.approx(
        expected, abs=1e-12
    )


@given(weighted_scores(), weighted_scores())
def test_auc_is_the_area_under_the_roc(background, signal):
    cuts = np.union1d(background[0], signal[0])[::-1]
    x, y = ([0.0, *(w[v >= cut].sum() / w.sum() for cut in cuts)] for v, w in (background, signal))
    area = np.trapezoid(y, x)
    assert auc(ScoreDistribution.of(*background), ScoreDistribution.of(*signal)) == pytest.approx(
        area, abs=1e-12
    )


@given(weighted_scores(), weighted_scores())
def test_swapping_the_classes_mirrors_the_auc(background, signal):
    samples = ScoreDistribution.of(*background), ScoreDistribution.of(*signal)
    assert auc(*samples) == pytest.approx(1 - auc(*samples[::-1]), abs=1e-12)


@given(weighted_scores(), weighted_scores(), st.sampled_from([np.exp, np.arctan, lambda x: 3 * x]))
def test_monotone_maps_of_the_score_change_nothing(background, signal, function):
    before = ScoreDistribution.of(*background), ScoreDistribution.of(*signal)
    after = tuple(ScoreDistribution.of(function(values), w) for values, w in (background, signal))
    assert auc(*after) == auc(*before)
    rates = np.linspace(0, 1, 17)
    np.testing.assert_array_equal(
        signal_efficiency(*after, rates), signal_efficiency(*before, rates)
    )


@given(weighted_scores(), weighted_scores(), st.sampled_from([0.1, 1 / 3, 7.0, 1e-9, 1e9]))
def test_the_scale_of_the_weights_is_irrelevant(background, signal, scale):
    rates = np.array([0.0, 0.1, 0.25, 0.5, 1.0])
    one = ScoreDistribution.of(*background), ScoreDistribution.of(*signal)
    other = tuple(ScoreDistribution.of(values, w * scale) for values, w in (background, signal))
    np.testing.assert_allclose(
        signal_efficiency(*other, rates), signal_efficiency(*one, rates), atol=1e-6
    )


@given(weighted_scores(), weighted_scores())
def test_a_weight_counts_as_repeated_events(background, signal):
    weighted = ScoreDistribution.of(*background), ScoreDistribution.of(*signal)
    repeated = tuple(
        ScoreDistribution.of(np.repeat(v, w.astype(int))) for v, w in (background, signal)
    )
    assert auc(*weighted) == pytest.approx(auc(*repeated), abs=1e-12)
    rates = np.linspace(0, 1, 11)
    np.testing.assert_allclose(
        signal_efficiency(*weighted, rates), signal_efficiency(*repeated, rates), atol=1e-9
    )


@given(scores, scores, st.integers(0, 60))
def test_efficiency_equals_interpolating_all_cuts(background, signal, part):
    rate = part / 60
    found = signal_efficiency(
        ScoreDistribution.of(background), ScoreDistribution.of(signal), np.array([rate])
    )[0]
    assert found == pytest.approx(efficiency_by_cuts(background, signal, rate), abs=1e-9)


def test_efficiency_by_hand_with_a_tie_across_the_classes():
    # cut > 2: nothing; cut >= 2: half the background, both signals at 2 -> straight line between
    background, signal = (
        ScoreDistribution.of(np.array([2.0, 1.0])),
        ScoreDistribution.of(np.array([2.0, 2.0, 0.0, 0.0])),
    )
    rates = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    found = signal_efficiency(background, signal, rates)
    np.testing.assert_allclose(found, [0.0, 0.25, 0.5, 0.5, 1.0])


@pytest.mark.parametrize("weighted", [False, True])
def test_scikit_learn_agrees(weighted):
    rng = np.random.default_rng(3)
    background, signal = rng.normal(0, 1, 4000).round(2), rng.normal(1, 1, 700).round(2)
    w_b, w_s = rng.uniform(0.1, 2, 4000), rng.uniform(0.1, 2, 700)
    if not weighted:
        w_b, w_s = np.ones(4000), np.ones(700)
    truth = np.r_[np.zeros(4000), np.ones(700)]
    both, w = np.r_[background, signal], np.r_[w_b, w_s]
    samples = ScoreDistribution.of(background, w_b), ScoreDistribution.of(signal, w_s)
    expected = roc_auc_score(truth, both, sample_weight=w)
    assert auc(*samples) == pytest.approx(expected, abs=1e-12)
    fpr, tpr, _ = roc_curve(truth, both, sample_weight=w, drop_intermediate=False)
    # away from vertices, where on which end of a vertical one lands is a matter of rounding
    rates = np.array([0.0033, 0.01234, 0.1007, 0.5031])
    found = signal_efficiency(*samples, rates)
    np.testing.assert_allclose(found, np.interp(rates, fpr, tpr), atol=1e-12)


@pytest.mark.parametrize("distance", [0.0, 0.5, 2.0])
def test_auc_of_two_gaussians(distance):
    # quantiles instead of random numbers: the sample is as exact as its size allows
    grid = (np.arange(20_000) + 0.5) / 20_000
    samples = ScoreDistribution.of(norm.ppf(grid)), ScoreDistribution.of(norm.ppf(grid) + distance)
    assert auc(*samples) == pytest.approx(norm.cdf(distance / np.sqrt(2)), abs=1e-6)


@pytest.mark.parametrize("rejection", [10, 100, 1000])
def test_efficiency_of_two_exponentials(rejection):
    # background exp(-x), signal exp(-x/3): the ROC is efficiency = rate^(1/3)
    grid = (np.arange(100_000) + 0.5) / 100_000
    samples = ScoreDistribution.of(-np.log(grid)), ScoreDistribution.of(-3 * np.log(grid))
    found = signal_efficiency_at_rejection(*samples, rejection)
    assert found == pytest.approx(rejection ** (-1 / 3), rel=2e-3)


def test_one_event_in_the_tail_is_the_least():
    signal = ScoreDistribution.of(np.arange(10.0))
    background = ScoreDistribution.of(np.arange(100.0))
    assert tail_events(background, 100) == pytest.approx(1.0)
    assert signal_efficiency_at_rejection(background, signal, 100) == 0.0
    fewer = ScoreDistribution.of(np.arange(99.0))
    assert signal_efficiency_at_rejection(fewer, signal, 100) is None


def test_heavy_weights_in_the_tail_make_the_background_smaller():
    scores = np.arange(1000.0)
    assert size_for_rate(ScoreDistribution.of(scores), 100) == pytest.approx(1000)
    heavy_tail = ScoreDistribution.of(scores, np.where(scores >= 990, 50.0, 1.0))
    light_tail = ScoreDistribution.of(scores, np.where(scores >= 500, 0.1, 1.0))
    assert size_for_rate(heavy_tail, 100) < 100
    assert size_for_rate(light_tail, 100) > 1000


def test_size_for_rate_predicts_how_weighted_rates_fluctuate():
    rng = np.random.default_rng(11)
    found, sizes = [], []
    for _ in range(600):
        values = rng.exponential(size=2000)
        sample = ScoreDistribution.of(
            values, np.exp(-0.3 * values)
        )  # density exp(-1.3 x) by weight
        found.append(sample.above(np.array([np.log(20) / 1.3]))[0])  # rate 1/20
        sizes.append(size_for_rate(sample, 20))
    expected = 0.05 * 0.95 / np.mean(sizes)
    assert np.mean(found) == pytest.approx(0.05, rel=0.02)
    assert np.var(found) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_scores_are_refused_with_number_and_place(bad):
    values = np.arange(10.0)
    values[[3, 7]] = bad
    with pytest.raises(NonFiniteError, match=r"score_kl: 2 of 10 .*rows 3, 7\)"):
        ScoreDistribution.of(values, name="score_kl")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_weights_are_refused(bad):
    with pytest.raises(ScoreTableError, match=r"1 of 3 weights .*row 1"):
        ScoreDistribution.of(np.arange(3.0), np.array([1.0, bad, 1.0]))


@pytest.mark.parametrize("weights", [[-1.0, -1.0], [1.0, -1.0], [0.0, 0.0]])
def test_weights_without_a_positive_sum_are_refused(weights):
    with pytest.raises(ScoreTableError, match="no positive sum"):
        ScoreDistribution.of(np.arange(2.0), np.array(weights))


def test_negative_weights_subtract_and_no_curve_falls():
    scores, weights = np.array([4.0, 3.0, 2.0, 1.0]), np.array([2.0, -1.0, 2.0, 1.0])
    sample = ScoreDistribution.of(scores, weights)
    # shares from the top: 2/4, then 1/4, which stays 2/4, then 3/4, then 1
    assert sample.cumulative == pytest.approx([0, 0.5, 0.5, 0.75, 1])
    assert sample.shares.sum() == pytest.approx(1)
    assert sample.effective_events == pytest.approx(4**2 / (4 + 1 + 4 + 1))
    other = ScoreDistribution.of(np.array([3.5, 0.5]))
    assert auc(sample, other) == pytest.approx(0.5 * 0.5 + 0.5 * 0)
    assert signal_efficiency(sample, other, np.array([0.5]))[0] == pytest.approx(0.5)


def test_a_class_needs_an_event_that_counts():
    with pytest.raises(ScoreTableError, match="no event"):
        ScoreDistribution.of(np.zeros(0))
    with pytest.raises(ScoreTableError, match="no event"):
        ScoreDistribution.of(np.ones(3), np.zeros(3))


def test_events_of_weight_zero_do_not_count():
    values, some = np.array([5.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.0])
    one, other = ScoreDistribution.of(values, some), ScoreDistribution.of(values[1:])
    np.testing.assert_array_equal(one.cumulative, other.cumulative)
    assert one.effective_events == other.effective_events == 2


def test_a_rejection_below_one_is_refused():
    with pytest.raises(ConfigError, match="at least 1"):
        signal_efficiency_at_rejection(
            ScoreDistribution.of(np.ones(3)), ScoreDistribution.of(np.ones(3)), 0.5
        )
