"""Sums of partons, and the jets that they will become."""

from __future__ import annotations

import math

import pytest

from anomaly_hep.simulate.partons import Parton, cones, total


def at(pt: float, phi: float) -> Parton:
    return Parton.of(pt * math.cos(phi), pt * math.sin(phi), 0.0)


def test_sums_of_partons() -> None:
    parton = total([Parton.of(3.0, 0.0, 1.0), Parton.of(0.0, 4.0, 2.0)])
    assert parton.pt == pytest.approx(5)
    assert parton.eta == pytest.approx(math.asinh(0.6))
    assert parton.distance(Parton.of(3.0, 4.0, 0.0)) == pytest.approx(math.asinh(0.6))


def test_the_second_cone_is_around_the_sum_of_the_first() -> None:
    """The parton at 1.4 is too far from the first axis, at 0, and within 1 of the sum, at 0.45."""
    partons = [at(100, 0.0), at(100, 0.9), at(100, 1.4)]
    first, second = cones(partons[0], partons, 1.0)
    assert first.phi == pytest.approx(0.45)
    assert first.pt == pytest.approx(200 * math.cos(0.45))
    assert second.pt == pytest.approx(total(partons).pt)


def test_partons_on_both_sides_of_pi_are_near() -> None:
    first, _ = cones(at(100, 3.1), [at(100, 3.1), at(100, -3.1)], 0.2)
    assert first.pt == pytest.approx(200 * math.cos(math.pi - 3.1))
