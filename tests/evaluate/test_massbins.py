"""Bins of the mass: equally full, the same for all scores, refused where they can show nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from anomaly_hep.errors import SculptingError
from anomaly_hep.evaluate.massbins import MOST_BINS, BackgroundMasses


def masses(values, weights=None, title="jet mass"):
    values = np.asarray(values, np.float64)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
    return BackgroundMasses.of(values, weights, np.arange(len(values)), title)


def test_bins_are_equally_full_and_as_their_edges_say():
    values = np.random.default_rng(0).exponential(50, 5000)
    found = masses(values)
    assert len(found.bins) == MOST_BINS
    assert set(np.bincount(found.bin)) == {100}
    expected = np.searchsorted(found.bins.edges, values, side="right") - 1
    np.testing.assert_array_equal(found.bin, np.minimum(expected, MOST_BINS - 1))
    assert (found.bins.events, found.bins.left_out) == (5000, 0)


def test_few_events_have_few_bins():
    assert len(masses(np.arange(200)).bins) == 10


def test_equal_masses_share_a_bin():
    values = np.repeat([0.0, 0.0, 0.0, 1.0, 2.0, 3.0], 100)
    found = masses(values)
    assert found.bins.edges == (0, 1, 2, 3, 3)
    assert found.bin.tolist() == [0] * 300 + [1] * 100 + [2] * 100 + [3] * 100


@given(st.integers(0, 1000), st.floats(0, 0.4))
def test_no_bin_is_empty_whatever_the_weights(seed, negative):
    rng = np.random.default_rng(seed)
    weights = np.where(rng.random(400) < negative, -1.0, 1.0) * rng.uniform(0.9, 1.1, 400)
    effective = weights.sum() ** 2 / (weights**2).sum()
    assume(effective > 101)
    found = masses(np.round(rng.exponential(5, 400)), weights)
    assert (np.bincount(found.bin, found.weight, len(found.bins)) > 0).all()
    assert (np.diff(found.bins.edges) >= 0).all()


def test_masses_that_are_missing_are_counted():
    values = np.r_[np.arange(500.0), np.nan, np.inf]
    found = masses(values)
    assert (found.bins.left_out, len(found.rows)) == (2, 500)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full(500, 91.2), "all 500 background events have the jet mass 91.2 GeV"),
        (np.full(500, 0.0), "the jet mass 0 GeV"),
        (np.arange(99.0), "99 .* too few for 5 bins of 20; evaluate at least 100"),
        (np.full(500, np.nan), "none of the 500 background events has a jet mass"),
        (np.zeros(0), "none of the 0"),
    ],
)
def test_masses_that_show_nothing_are_refused(values, reason):
    with pytest.raises(SculptingError, match=reason):
        masses(values)
