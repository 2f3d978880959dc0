"""The Pareto front against a slow search, and what a figure shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.fpga.firmware_figures import pareto, passing
from tests.fpga.summaries import make_decorrelation


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1))
def test_the_front_holds_what_no_other_beats(points: list[tuple[int, int]]) -> None:
    expected = {
        (cost, gain)
        for cost, gain in points
        if not any(c <= cost and g >= gain and (c, g) != (cost, gain) for c, g in points)
    }
    assert pareto(points) == sorted(expected)


def test_the_shares_that_pass_are_drawn_by_mass() -> None:
    (axes,) = passing(make_decorrelation(), 100).axes
    assert axes.get_xlabel() == "jet_mass (GeV)"
    one, by_mass = (container.lines[0] for container in axes.containers)
    assert one.get_xdata().tolist() == [40, 80, 175]
    assert one.get_ydata().tolist() == pytest.approx([0.1, 1.02, 3.01])
    assert by_mass.get_ydata().tolist() == pytest.approx([0.98, 1.01, 0.99])
