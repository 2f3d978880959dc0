"""Scales that are fitted on training events."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly_hep.models.layers.scaling import Robust


def test_each_component_has_median_0_and_interquartile_range_1() -> None:
    vectors = torch.randn(1001, 5, generator=torch.Generator().manual_seed(0)) * 7 + 3
    scaling = Robust(5)
    scaling.fit(vectors.split(300))
    quartiles = np.quantile(scaling(vectors).numpy(), (0.25, 0.5, 0.75), axis=0)
    np.testing.assert_allclose(quartiles[1], 0, atol=1e-5)
    np.testing.assert_allclose(quartiles[2] - quartiles[0], 1, atol=1e-5)


def test_padding_counts_and_a_component_without_a_range_is_only_moved() -> None:
    """Jets with few constituents have zeros: where three in four have, nothing is divided."""
    vectors = torch.zeros(8, 2)
    vectors[:, 0] = torch.arange(8.0)
    vectors[:2, 1] = torch.tensor([5.0, 9.0])
    scaling = Robust(2)
    scaling.fit([vectors])
    assert scaling.spread.tolist() == [3.5, 1.25]
    constant = torch.full((6, 2), 4.0)
    scaling.fit([constant])
    assert scaling(constant).abs().max() == 0
    assert scaling.spread.tolist() == [1.0, 1.0]


def test_without_any_event_values_stay_as_they_are() -> None:
    scaling, vectors = Robust(3), torch.randn(4, 3)
    scaling.fit([torch.zeros(0, 3)])
    assert torch.equal(scaling(vectors), vectors)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 50), st.floats(0.01, 100), st.floats(-50, 50))
def test_the_inverse_gives_the_vectors_back(events: int, scale: float, shift: float) -> None:
    vectors = torch.randn(events, 4, dtype=torch.float64) * scale + shift
    scaling = Robust(4).double()
    scaling.fit([vectors])
    torch.testing.assert_close(scaling.inverse(scaling(vectors)), vectors, rtol=1e-6, atol=1e-6)
