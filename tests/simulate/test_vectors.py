from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.simulate.vectors import Direction, direction, distance, transverse, wrap


def test_direction_of_known_vectors() -> None:
    vectors = np.array([[3.0, 0.0, -1.0, 0.0], [4.0, 2.0, 0.0, 0.0], [0.0, 2.0, 1.0, 5.0]])
    eta, phi = direction(vectors)
    np.testing.assert_allclose(transverse(vectors), [5, 2, 1, 0])
    np.testing.assert_allclose(eta[:3], [0, math.asinh(1), math.asinh(1)])
    np.testing.assert_allclose(phi[:3], [math.atan2(4, 3), math.pi / 2, math.pi])
    assert np.isfinite(eta[3])
    assert eta[3] > 10


@given(st.floats(-100, 100))
def test_wrap_keeps_the_angle(angle: float) -> None:
    wrapped = float(wrap(np.array([angle]))[0])
    assert -math.pi <= wrapped <= math.pi
    assert math.isclose(math.cos(wrapped), math.cos(angle), abs_tol=1e-9)
    assert math.isclose(math.sin(wrapped), math.sin(angle), abs_tol=1e-9)


def test_distance_goes_round_the_back() -> None:
    first = Direction(np.array([0.0, 1.0]), np.array([3.1, 0.0]))
    second = Direction(np.array([0.0, 1.3]), np.array([-3.1, 0.4]))
    np.testing.assert_allclose(distance(first, second), [2 * math.pi - 6.2, 0.5])
