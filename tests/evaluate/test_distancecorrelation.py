"""Distance correlation: closed forms, all pairs of events, and what its interval holds."""

from __future__ import annotations

import numpy as np
import pytest

from anomaly_hep.evaluate.distancecorrelation import distance_correlation


def of_all_pairs(x, y, w):
    """Return the squared distance correlation of ranks, centred matrix by centred matrix."""
    w = w / w.sum()

    def centred(v):
        below = (w * (v[None, :] < v[:, None])).sum(axis=1)
        equal = (w * (v[None, :] == v[:, None])).sum(axis=1)
        rank = below + equal / 2
        far = np.abs(rank[:, None] - rank)
        rows = far @ w
        return far - rows[:, None] - rows + w @ rows

    a, b = centred(x), centred(y)
    pair = np.outer(w, w)
    return (pair * a * b).sum() / np.sqrt((pair * a * a).sum() * (pair * b * b).sum())


@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_that_of_all_pairs(weighted):
    rng = np.random.default_rng(3)
    x = rng.normal(size=600)
    y = x**2 + 0.5 * rng.normal(size=600)
    w = rng.uniform(0.1, 2.0, 600) if weighted else np.ones(600)
    found = distance_correlation(x, y, w)
    raw = of_all_pairs(x, y, w)
    # the mean distance of two uniform numbers is 1/3, their squared distance variance 2/45
    n = w.sum() ** 2 / (w**2).sum()
    chance = (1 - raw) / 9 / (n * 2 / 45)
    assert found.value == pytest.approx((raw - chance) ** 0.5, rel=5e-3)


def test_a_monotone_function_has_1_and_a_constant_0():
    x = np.random.default_rng(0).normal(size=1000)
    ones = np.ones(1000)
    assert distance_correlation(np.exp(x), x, ones) == pytest.approx((1, 1, 1))
    assert distance_correlation(-x, x, ones) == pytest.approx((1, 1, 1), abs=1e-4)
    assert distance_correlation(ones, x, ones) == (0, 0, 0)


def test_events_that_cancel_change_nothing():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 400))
    y += x
    both = distance_correlation(
        np.r_[x, x[:50], x[:50]], np.r_[y, y[:50], y[:50]], np.r_[np.ones(450), -np.ones(50)]
    )
    # the pairs still fluctuate, which the subtraction of chance counts
    assert both.value == pytest.approx(distance_correlation(x, y, np.ones(400)).value, abs=5e-3)


@pytest.mark.parametrize("strength", [0.0, 0.2, 1.0])
def test_the_interval_holds_the_mean_of_repeated_samples(strength):
    rng = np.random.default_rng(5)
    found = []
    for _ in range(60):
        x, y = rng.normal(size=(2, 500))
        found.append(distance_correlation(x, y + strength * x, np.ones(500)))
    value, low, high = np.array(found).T
    truth = np.sqrt((value**2).mean()) if strength else 0.0
    assert 0.52 <= ((low <= truth) & (truth <= high)).mean() <= (0.84 if strength else 1.0)
