"""The mean efficiency of signals at one cut: closed forms, and how often it holds the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from anomaly_hep.evaluate.intervals import efficiency_interval, mean_efficiency_interval
from anomaly_hep.evaluate.roc import ScoreDistribution

MEANS = (0.5, 1.0, 2.0)


def _samples(
    rng: np.random.Generator, background: int, signal: int
) -> tuple[ScoreDistribution, list[ScoreDistribution]]:
    """A background, and three signals that lie ever further above it."""
    return ScoreDistribution.of(rng.normal(size=background)), [
        ScoreDistribution.of(rng.normal(mean, 1, signal)) for mean in MEANS
    ]


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.sampled_from([1, 1.5, 3, 10, 40, 80]))
def test_of_one_signal_it_is_the_signals_own_interval(
    seed: int, events: int, rejection: float
) -> None:
    rng = np.random.default_rng(seed)
    background, signal = rng.normal(0, 1, 60).round(1), rng.normal(0.7, 1, events).round(1)
    samples = ScoreDistribution.of(background), ScoreDistribution.of(signal)
    own = efficiency_interval(*samples, rejection)
    mean = mean_efficiency_interval(samples[0], [samples[1]], rejection)
    assert (own is None) == (mean is None) == (rejection == 80)
    if own is not None:
        assert tuple(mean) == pytest.approx(tuple(own), abs=1e-9)


def test_the_value_is_the_mean_of_the_shares_above_the_cut() -> None:
    # of 40 background events 4 pass, those above 36
    background = ScoreDistribution.of(np.arange(1.0, 41.0))
    signals = [np.array([36.5, 40.5, 2.0, 3.0]), np.array([36.5, 1.0]), np.array([1.0] * 5)]
    found = mean_efficiency_interval(background, [ScoreDistribution.of(s) for s in signals], 10)
    assert found.value == pytest.approx((0.5 + 0.5 + 0.0) / 3)
    assert 0 <= found.low < found.value < found.high <= 1


def test_of_a_background_without_end_only_the_signals_fluctuate() -> None:
    # the variance of a mean of independent shares, each binomial
    rng = np.random.default_rng(1)
    background, signals = _samples(rng, 4_000_000, 4000)
    found = mean_efficiency_interval(background, signals, 10)
    shares = norm.sf(norm.isf(0.1) - np.array(MEANS))
    deviation = np.sqrt((shares * (1 - shares)).sum() / 4000) / 3
    assert (found.high - found.low) / 2 == pytest.approx(deviation, rel=0.03)
    assert found.value == pytest.approx(shares.mean(), abs=4 * deviation)


def test_the_cut_moves_all_signals_together() -> None:
    # of signals without end only the cut fluctuates: their mean is as uncertain as each of them
    rng = np.random.default_rng(2)
    background = ScoreDistribution.of(rng.normal(size=400))
    signal = ScoreDistribution.of(rng.normal(1.0, 1, 1_000_000))
    one = efficiency_interval(background, signal, 20)
    three = mean_efficiency_interval(background, [signal] * 3, 20)
    assert three.high - three.low == pytest.approx(one.high - one.low, rel=0.02)


@pytest.mark.parametrize(("background", "signal"), [(400, 60), (2000, 40), (200, 2000)])
def test_it_covers_the_truth(background: int, signal: int) -> None:
    rng, held = np.random.default_rng([background, signal]), 0
    truth = norm.sf(norm.isf(1 / 20) - np.array(MEANS)).mean()
    for _ in range(400):
        found = mean_efficiency_interval(*_samples(rng, background, signal), 20)
        held += found.low <= truth <= found.high
    # 0.683 with a deviation of 0.023
    assert 0.61 < held / 400 < 0.80


def test_without_signals_or_with_too_little_background_there_is_none() -> None:
    background, signals = _samples(np.random.default_rng(3), 50, 30)
    assert mean_efficiency_interval(background, [], 10) is None
    assert mean_efficiency_interval(background, signals, 51) is None
    assert mean_efficiency_interval(background, signals, 50) is not None


def test_signals_that_never_pass_have_an_upper_end() -> None:
    background = ScoreDistribution.of(np.arange(1000.0))
    never = [ScoreDistribution.of(-np.arange(1.0, 51.0))] * 2
    found = mean_efficiency_interval(background, never, 10)
    assert (found.value, found.low) == (0.0, 0.0)
    # Clopper-Pearson for none of 100
    assert found.high == pytest.approx(1 - norm.sf(1) ** (1 / 100), rel=1e-6)
