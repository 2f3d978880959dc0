"""Mass sculpting: closed forms, references event by event, what chance gives, and intervals."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from anomaly_hep.evaluate.massbins import BackgroundMasses
from anomaly_hep.evaluate.roc import ScoreDistribution
from anomaly_hep.evaluate.sculpting import (
    Cut,
    Sculpting,
    jensen_shannon,
    relative_entropy,
    sculpted_by,
    sculpting_of,
)


def masses(mass, weights=None):
    weights = np.ones(len(mass)) if weights is None else weights
    return BackgroundMasses.of(mass, weights, np.arange(len(mass)), "mass")


def at(mass, scores, efficiency, weights=None):
    (found,) = sculpted_by(masses(mass, weights), scores, [Cut(efficiency)])
    return found


@pytest.fixture(scope="module")
def background():
    return np.random.default_rng(0).exponential(100, 5000)


@pytest.mark.parametrize("rejection", [2, 5, 10, 50])
def test_a_cut_on_the_mass_itself_has_the_logarithm_of_its_rejection(background, rejection):
    found = at(background, background, 1 / rejection)
    assert found.relative_entropy.value == pytest.approx(np.log(rejection), rel=1e-9)
    assert found.floor.high < found.relative_entropy.low


def test_no_cut_sculpts_nothing(background):
    found = at(background, background, 1.0)
    assert all(interval == (0, 0, 0) for interval in vars(found).values())


def test_the_value_is_that_of_the_histograms(background):
    scores = background + 50 * np.random.default_rng(1).normal(size=5000)
    found = at(background, scores, 0.1)
    passed = np.argsort(-scores)[:500]
    edges = np.quantile(background, np.arange(51) / 50)
    after, before = (np.histogram(m, edges)[0] for m in (background[passed], background))
    q, p = after / after.sum(), before / before.sum()
    assert found.relative_entropy.value == pytest.approx(entropy(q, p), rel=0.02)
    middle = (p + q) / 2
    divergence = (entropy(p, middle) + entropy(q, middle)) / 2
    assert found.jensen_shannon.value == pytest.approx(divergence, rel=0.02)


def test_the_direction_is_after_against_before():
    after, before = np.array([0.0, 1.0]), np.array([0.5, 0.5])
    assert relative_entropy(after, before) == pytest.approx(np.log(2))
    assert relative_entropy(before, after) == np.inf
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(np.log(2))


def test_the_floor_is_what_random_cuts_give(background):
    rng = np.random.default_rng(2)
    found = at(background, background, 0.05)
    bins = masses(background).bin
    values = []
    for _ in range(1000):
        passed = rng.choice(5000, 250, replace=False)
        share = np.bincount(bins[passed], minlength=50) / 250
        values.append(entropy(share, np.full(50, 1 / 50)))
    expected = [np.mean(values), *np.quantile(values, [0.1587, 0.8413])]
    assert found.floor.value == pytest.approx(expected[0], rel=0.04)
    assert found.floor == pytest.approx(expected, rel=0.12)
    # chi^2 of 49 degrees of freedom over twice the events, of which 5 % are not left to chance
    assert found.floor.value == pytest.approx(49 / (2 * 250) * 0.95, rel=0.1)


def test_an_independent_score_is_at_the_floor():
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(60):
        mass, scores = rng.normal(size=(2, 1500))
        found = at(mass, scores, 0.1)
        inside += found.floor.low <= found.relative_entropy.value <= found.floor.high
    assert 32 <= inside <= 50  # 41 are expected, with a standard deviation of 3.6


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_intervals_hold_the_mean_of_repeated_samples(strength):
    rng = np.random.default_rng(4)
    found = []
    for _ in range(80):
        mass = rng.normal(size=2000)
        scores = strength * mass + rng.normal(size=2000)
        found.append(at(mass, scores, 0.1).relative_entropy)
    value, low, high = np.array(found).T
    assert 0.52 <= ((low <= value.mean()) & (value.mean() <= high)).mean() <= 0.84


def test_a_signal_sets_the_cut_and_its_few_events_widen_the_interval(background):
    scores = background + 50 * np.random.default_rng(1).normal(size=5000)
    signal = np.random.default_rng(2).normal(300, 60, 4000)
    few, many = (
        sculpting_of(masses(background), scores, {"a": ScoreDistribution.of(s)})
        for s in (signal[:40], signal)
    )
    share = (scores > np.median(signal)).mean()
    expected = at(background, scores, share).relative_entropy.value
    found = many.at_signal_efficiency["a"].relative_entropy
    assert found.value == pytest.approx(expected, rel=0.01)
    wide = few.at_signal_efficiency["a"].relative_entropy
    assert wide.high - wide.low > 1.5 * (found.high - found.low)


def test_too_few_events_have_no_value(background):
    signal = ScoreDistribution.of(np.full(10, 1e6))
    found = sculpting_of(masses(background), background, {"far": signal})
    assert [found.at_rejection[r] is None for r in (10, 100, 1000)] == [False, False, True]
    assert found.at_signal_efficiency["far"] is None
    exactly = at(background, background, 20 / 5000)
    assert exactly is not None
    assert at(background, background, 19 / 5000) is None


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.floats(1e-3, 1e3))
def test_what_does_not_matter_does_not(seed, factor):
    rng = np.random.default_rng(seed)
    mass, scores = rng.normal(size=(2, 600))
    weights = rng.uniform(0.5, 2.0, 600)
    found = at(mass, scores, 0.2, weights)
    # a power of two: no rounding moves an event to another side of an edge
    again = at(np.exp(mass), np.arctan(scores), 0.2, weights * 2.0 ** np.floor(np.log2(factor)))
    for one, other in zip(vars(found).values(), vars(again).values(), strict=True):
        assert one == pytest.approx(other, rel=1e-6, abs=1e-12)
        assert 0 <= one.low <= one.value <= one.high
    assert found.relative_entropy.value <= np.log(50)
    assert found.jensen_shannon.value <= np.log(2)


def test_pairs_of_opposite_weight_change_no_value(background):
    scores = background + 50 * np.random.default_rng(1).normal(size=5000)
    # in the lowest tenth of the scores, which the cut rejects, and spread over all masses
    pairs = np.argsort(scores)[:200]
    rows = np.r_[np.arange(5000), pairs, pairs]
    weights = np.r_[np.ones(5200), -np.ones(200)]
    found = at(background[rows], scores[rows], 0.1, weights)
    plain = at(background, scores, 0.1)
    assert found.relative_entropy.value == pytest.approx(plain.relative_entropy.value, rel=0.05)
    assert found.floor.value == pytest.approx(plain.floor.value, rel=0.1)


def test_negative_weights_leave_finite_numbers():
    rng = np.random.default_rng(8)
    mass, scores = rng.normal(size=(2, 4000))
    weights = np.where(rng.random(4000) < 0.2, -1.0, 1.0)
    found = sculpting_of(masses(mass, weights), scores, {"a": ScoreDistribution.of(scores[:500])})
    numbers = [
        n for s in (*found.at_rejection.values(), found.at_signal_efficiency["a"]) if s
        for interval in vars(s).values() for n in interval
    ]  # fmt: skip
    assert np.isfinite(numbers).all()


def test_a_constant_score_parts_all_events_alike(background):
    found = at(background, np.zeros(5000), 0.1)
    assert found.relative_entropy.value == pytest.approx(0, abs=1e-12)


def test_the_same_events_give_the_same_numbers_which_json_holds(background):
    scores = background + np.random.default_rng(1).normal(size=5000)
    far = ScoreDistribution.of(np.full(9, 1e6))
    signals = {"a": ScoreDistribution.of(scores[:300]), "far": far}
    first, second = (sculpting_of(masses(background), scores, signals) for _ in range(2))
    assert first == second
    assert Sculpting.from_json(json.loads(json.dumps(first.to_json()))) == first


def test_fifty_thousand_events_take_a_moment():
    rng = np.random.default_rng(0)
    mass, scores = rng.normal(size=(2, 50_000))
    background, signal = masses(mass), ScoreDistribution.of(rng.normal(size=3000))
    started = time.process_time()
    sculpting_of(background, scores, {"a": signal})
    assert time.process_time() - started < 2.0  # 0.14 s was measured
