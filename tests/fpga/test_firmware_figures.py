"""The Pareto front against a slow search."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.fpga.firmware_figures import pareto


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1))
def test_the_front_holds_what_no_other_beats(points: list[tuple[int, int]]) -> None:
    expected = {
        (cost, gain)
        for cost, gain in points
        if not any(c <= cost and g >= gain and (c, g) != (cost, gain) for c, g in points)
    }
    assert pareto(points) == sorted(expected)
