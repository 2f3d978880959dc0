"""The isolation forest: its own walk through the nodes, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest as Forest

from anomaly_hep.models.fitted import IsolationForest

RNG = np.random.default_rng(0)
BACKGROUND = RNG.normal(size=(900, 3))
EVENTS = RNG.normal(size=(50, 3)) * 3
ONES = np.ones(len(BACKGROUND))


@pytest.mark.parametrize("events", [900, 100, 2])
def test_the_walk_through_the_nodes_is_that_of_scikit_learn(events: int) -> None:
    score = IsolationForest(embedding="event", trees=30)
    score.fit(BACKGROUND[:events], ONES[:events])
    forest = Forest(n_estimators=30, max_samples=min(256, events), random_state=1)
    expected = -forest.fit(BACKGROUND[:events]).score_samples(EVENTS)
    np.testing.assert_allclose(score.score(EVENTS), expected, rtol=1e-9)


def test_equal_events_cannot_be_isolated() -> None:
    score = IsolationForest(embedding="event", trees=5)
    score.fit(np.zeros((50, 2)), np.ones(50))
    # eq. 2 with the mean path length as expected: 2^-1
    np.testing.assert_allclose(score.score(EVENTS[:, :2]), 0.5)


def test_events_without_weight_do_not_matter_and_others_by_their_weight() -> None:
    one, two = (IsolationForest(embedding="event", trees=20) for _ in range(2))
    one.fit(BACKGROUND, ONES)
    two.fit(np.concatenate([BACKGROUND, BACKGROUND + 50]), np.concatenate([ONES, 0 * ONES]))
    np.testing.assert_array_equal(one.score(EVENTS), two.score(EVENTS))
    two.fit(np.concatenate([BACKGROUND, BACKGROUND + 50]), np.concatenate([ONES, 1e-6 * ONES]))
    assert two.score(np.full((1, 3), 50.0)) > np.quantile(two.score(BACKGROUND), 0.99)
