"""Ranks: against slow counts, far out in the tail, and under changes that must not matter."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.models.fitted import Rank

RNG = np.random.default_rng(0)
BACKGROUND = np.column_stack([RNG.exponential(size=1000), RNG.normal(size=1000)])
ONES = np.ones(len(BACKGROUND))
HOWS: list[Literal["average", "product"]] = ["average", "product"]


def rank(how: Literal["average", "product"], values: np.ndarray, weights: np.ndarray) -> Rank:
    made = Rank(scores=["a", "b"], how=how)
    made.fit(values, weights)
    return made


def share_above(background: np.ndarray, weights: np.ndarray, value: float) -> float:
    """The weight above a value that occurs, and half of that at it."""
    at = weights[background == value].sum()
    return float((weights[background > value].sum() + at / 2) / weights.sum())


@given(
    st.lists(
        st.tuples(st.integers(-3, 3), st.integers(-3, 3), st.integers(0, 4)),
        min_size=4,
        max_size=25,
    )
)
def test_shares_are_counts_of_the_background_above(rows: list[tuple[int, int, int]]) -> None:
    table = np.array(rows, float)
    values, weights = table[:, :2], table[:, 2]
    if (weights > 0).sum() < 2:
        return
    counted = values[weights > 0]
    shares = np.array(
        [[share_above(values[:, i], weights, event[i]) for i in (0, 1)] for event in counted]
    )
    average = rank("average", values, weights).score(counted)
    np.testing.assert_allclose(average, -np.log(shares.mean(1)), rtol=1e-12, atol=1e-12)
    product = rank("product", values, weights).score(counted)
    np.testing.assert_allclose(product, -np.log(shares).sum(1), rtol=1e-12, atol=1e-12)


def test_between_two_values_the_share_is_linear_and_below_all_constant() -> None:
    values = np.column_stack([[0.0, 1.0], [0.0, 1.0]])
    made = rank("average", values, np.ones(2))
    events = np.repeat([[-5.0], [0.0], [0.5], [0.75], [1.0]], 2, axis=1)
    np.testing.assert_allclose(np.exp(-made.score(events)), [0.75, 0.75, 0.5, 0.375, 0.25])


def test_above_all_background_an_exponential_goes_on() -> None:
    # the highest percent exceeds the threshold by its mean excess, which is the scale
    column = np.sort(BACKGROUND[:, 0])
    scale = (column[-10:] - column[-11]).mean()
    made = rank("product", np.column_stack([column, column]), ONES)
    for beyond in (0.0, 1.0, 50.0):
        event = np.full((1, 2), column[-1] + beyond)
        expected = -2 * (np.log(0.5 / 1000) - beyond / scale)
        assert made.score(event)[0] == pytest.approx(expected)


@pytest.mark.parametrize("how", HOWS)
def test_no_two_events_tie_beyond_all_background(how: Literal["average", "product"]) -> None:
    made = rank(how, BACKGROUND, ONES)
    far = np.repeat(BACKGROUND.max() * 10.0 ** np.arange(0.1, 9, 0.5)[:, None], 2, axis=1)
    assert np.isfinite(made.score(far)).all()
    assert (np.diff(made.score(far)) > 0).all()


@pytest.mark.parametrize("how", HOWS)
def test_a_larger_score_never_lowers_the_rank(how: Literal["average", "product"]) -> None:
    made = rank(how, BACKGROUND, ONES)
    grid = np.linspace(-5, 15, 300)
    for other in (-1.0, 0.5, 4.0, 30.0):
        for events in (
            np.column_stack([grid, np.full(300, other)]),
            np.column_stack([np.full(300, other), grid]),
        ):
            assert (np.diff(made.score(events)) >= 0).all()


@pytest.mark.parametrize("how", HOWS)
def test_another_scale_of_a_score_changes_nothing(how: Literal["average", "product"]) -> None:
    events = np.vstack([BACKGROUND[:50], [[20.0, 9.0]]])
    other = np.column_stack([1e3 * events[:, 0] + 7, events[:, 1]])
    moved = np.column_stack([1e3 * BACKGROUND[:, 0] + 7, BACKGROUND[:, 1]])
    found, expected = rank(how, moved, ONES).score(other), rank(how, BACKGROUND, ONES).score(events)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("how", HOWS)
def test_order_and_events_without_weight_do_not_matter(how: Literal["average", "product"]) -> None:
    mixed = RNG.permutation(len(BACKGROUND))
    values = np.vstack([BACKGROUND[mixed], np.full((3, 2), 99.0)])
    weights = np.concatenate([ONES, np.zeros(3)])
    events = np.vstack([BACKGROUND[:50], [[20.0, 9.0]]])
    found = rank(how, values, weights)
    np.testing.assert_array_equal(found.score(events), rank(how, BACKGROUND, ONES).score(events))
    loaded = Rank(scores=["a", "b"], how=how)
    loaded.load(found.state())
    np.testing.assert_array_equal(loaded.score(events), found.score(events))


def test_a_score_that_never_changes_leaves_the_other_its_order() -> None:
    values = np.column_stack([BACKGROUND[:, 0], np.full(1000, 2.0)])
    made = rank("average", values, ONES)
    events = np.column_stack([np.linspace(0.1, 30, 50), np.full(50, 2.0)])
    assert (np.diff(made.score(events)) >= 0).all()
    assert np.isfinite(made.score(np.array([[1.0, 3.0]]))).all()
