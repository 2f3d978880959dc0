"""Tail probabilities: against pyod, a slow count, and weights."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.models.fitted import ECOD

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from pyod.models import ecod as pyod_ecod

RNG = np.random.default_rng(0)
# the last component has many ties
BACKGROUND = np.column_stack([RNG.normal(size=(400, 2)), RNG.poisson(2.0, 400)])
EVENTS = np.column_stack([RNG.normal(size=(30, 2)) * 3, RNG.poisson(4.0, 30)])
ONES = np.ones(len(BACKGROUND))


@pytest.fixture(scope="module")
def score() -> ECOD:
    made = ECOD(embedding="event")
    made.fit(BACKGROUND, ONES)
    return made


def test_each_event_alone_has_the_score_of_pyod(score: ECOD) -> None:
    pyod = pyod_ecod.ECOD().fit(BACKGROUND)
    alone = [pyod.decision_function(event[None])[0] for event in EVENTS]
    np.testing.assert_allclose(score.score(EVENTS), alone, rtol=1e-12)


def test_a_batch_changes_the_score_of_pyod_a_little_and_ours_not_at_all(score: ECOD) -> None:
    pyod = pyod_ecod.ECOD().fit(BACKGROUND)
    events = np.vstack([EVENTS[:5], BACKGROUND[:15] + 0.01])
    together, alone = pyod.decision_function(events), score.score(events)
    assert np.abs(pyod.decision_function(events[:5]) - together[:5]).max() > 0.01
    np.testing.assert_array_equal(score.score(events[:5]), alone[:5])
    # the batch is a twentieth of the background
    assert np.median(np.abs(together - alone)) < 0.1
    assert np.corrcoef(together, alone)[0, 1] > 0.99


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 3)), min_size=2, max_size=30))
def test_it_is_a_count_of_the_events_beyond(background: list[tuple[int, int]]) -> None:
    # an event of weight w is w events
    values = np.array([[v] for v, _ in background], float)
    weights = np.array([w for _, w in background], float)
    if (weights > 0).sum() < 2:
        return
    made = ECOD(embedding="event")
    made.fit(values, weights)
    mean = weights.sum() / (weights > 0).sum()
    for event in np.arange(-4.0, 4.5, 0.5):
        left = sum(w for v, w in background if v <= event)
        right = sum(w for v, w in background if v >= event)
        expected = -np.log((min(left, right) + mean) / (weights.sum() + mean))
        assert made.score(np.array([[event]]))[0] == pytest.approx(expected, abs=1e-9)


def test_a_reloaded_fit_scores_the_same(score: ECOD) -> None:
    loaded = ECOD(embedding="event")
    loaded.load(score.state())
    np.testing.assert_array_equal(loaded.score(EVENTS), score.score(EVENTS))
    assert loaded.score(EVENTS[:0]).shape == (0,)
