"""Medians with intervals, and tables of text."""

from __future__ import annotations

import numpy as np
import pytest

from anomaly_hep.simulate.mediantable import aligned, cell, median_interval


def test_the_interval_of_a_median_holds_it_in_68_per_cent() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(1000):
        _, low, high = median_interval(rng.exponential(size=101))
        inside += low <= np.log(2) <= high
    # 68 % by the binomial of the ranks; 1.5 % is the error of a thousand
    assert inside / 1000 == pytest.approx(0.68, abs=0.05)


def test_a_single_event_has_an_interval() -> None:
    assert median_interval(np.array([3.0])) == (3.0, 3.0, 3.0)


def test_text_of_a_median() -> None:
    assert cell(np.arange(1.0, 102.0), 0) == "51 [46, 56]"
    assert cell(np.array([0.5, 0.5]), 2) == "0.50 [0.50, 0.50]"


def test_columns_are_of_equal_width() -> None:
    assert aligned([["a", "bbb", "c"], ["dd", "e", ""]]) == ["a   bbb  c", "dd  e"]
