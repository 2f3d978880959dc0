"""Histograms above cuts: counted event by event, ties parted, samples drawn again."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.evaluate.cuthistograms import Cells
from anomaly_hep.evaluate.massbins import BackgroundMasses
from anomaly_hep.evaluate.roc import ScoreDistribution


def cells_of(mass, scores, weights, cuts):
    background = BackgroundMasses.of(mass, weights, np.arange(len(mass)), "mass")
    sample = ScoreDistribution.of(scores, weights)
    return background, Cells.of(background, scores, sample, np.asarray(cuts))


def event_by_event(background, scores, weights, cut):
    """Return the weight in each bin that passes: the highest scores first, the last in part."""
    total, left = sum(map(int, weights)), Fraction(cut) * sum(map(int, weights))
    assert total > 0
    content = np.zeros(len(background.bins))
    for score in sorted(set(scores), reverse=True):
        rows = np.flatnonzero(scores == score)
        here = int(weights[rows].sum())
        share = min(Fraction(1), left / here)
        for row in rows:
            content[background.bin[row]] += float(share) * weights[row]
        left -= share * here
    return content


@given(st.integers(0, 10_000), st.sampled_from([2, 7, 10_000]), st.fractions(0, 1))
def test_they_are_those_of_event_by_event(seed, scores, cut):
    rng = np.random.default_rng(seed)
    values = rng.integers(scores, size=300).astype(np.float64)
    weights = rng.integers(1, 4, 300).astype(np.float64)
    background, cells = cells_of(rng.normal(size=300), values, weights, [float(cut)])
    expected = event_by_event(background, values, weights, cut)
    scale = weights[0] / background.weight[0]
    found = cells.at(np.array([float(cut)]))[0] * scale
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_effective_numbers_are_counts_without_weights():
    rng = np.random.default_rng(0)
    mass, scores = rng.normal(size=(2, 1000))
    background, cells = cells_of(mass, scores, np.ones(1000), [0.1, 0.5])
    assert cells.effective(np.array([0.1, 0.5, 1.0])) == pytest.approx([100, 500, 1000])
    assert cells.effective_by_bin() == pytest.approx(np.bincount(background.bin))


def test_negative_weights_subtract():
    rng = np.random.default_rng(0)
    mass, scores = rng.normal(size=(2, 1000))
    twice = np.r_[np.arange(1000), np.arange(200), np.arange(200)]
    weights = np.r_[np.ones(1200), -np.ones(200)]
    background, cells = cells_of(mass[twice], scores[twice], weights, [0.3])
    expected = np.bincount(
        background.bin[:1000][scores >= np.sort(scores)[-300]], minlength=len(background.bins)
    )
    scale = 1 / background.weight[0]
    np.testing.assert_allclose(cells.at(np.array([0.3]))[0] * scale, expected, atol=1e-6)
    assert cells.effective(np.ones(1))[0] == pytest.approx(1000**2 / 1400)


@pytest.mark.parametrize("weighted", [False, True])
def test_samples_drawn_again_fluctuate_like_samples(weighted):
    rng = np.random.default_rng(4)

    def sample():
        mass = rng.normal(size=1000)
        weights = rng.choice([0.5, 2.0], 1000) if weighted else np.ones(1000)
        return mass, mass + rng.normal(size=1000), weights

    def share_of_the_upper_half(mass, scores, weights):
        order = np.argsort(-scores)
        passed = order[np.cumsum(weights[order]) <= 0.1 * weights.sum()]
        return weights[passed][mass[passed] > 1.0].sum() / weights[passed].sum()

    truth = np.std([share_of_the_upper_half(*sample()) for _ in range(400)])
    mass, scores, weights = sample()
    background, cells = cells_of(mass, scores, weights, [0.1])
    _, after = cells.drawn(np.full((400, 1), 0.1), rng)
    upper = np.array(background.bins.edges[:-1]) > 1.0
    drawn = after[:, 0, upper].sum(axis=1) / after[:, 0].sum(axis=1)
    assert drawn.std() == pytest.approx(truth, rel=0.25)
