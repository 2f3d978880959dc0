"""Fixed-point numbers against fractions: rounded down, saturated, never in between."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga.fixedpoint import (
    FixedPoint,
    exact_integers,
    narrowest,
    power_of_two,
    shifted,
)

TYPES = st.builds(FixedPoint, st.booleans(), st.integers(2, 24), st.integers(-6, 30))
INTEGERS = st.lists(st.integers(-(2**23), 2**23), min_size=1, max_size=20)


def _two(exponent: int) -> Fraction:
    return Fraction(2) ** exponent


def _limits(kind: FixedPoint) -> tuple[int, int]:
    """The ends of two's complement, or of unsigned numbers, by counting."""
    if kind.signed:
        return -(2**kind.bits) // 2, 2**kind.bits // 2 - 1
    return 0, 2**kind.bits - 1


def _rounded(value: Fraction, kind: FixedPoint) -> int:
    low, high = _limits(kind)
    return min(max(math.floor(value * _two(kind.fraction)), low), high)


@given(TYPES)
def test_ends_and_last_bit(kind: FixedPoint) -> None:
    assert (kind.lowest, kind.highest) == _limits(kind)
    assert Fraction(kind.lsb) == _two(-kind.fraction)


@given(TYPES, st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_quantize_rounds_down_and_saturates(kind: FixedPoint, values: list[float]) -> None:
    expected = [_rounded(Fraction(value), kind) for value in values]
    assert kind.quantize(np.array(values)).tolist() == expected


@given(TYPES, INTEGERS, st.integers(-10, 30))
def test_requantize_is_that_of_the_value(kind: FixedPoint, values: list[int], own: int) -> None:
    expected = [_rounded(value * _two(-own), kind) for value in values]
    assert kind.requantize(np.array(values), own).tolist() == expected


@given(INTEGERS, st.integers(-40, 30))
def test_shifted_is_a_multiplication_rounded_down(values: list[int], places: int) -> None:
    expected = [math.floor(value * _two(places)) for value in values]
    assert shifted(np.array(values), places).tolist() == expected


def test_negative_numbers_are_rounded_down_and_not_to_zero() -> None:
    assert shifted(np.array([-1, -2, -3, -4, -5, 5]), -2).tolist() == [-1, -1, -1, -1, -2, 1]
    kind = FixedPoint(True, 4, 1)
    assert kind.quantize(np.array([-0.01, -0.5, -0.51, 0.49])).tolist() == [-1, -1, -2, 0]
    assert kind.requantize(np.array([-1, -8, -9, 7]), 4).tolist() == [-1, -1, -2, 0]


def test_what_is_too_large_saturates() -> None:
    far = np.array([-np.inf, -1e300, 1e300, np.inf])
    assert FixedPoint(True, 4, 1).quantize(far).tolist() == [-8, -8, 7, 7]
    assert FixedPoint(False, 4, 1).quantize(far).tolist() == [0, 0, 15, 15]


@given(TYPES, st.data())
def test_real_and_quantize_undo_each_other(kind: FixedPoint, data: st.DataObject) -> None:
    integers = np.array(data.draw(st.lists(st.integers(kind.lowest, kind.highest), min_size=1)))
    values = kind.real(integers)
    assert [Fraction(v) for v in values] == [int(i) * _two(-kind.fraction) for i in integers]
    assert kind.quantize(values).tolist() == integers.tolist()


@given(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40))
def test_the_narrowest_bits_are_enough_and_one_less_is_not(one: int, other: int) -> None:
    low, high = min(one, other), max(one, other)
    kind = narrowest(low, high)
    assert kind.fraction == 0
    assert kind.signed == (low < 0)
    assert kind.lowest <= low <= high <= kind.highest
    if kind.bits > 1:
        first, last = _limits(FixedPoint(kind.signed, kind.bits - 1, 0))
        assert low < first or high > last


@pytest.mark.parametrize(
    ("low", "high", "bits"),
    [(0, 0, 1), (0, 1, 1), (0, 2, 2), (0, 255, 8), (-1, 0, 1), (-1, 1, 2), (-128, 127, 8),
     (-129, 0, 9), (-1, 128, 9)],
)  # fmt: skip
def test_bits_by_hand(low: int, high: int, bits: int) -> None:
    assert narrowest(low, high) == FixedPoint(low < 0, bits, 0)


def test_a_type_is_written_as_ap_fixed_writes_it() -> None:
    # AMD UG1399: ap_fixed<W, I> has W bits, I of them before the point, the sign among these
    assert str(FixedPoint(True, 8, 7)) == "fixed<8,1>"
    assert str(FixedPoint(False, 10, 6)) == "ufixed<10,4>"
    assert str(FixedPoint(False, 4, -2)) == "ufixed<4,6>"
    assert str(FixedPoint(True, 3, 5)) == "fixed<3,-2>"


@given(INTEGERS, st.integers(-10, 20))
def test_whole_is_exact(integers: list[int], fraction: int) -> None:
    values = np.array([float(i * _two(-fraction)) for i in integers])
    assert exact_integers(values, fraction, "them").tolist() == integers


@given(st.integers(-100, 100), st.integers(0, 10), st.floats(-0.4999, 0.4999))
def test_whole_refuses_what_lies_between(integer: int, fraction: int, off: float) -> None:
    assume(abs(off) > 1e-9)
    values = np.array([0.0, (integer + off) / 2**fraction, 1.0])
    with pytest.raises(
        ExportError, match=rf"1 of 3 values of the sum are no multiples of 2\^-{fraction}.*Cure"
    ):
        exact_integers(values, fraction, "the sum")


@given(st.integers(-100, 100))
def test_powers_of_two_have_their_exponent(exponent: int) -> None:
    assert power_of_two(2.0**exponent, "a layer") == -exponent


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_every_other_scale_is_refused(scale: float) -> None:
    finite = math.isfinite(scale) and scale > 0
    exact = Fraction(scale) if finite else Fraction(3)
    assume(not exact.numerator.bit_count() == exact.denominator.bit_count() == 1)
    with pytest.raises(ExportError, match=r"scale of rho is .* not a power of two.*Cure: quantise"):
        power_of_two(scale, "rho")
