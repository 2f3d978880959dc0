"""Intervals against closed forms, a slow reference, and how often they hold the truth."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom, norm

from anomaly_hep.evaluate.intervals import (
    TAIL,
    Interval,
    auc_interval,
    binomial,
    efficiency_interval,
    fpr_interval,
    mean_auc_interval,
    mean_fpr_interval,
    mean_interval,
)
from anomaly_hep.evaluate.roc import ScoreDistribution, auc, signal_efficiency_at_rejection

finite = st.lists(st.floats(-10, 10), min_size=1, max_size=40).map(np.array)


def delong_by_pairs(background: np.ndarray, signal: np.ndarray) -> float:
    """Variance of the AUC from the matrix of all pairs (DeLong et al., Biometrics 44, 1988)."""
    wins = (signal[:, None] > background) + 0.5 * (signal[:, None] == background)
    return wins.mean(1).var(ddof=1) / len(signal) + wins.mean(0).var(ddof=1) / len(background)


def test_an_interval_is_a_list_of_three_in_json():
    assert json.dumps({"auc": Interval(0.5, 0.25, 0.75)}) == '{"auc": [0.5, 0.25, 0.75]}'


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_binomial_is_clopper_pearson(counts):
    k, n = counts
    value, low, high = binomial(k, n)
    assert value == k / n
    # the bounds are the probabilities at which so many or so few are just TAIL probable
    if k > 0:
        assert binom.sf(k - 1, n, low) == pytest.approx(TAIL, rel=1e-5)
    else:
        assert low == 0.0
    if k < n:
        assert binom.cdf(k, n, high) == pytest.approx(TAIL, rel=1e-5)
    else:
        assert high == 1.0


@given(finite, finite)
def test_every_interval_holds_its_value_and_stays_in_bounds(background, signal):
    samples = ScoreDistribution.of(background), ScoreDistribution.of(signal)
    for interval in (auc_interval(*samples), efficiency_interval(*samples, 3)):
        if interval is not None:
            assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert auc_interval(*samples).value == auc(*samples)


@given(finite, finite)
def test_efficiency_interval_and_value_are_absent_together(background, signal):
    samples = ScoreDistribution.of(background), ScoreDistribution.of(signal)
    for rejection in (1, 5, 50):
        interval = efficiency_interval(*samples, rejection)
        value = signal_efficiency_at_rejection(*samples, rejection)
        assert (interval is None) == (value is None)
        assert interval is None or interval.value == value


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_auc_variance_is_delongs(seed):
    rng = np.random.default_rng(seed)
    background, signal = rng.normal(0, 1, 80).round(1), rng.normal(0.7, 1, 50).round(1)
    value, low, high = auc_interval(ScoreDistribution.of(background), ScoreDistribution.of(signal))
    width = np.sqrt(delong_by_pairs(background, signal)) / (value * (1 - value))
    assert np.log(high / (1 - high)) - np.log(value / (1 - value)) == pytest.approx(width)
    assert np.log(value / (1 - value)) - np.log(low / (1 - low)) == pytest.approx(width)


def test_separated_classes_have_an_interval_of_their_smaller_sample():
    value, low, high = auc_interval(
        ScoreDistribution.of(np.arange(100.0)), ScoreDistribution.of(np.arange(200.0, 220.0))
    )
    assert (value, high) == (1.0, 1.0)
    assert low == pytest.approx(TAIL ** (1 / 20))  # all of 20 with probability TAIL
    value, low, high = auc_interval(
        ScoreDistribution.of(np.arange(200.0, 220.0)), ScoreDistribution.of(np.arange(100.0))
    )
    assert (value, low) == (0.0, 0.0)
    assert high == pytest.approx(1 - TAIL ** (1 / 20))


def test_with_infinite_background_the_efficiency_is_binomial():
    # quantiles of a million: the cut is known to a thousandth of the signal's own fluctuation
    background = ScoreDistribution.of(norm.ppf((np.arange(1_000_000) + 0.5) / 1_000_000))
    signal = np.random.default_rng(5).normal(1.0, 1, 200)
    passing = int((signal > norm.isf(0.01)).sum())
    found = efficiency_interval(background, ScoreDistribution.of(signal), 100)
    np.testing.assert_allclose(found, binomial(passing, 200), atol=0.003)


def test_with_infinite_signal_the_efficiency_is_the_backgrounds_quantile():
    # signal efficiency is rate^(1/3) for exponentials; the rate of the k-th score is Beta
    background = np.random.default_rng(6).exponential(size=1500)
    grid = (np.arange(400_000) + 0.5) / 400_000
    found = efficiency_interval(
        ScoreDistribution.of(background), ScoreDistribution.of(-3 * np.log(grid)), 100
    )
    # true cut log(100); the 15 highest of 1500 events pass it on average
    ordered = np.sort(background)[::-1]
    counts = binom.ppf([TAIL, 1 - TAIL], 1500, 0.01).astype(int)
    expected = np.exp(-ordered[counts] / 3)
    # between the order statistics on either side
    assert np.exp(-ordered[counts - 1] / 3)[0] <= found.low <= expected[0] * 1.05
    assert np.exp(-ordered[counts - 1] / 3)[1] * 0.95 <= found.high <= expected[1]


def coverage(
    background_events: int, signal_events: int, rejection: int, *, weighted: bool
) -> float:
    """Share of pseudo-experiments whose interval holds the true efficiency rejection^(-1/3)."""
    rng = np.random.default_rng([background_events, signal_events, rejection])
    truth, held, experiments = rejection ** (-1 / 3), 0, 250
    for _ in range(experiments):
        background, signal = (
            rng.exponential(size=background_events),
            rng.exponential(size=signal_events),
        )
        if weighted:
            # drawn from exp(-x/2)/2 and weighted back to exp(-x): the tail has small weights
            background, weights = 2 * background, np.exp(-background)
        else:
            weights = np.ones(background_events)
        found = efficiency_interval(
            ScoreDistribution.of(background, weights), ScoreDistribution.of(3 * signal), rejection
        )
        held += found.low <= truth <= found.high
    return held / experiments


@pytest.mark.parametrize(
    ("background_events", "signal_events", "rejection"),
    [(300, 200, 100), (3000, 1000, 1000), (2000, 5000, 100)],
)
def test_efficiency_interval_covers_the_truth(background_events, signal_events, rejection):
    # 68.3 % is meant; discreteness makes it wider, 250 experiments know it to 3 %
    share = coverage(background_events, signal_events, rejection, weighted=False)
    assert 0.62 < share < 0.82


def test_weighted_efficiency_interval_covers_the_truth():
    assert 0.62 < coverage(1000, 300, 100, weighted=True) < 0.82


def test_a_binomial_alone_would_not_cover():
    # why the background's tail is counted in: 10 events set the cut, 2000 signals hide it
    rng, truth, held = np.random.default_rng(8), 100 ** (-1 / 3), 0
    for _ in range(300):
        samples = (
            ScoreDistribution.of(rng.exponential(size=1000)),
            ScoreDistribution.of(3 * rng.exponential(size=2000)),
        )
        passing = 2000 * signal_efficiency_at_rejection(*samples, 100)
        alone = binomial(passing, 2000)
        held += alone.low <= truth <= alone.high
    assert held / 300 < 0.45


@pytest.mark.parametrize("distance", [0.3, 1.5])
def test_auc_interval_covers_the_truth(distance):
    rng, truth, held = np.random.default_rng(9), norm.cdf(distance / np.sqrt(2)), 0
    for _ in range(500):
        samples = (
            ScoreDistribution.of(rng.normal(size=150)),
            ScoreDistribution.of(rng.normal(distance, 1, 80)),
        )
        found = auc_interval(*samples)
        held += found.low <= truth <= found.high
    assert 0.63 < held / 500 < 0.74


def test_weighted_auc_interval_covers_the_truth():
    # signal drawn flat in its quantile between 0 and 1, weighted by 2 q: a distribution of q^2
    rng, held = np.random.default_rng(10), 0
    truth = 2 / 3  # mean of a uniform background's distribution function under density 2 q
    for _ in range(500):
        signal = rng.uniform(size=120)
        found = auc_interval(
            ScoreDistribution.of(rng.uniform(size=200)), ScoreDistribution.of(signal, signal)
        )
        held += found.low <= truth <= found.high
    assert 0.63 < held / 500 < 0.74


def test_no_passing_signal_gives_the_upper_limit_of_none():
    background = ScoreDistribution.of(np.arange(100_000.0))
    found = efficiency_interval(background, ScoreDistribution.of(-np.arange(50.0)), 100)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(beta.ppf(1 - TAIL, 1, 50))


def three_signals(rng: np.random.Generator, background: int, signal: int) -> list[np.ndarray]:
    """Scores of a background and of three signals at 0.5, 1 and 2 standard deviations from it."""
    shifted = (rng.normal(shift, 1, signal) for shift in (0.5, 1.0, 2.0))
    return [rng.normal(size=background), *shifted]


def mean_auc_of(samples: list[np.ndarray]) -> float:
    background, *signals = map(ScoreDistribution.of, samples)
    return float(np.mean([auc(background, signal) for signal in signals]))


def test_the_mean_of_one_is_that_one():
    background, *signals = map(
        ScoreDistribution.of, three_signals(np.random.default_rng(1), 300, 60)
    )
    for signal in signals:
        assert mean_auc_interval(background, [signal]) == auc_interval(background, signal)
        found = mean_fpr_interval(background, [signal], 0.4)
        assert found == pytest.approx(fpr_interval(background, signal, 0.4))


def test_the_mean_of_a_signal_with_itself_knows_that_its_background_is_the_same():
    # two signals of the same scores: the signals' part halves, the background's part stays whole
    background, signal, _, _ = three_signals(np.random.default_rng(2), 200, 50)
    wins = (signal[:, None] > background).astype(float)
    variance = wins.mean(0).var(ddof=1) / 200 + wins.mean(1).var(ddof=1) / 50 / 2
    value, low, high = mean_auc_interval(
        ScoreDistribution.of(background), [ScoreDistribution.of(signal)] * 2
    )
    width = np.sqrt(variance) / (value * (1 - value))
    assert np.log(high / (1 - high)) - np.log(low / (1 - low)) == pytest.approx(2 * width)


def test_the_mean_areas_interval_is_the_bootstraps():
    rng = np.random.default_rng(3)
    samples = three_signals(rng, 150, 60)
    value, low, high = mean_auc_interval(*_split(samples))
    resampled = [mean_auc_of([rng.choice(s, len(s)) for s in samples]) for _ in range(3000)]
    assert value == pytest.approx(mean_auc_of(samples))
    assert (high - low) / 2 == pytest.approx(np.std(resampled), rel=0.05)
    # independent backgrounds would have made it narrower
    singles = [
        auc_interval(ScoreDistribution.of(samples[0]), ScoreDistribution.of(s)) for s in samples[1:]
    ]
    independent = np.sqrt(sum((s.high - s.low) ** 2 for s in singles)) / 3
    assert high - low > 1.1 * independent


def _split(samples: list[np.ndarray]) -> tuple[ScoreDistribution, list[ScoreDistribution]]:
    background, *signals = map(ScoreDistribution.of, samples)
    return background, signals


def test_a_background_rate_is_read_off_the_roc():
    # 40 % of 5 signals: two pass at 2.0, so of the background what is above 1.0 (right end) passes
    background, signal = np.array([-1.0, 0.0, 1.5, 2.5]), np.array([3.0, 2.0, 1.0, 0.5, -2.0])
    assert (
        fpr_interval(ScoreDistribution.of(background), ScoreDistribution.of(signal), 0.4).value
        == 0.5
    )
    fpr, tpr = _roc(background, signal)
    assert np.interp(0.4, tpr, fpr) == 0.5
    # where the ROC is sloped, between its vertices
    tied = np.array([3.0, 2.5, 2.5, 2.5, -2.0])
    fpr, tpr = _roc(background, tied)
    found = fpr_interval(ScoreDistribution.of(background), ScoreDistribution.of(tied), 0.4).value
    assert found == pytest.approx(np.interp(0.4, tpr, fpr))
    assert 0 < found < 0.25


def _roc(background: np.ndarray, signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices of the ROC by counting, from none to all."""
    cuts = np.r_[np.inf, np.unique(np.r_[background, signal])[::-1]]
    return (background >= cuts[:, None]).mean(1), (signal >= cuts[:, None]).mean(1)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_every_background_rate_is_that_of_interpolation(seed):
    rng = np.random.default_rng(seed)
    background, signal = rng.normal(0, 1, 40).round(1), rng.normal(0.7, 1, 23).round(1)
    fpr, tpr = _roc(background, signal)
    found = fpr_interval(ScoreDistribution.of(background), ScoreDistribution.of(signal), 0.4)
    assert found.value == pytest.approx(np.interp(0.4, tpr, fpr))
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_a_signal_above_all_background_lets_none_of_it_pass():
    background, signal = (
        ScoreDistribution.of(-np.arange(50.0)),
        ScoreDistribution.of(np.arange(1, 100_000.0)),
    )
    found = fpr_interval(background, signal, 0.4)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(beta.ppf(1 - TAIL, 1, 50))
    assert mean_fpr_interval(background, [signal, signal], 0.4).value == 0.0


def test_two_signal_events_set_no_cut():
    background, signal = (
        ScoreDistribution.of(np.arange(50.0)),
        ScoreDistribution.of(np.array([10.0, 20.0])),
    )
    assert fpr_interval(background, signal, 0.4) is None
    assert mean_fpr_interval(background, [background, signal], 0.4) is None


@pytest.mark.parametrize(("background", "signal"), [(300, 40), (1000, 2000), (3000, 43)])
def test_background_rate_interval_covers_the_truth(background, signal):
    rng, held = np.random.default_rng([background, signal]), 0
    truth = norm.sf(1.0 + norm.isf(0.4))
    for _ in range(300):
        samples = rng.normal(size=background), rng.normal(1.0, 1, signal)
        found = fpr_interval(*map(ScoreDistribution.of, samples), 0.4)
        held += found.low <= truth <= found.high
    assert 0.62 < held / 300 < 0.82


@pytest.mark.parametrize(("background", "signal"), [(300, 40), (100, 1000), (2000, 43)])
def test_mean_background_rate_interval_covers_the_truth(background, signal):
    rng, held = np.random.default_rng([background, signal]), 0
    truth = norm.sf(np.array([0.5, 1.0, 2.0]) + norm.isf(0.4)).mean()
    for _ in range(300):
        found = mean_fpr_interval(*_split(three_signals(rng, background, signal)), 0.4)
        held += found.low <= truth <= found.high
    assert 0.62 < held / 300 < 0.80


def test_mean_area_interval_covers_the_truth():
    rng, held = np.random.default_rng(11), 0
    truth = norm.cdf(np.array([0.5, 1.0, 2.0]) / np.sqrt(2)).mean()
    for _ in range(500):
        found = mean_auc_interval(*_split(three_signals(rng, 100, 40)))
        held += found.low <= truth <= found.high
    assert 0.63 < held / 500 < 0.74


def test_mean_and_deviation_by_hand():
    (value, low, high), deviation = mean_interval(np.array([1.0, 2.0, 3.0, 6.0]), np.full(4, 0.5))
    assert value == 3.0
    assert deviation == pytest.approx(np.std([1, 2, 3, 6], ddof=1))
    assert (high - value, value - low) == pytest.approx((deviation / 2, deviation / 2))
    assert mean_interval(np.array([1.0]), np.array([2.0])) is None


@given(st.integers(20, 400), st.integers(2, 200), st.floats(3, 300), st.booleans())
def test_one_event_of_any_weight_leaves_an_interval(background, signal, power, in_signal):
    rng = np.random.default_rng(background)
    weights = [np.ones(background), np.ones(signal)]
    weights[in_signal][0] = 10.0**power
    values = rng.normal(size=background), rng.normal(1, 1, signal)
    samples = [ScoreDistribution.of(v, w) for v, w in zip(values, weights, strict=True)]
    for found in (
        auc_interval(*samples),
        efficiency_interval(*samples, 100),
        efficiency_interval(*samples, 10),
        fpr_interval(*samples, 0.4),
    ):
        assert found is None or 0 <= found.low <= found.value <= found.high <= 1
