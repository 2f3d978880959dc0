"""Differences of mean areas on the same events: the interval is that of a bootstrap of pairs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from anomaly_hep.evaluate.intervals import mean_auc_interval
from anomaly_hep.evaluate.paired import mean_auc_gain
from anomaly_hep.evaluate.roc import ScoreDistribution
from anomaly_hep.evaluate.roc import auc as area

SIZES = (300, 80, 40)


def _events(
    seed: int, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return two correlated scores of one background and two signals, and the rows of each."""
    rng = np.random.default_rng(seed)
    edges = np.cumsum((0, *SIZES))
    rows = [np.arange(a, b) for a, b in pairwise(edges)]
    truth = np.concatenate([rng.normal(size=n) + 1.2 * k for k, n in enumerate(SIZES)])
    reference = truth + 0.3 * rng.normal(size=len(truth))
    scores = truth + (0.3 - shift) * rng.normal(size=len(truth))
    return scores, reference, rng.uniform(0.5, 2.0, len(truth)), rows


def _mean_area(scores: np.ndarray, weights: np.ndarray, rows: list[np.ndarray]) -> float:
    tail = ScoreDistribution.of(scores[rows[0]], weights[rows[0]])
    return float(
        np.mean([area(tail, ScoreDistribution.of(scores[r], weights[r])) for r in rows[1:]])
    )


def test_the_gain_is_the_difference_and_its_interval_the_bootstraps() -> None:
    scores, reference, weights, rows = _events(1)
    gain = mean_auc_gain(scores, reference, weights, rows[0], rows[1:])
    expected = _mean_area(scores, weights, rows) - _mean_area(reference, weights, rows)
    assert gain.value == pytest.approx(expected, abs=1e-12)
    rng = np.random.default_rng(2)
    found = []
    for _ in range(1500):
        drawn = [rng.choice(r, len(r)) for r in rows]
        found.append(_mean_area(scores, weights, drawn) - _mean_area(reference, weights, drawn))
    assert (gain.high - gain.low) / 2 == pytest.approx(np.std(found), rel=0.1)


def test_shared_fluctuations_cancel() -> None:
    scores, reference, weights, rows = _events(3)
    gain = mean_auc_gain(scores, reference, weights, rows[0], rows[1:])
    samples = [ScoreDistribution.of(scores[r], weights[r]) for r in rows]
    single = mean_auc_interval(samples[0], samples[1:])
    assert gain.high - gain.low < 0.8 * (single.high - single.low)


def test_a_score_gains_nothing_on_itself_or_on_what_ranks_the_same() -> None:
    scores, _, weights, rows = _events(4)
    assert mean_auc_gain(scores, scores, weights, rows[0], rows[1:]) == (0.0, 0.0, 0.0)
    same = mean_auc_gain(np.exp(scores), scores, weights, rows[0], rows[1:])
    assert same == pytest.approx((0.0, 0.0, 0.0), abs=1e-12)


def test_the_interval_covers_in_68_percent() -> None:
    # scores of equal quality: the true gain is 0
    inside = 0
    for seed in range(400):
        gain = mean_auc_gain(*_events(seed)[:3], _events(seed)[3][0], _events(seed)[3][1:])
        inside += gain.low < 0 < gain.high
    assert inside / 400 == pytest.approx(0.683, abs=0.07)
