"""Thresholds for a trigger rate: closed forms, coverage, and refusals whose cures work."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.errors import ConfigError
from anomaly_hep.evaluate.roc import ScoreDistribution
from anomaly_hep.evaluate.triggerrate import FEWEST, TriggerThreshold, trigger_threshold

INPUT = 1e5  # Hz
SCORES = ScoreDistribution.of(np.random.default_rng(0).exponential(size=20_000))


def threshold(background: ScoreDistribution, rate_hz: float) -> TriggerThreshold:
    return trigger_threshold("s", background, rate_hz, INPUT)


@pytest.mark.parametrize("rejection", [2, 10, 100, 1000])
def test_the_threshold_on_an_exponential_is_the_logarithm_of_the_rejection(rejection: int) -> None:
    found = threshold(SCORES, INPUT / rejection)
    value, low, high = found.threshold
    assert low <= value <= high
    error = np.sqrt((rejection - 1) / 20_000)  # of the logarithm of a binomial share
    assert abs(value - np.log(rejection)) < 3 * error
    assert high - low == pytest.approx(2 * error, rel=0.5)


def test_the_rate_is_that_of_the_background_above_with_its_binomial_error() -> None:
    found = threshold(SCORES, 1000.0)
    assert found.above == pytest.approx(200)
    assert found.rate_hz.value == pytest.approx(1000)
    expected = 1000 / np.sqrt(200)
    assert found.rate_hz.high - found.rate_hz.low == pytest.approx(2 * expected, rel=0.1)


@pytest.mark.parametrize(("events", "share"), [(400, 0.05), (3000, 0.01), (3000, 0.3)])
def test_the_interval_of_the_threshold_holds_the_true_one_in_68_percent(
    events: int, share: float
) -> None:
    rng, inside, toys = np.random.default_rng(1), 0, 1500
    for _ in range(toys):
        found = threshold(ScoreDistribution.of(rng.exponential(size=events)), share * INPUT)
        inside += found.threshold.low <= -np.log(share) <= found.threshold.high
    assert inside / toys == pytest.approx(0.683, abs=0.05)


def test_half_the_toys_have_a_true_rate_above_the_wanted_one() -> None:
    rng = np.random.default_rng(2)
    rates = [
        np.exp(-threshold(ScoreDistribution.of(rng.exponential(size=1000)), 2000.0).threshold.value)
        for _ in range(1000)
    ]
    assert np.mean(rates) == pytest.approx(0.02, rel=0.05)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=40, max_size=80),
    st.floats(0.3, 0.99),
    st.floats(0.3, 0.99),
)
def test_a_lower_rate_never_has_a_lower_threshold(
    scores: list[float], one: float, other: float
) -> None:
    background = ScoreDistribution.of(np.array(scores))
    try:
        few, many = (threshold(background, part * INPUT) for part in sorted([one, other]))
    except ConfigError as error:
        if "have the highest score" not in str(error):
            raise
        return
    assert few.threshold.value >= many.threshold.value
    for found, share in zip((few, many), sorted([one, other]), strict=True):
        passed = (np.array(scores) > found.threshold.value).mean()
        assert passed <= share * (1 + 1e-9)
        assert passed * INPUT == pytest.approx(found.rate_hz.value)
        assert found.threshold.low <= found.threshold.value <= found.threshold.high


def test_weights_count_as_events_and_their_unevenness_widens_the_interval() -> None:
    rng = np.random.default_rng(3)
    scores, weights = rng.exponential(size=5000), rng.exponential(size=5000)
    equal = threshold(ScoreDistribution.of(scores, np.full(5000, 7.0)), 5000.0)
    assert equal == threshold(ScoreDistribution.of(scores), 5000.0)
    uneven = threshold(ScoreDistribution.of(scores, weights), 5000.0)
    kept = weights[scores > uneven.threshold.value].sum() / weights.sum()
    assert kept * INPUT == pytest.approx(uneven.rate_hz.value)
    assert uneven.above < 0.7 * equal.above
    wider = uneven.rate_hz.high - uneven.rate_hz.low
    assert wider > 1.2 * (equal.rate_hz.high - equal.rate_hz.low)


def test_too_few_events_above_are_refused_with_a_rate_that_can_be_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"0\.2 of 20,000 .* 10 are needed. Cure") as caught:
        threshold(SCORES, 1.0)
    said = str(caught.value)
    assert "\n" not in said
    numbers = re.search(r"Cure: rate_hz=([\d.]+).* about ([\d,]+) more", said)
    assert numbers is not None
    lowest = float(numbers[1])
    assert lowest == pytest.approx(FEWEST / 20_000 * INPUT, rel=0.01)
    assert threshold(SCORES, lowest).above >= FEWEST
    more = int(numbers[2].replace(",", ""))
    enough = ScoreDistribution.of(np.random.default_rng(0).exponential(size=20_000 + more))
    assert threshold(enough, 1.0).above >= FEWEST


def test_a_background_that_is_too_small_for_any_rate_is_refused_too() -> None:
    with pytest.raises(ConfigError, match="Cure: a test on about"):
        threshold(ScoreDistribution.of(np.arange(8.0)), 0.5 * INPUT)


@pytest.mark.parametrize("rate", [INPUT, 2 * INPUT])
def test_a_rate_that_every_event_may_have_is_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match=r"is not below input_rate_hz=100000, .* Cure: a lower"):
        threshold(SCORES, rate)


def test_events_that_tie_at_the_top_are_refused_with_the_rate_that_they_have() -> None:
    scores = np.minimum(np.random.default_rng(0).exponential(size=5000), 1.0)
    background = ScoreDistribution.of(scores)
    with pytest.raises(ConfigError, match="have the highest score, 1, and no threshold") as caught:
        threshold(background, 0.1 * INPUT)
    cure = re.search(r"Cure: rate_hz=([\d.]+)", str(caught.value))
    assert cure is not None
    lowest = float(cure[1])
    assert threshold(background, lowest).rate_hz.value == pytest.approx(lowest, rel=0.01)


def test_neighbouring_floats_are_parted() -> None:
    low = np.float64(1.0)
    high = np.nextafter(low, 2)
    background = ScoreDistribution.of(np.repeat([high, low], [20, 80]))
    found = threshold(background, 0.2 * INPUT)
    assert low <= found.threshold.value < high
    assert found.rate_hz.value == pytest.approx(0.2 * INPUT)
