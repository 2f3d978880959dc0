"""Scores of any sign and size as what a sum of squares can learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga.targets import Targets

NUMBERS = st.lists(st.integers(-1000, 1000), min_size=5, max_size=30, unique=True)


@given(NUMBERS, st.sampled_from([1e-4, 1.0, 300.0]))
def test_targets_keep_the_order_and_have_a_median_of_one(values: list[int], size: float) -> None:
    scores = np.array(values) * size
    targets = Targets.of(scores, "total")(scores)
    assert targets.dtype == np.float32
    assert targets.min() >= 0
    assert np.median(targets) == pytest.approx(1, rel=1e-6)
    order = np.argsort(scores)
    assert (np.diff(targets[order]) > 0).all()


def test_a_score_that_is_never_negative_is_only_scaled() -> None:
    scores = np.array([0.5, 2.0, 3.0])
    found = Targets.of(scores, "kl")
    assert found == Targets(0.0, 2.0)
    np.testing.assert_allclose(found(scores), [0.25, 1.0, 1.5])
    assert found.remark("KL divergence", scores) == (
        "The encoder learned the KL divergence in units of 2, the median of the training "
        "background."
    )


def test_what_is_below_the_lowest_background_counts_as_zero_and_is_counted() -> None:
    found = Targets.of(np.array([-3.0, -1.0, 4.0]), "log odds")
    assert found == Targets(-3.0, 2.0)
    test = np.array([-5.0, -3.0, -1.0, 5.0])
    np.testing.assert_allclose(found(test), [0, 0, 1, 4])
    assert found.remark("log odds", test) == (
        "The encoder learned the log odds minus -3, its lowest value there, in units of 2, the "
        "median of the training background; 25 % of the test events are below and count as 0."
    )


@pytest.mark.parametrize("values", [[0.0, 0.0, 0.0, 5.0], [-2.0, -2.0, -2.0], [0.0]])
def test_a_score_that_is_the_same_for_half_of_the_background_is_refused(
    values: list[float],
) -> None:
    with pytest.raises(ExportError, match=r"half of the training background has .*distance.*Cure"):
        Targets.of(np.array(values), "distance")
