"""The integer encoder against fractions, and the widths that it proves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga.fixedpoint import FixedPoint, Integers
from anomaly_hep.fpga.integers import IntegerEncoder, Layer, Port, joined
from tests.fpga.encoders import (
    hard_context,
    hard_inputs,
    random_encoder,
    with_one_weight_changed,
)


def _value(integer: int, kind: FixedPoint) -> Fraction:
    return integer * Fraction(2) ** -kind.fraction


def _rounded(value: Fraction, kind: FixedPoint) -> Fraction:
    """A value as the type holds it: down to a multiple of the last bit, and saturated."""
    unit = Fraction(2) ** -kind.fraction
    low, high = (
        (-(2 ** (kind.bits - 1)), 2 ** (kind.bits - 1)) if kind.signed else (0, 2**kind.bits)
    )
    return min(max(math.floor(value / unit), low), high - 1) * unit


def _slow_layer(layer: Layer, values: list[Fraction]) -> list[Fraction]:
    unit = Fraction(2) ** -layer.weight_fraction
    bias_unit = unit * Fraction(2) ** -layer.input.fraction
    return [
        _rounded(
            sum((w * unit * v for w, v in zip(row, values, strict=True)), b * bias_unit),
            layer.output,
        )
        for row, b in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
    ]


def _slow(
    encoder: IntegerEncoder, event: list[list[int]], context: Sequence[int] = ()
) -> list[Fraction]:
    """The encoder as it is described, on values instead of integers, constituent by constituent."""
    total = [Fraction(0)] * len(encoder.phi[-1].weight)
    for constituent in event:
        values = [_value(integer, encoder.input) for integer in constituent]
        for layer in encoder.phi:
            values = _slow_layer(layer, values)
        total = [a + b for a, b in zip(total, values, strict=True)]
    values = [_rounded(value, encoder.pool) for value in total]
    values += [_value(integer, encoder.input) for integer in context]
    for layer in (*encoder.rho, encoder.head):
        values = _slow_layer(layer, values)
    return values


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    constituents=st.integers(1, 5),
    rho=st.lists(st.integers(1, 4), max_size=2),
    phi_bias=st.booleans(),
    finer=st.sampled_from([None, -3, 0, 3]),
)
def test_integers_are_the_values_in_units_of_the_last_bit(seed: int, **design: object) -> None:
    encoder = random_encoder(seed, **design)
    inputs = hard_inputs(encoder, 5, seed)
    for event, found in zip(inputs.tolist(), encoder(inputs).tolist(), strict=True):
        values = [_value(integer, encoder.head.output) for integer in found]
        assert values == _slow(encoder, event)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    context=st.integers(1, 3),
    rho=st.lists(st.integers(1, 4), max_size=2),
    bits=st.integers(2, 7),
)
def test_quantities_of_the_event_stand_behind_the_sum(
    seed: int, context: int, rho: list[int], bits: int
) -> None:
    encoder = random_encoder(seed, context=context, rho=rho, input_bits=bits)
    inputs = hard_inputs(encoder, 5, seed)
    quantities = hard_context(encoder, len(inputs), seed)
    found = encoder(inputs, quantities).tolist()
    for event, own, latent in zip(inputs.tolist(), quantities.tolist(), found, strict=True):
        values = [_value(integer, encoder.head.output) for integer in latent]
        assert values == _slow(encoder, event, own)


def test_tools_that_know_constituents_alone_refuse_quantities_of_the_event() -> None:
    said = r"hls4ml has one input, the constituents, and of_event_0, of_event_1 .*Cure: fpga=rtl"
    with pytest.raises(ExportError, match=said):
        random_encoder(1, context=2).with_types_alone("hls4ml")
    assert random_encoder(1).with_types_alone("hls4ml").context == ()


def test_the_quantities_of_the_event_matter() -> None:
    encoder = random_encoder(1, context=2)
    inputs = hard_inputs(encoder, 20)
    quantities = hard_context(encoder, len(inputs))
    assert (encoder(inputs, quantities) != encoder(inputs, -1 - quantities)).any()


@given(
    total=st.tuples(st.integers(1, 10), st.integers(-4, 9)),
    context=st.tuples(st.integers(2, 12), st.integers(-4, 12)),
)
def test_the_joined_type_holds_both_and_no_bit_less_would(
    total: tuple[int, int], context: tuple[int, int]
) -> None:
    pool, own = FixedPoint(False, *total), FixedPoint(True, *context)
    both = joined(pool, own)
    assert both.fraction == max(pool.fraction, own.fraction)
    ends = [_value(n, kind) for kind in (pool, own) for n in (kind.lowest, kind.highest)]
    assert all(_rounded(value, both) == value for value in ends)
    narrow = replace(both, bits=both.bits - 1)
    assert any(_rounded(value, narrow) != value for value in ends)


def test_quantities_beyond_their_range_saturate_and_are_counted() -> None:
    encoder = replace(
        random_encoder(0, context=2), context=(Port("a", 4.0, False), Port("b", 0.5, False))
    )
    values = np.array([[0.0, 0.0], [3.99, 0.5], [-4.0, -0.51], [4.0, 0.25]])
    found, clipped = encoder.quantize_context(values)
    # 5 bits: 16 steps from 0 to the range
    np.testing.assert_array_equal(found, [[0, 0], [15, 15], [-16, -16], [15, 8]])
    np.testing.assert_array_equal(
        clipped, [[False, False], [False, True], [False, True], [True, False]]
    )


def _layer(
    weight: list[list[int]], bias: list[int], *, signed: bool = True, bits: int = 3
) -> Layer:
    inputs = FixedPoint(signed, bits, 2)
    return Layer("rho.0", np.array(weight), 3, np.array(bias), inputs, FixedPoint(True, 20, 5))


@settings(max_examples=40)
@given(
    rows=st.lists(st.lists(st.integers(-9, 9), min_size=3, max_size=3), min_size=1, max_size=3),
    bias=st.integers(-40, 40),
    signed=st.booleans(),
)
def test_the_accumulator_is_reached_and_never_exceeded(
    rows: list[list[int]], bias: int, signed: bool
) -> None:
    layer = _layer(rows, [bias] * len(rows), signed=signed)
    kind = layer.accumulator
    # every input that there is
    every = range(layer.input.lowest, layer.input.highest + 1)
    sums = [
        sum(w * v for w, v in zip(row, values, strict=True)) + bias
        for values in itertools.product(every, repeat=3)
        for row in rows
    ]
    assert kind.lowest <= min(sums) <= max(sums) <= kind.highest
    # products start from nothing, so that 0 is held too; one bit less would not hold an end
    low, high = min(*sums, 0), max(sums)
    assert kind.signed == (low < 0)
    if kind.bits > 1:
        half = 2 ** (kind.bits - 1 - kind.signed)
        assert high >= half or low < -half
    assert kind.fraction == 2 + 3


def _one_wide(bits: int) -> Layer:
    # 2 x weight x 255 from unsigned inputs of 8 bits
    weight = (2**bits - 1) // (2 * 255)
    return Layer(
        "phi.1", np.array([[weight, weight]]), 0, np.array([0]),
        FixedPoint(False, 8, 0), FixedPoint(False, 8, -16),
    )  # fmt: skip


def test_an_accumulator_of_more_than_24_bits_is_refused() -> None:
    assert _one_wide(24).accumulator == FixedPoint(False, 24, 0)
    with pytest.raises(
        ExportError, match=r"accumulator of phi\.1 could need 25 bits.*24.*Cure: fewer"
    ):
        _one_wide(25)
    # a sign is one bit more
    with pytest.raises(ExportError, match="25 bits"):
        replace(_one_wide(24), weight=-_one_wide(24).weight)


def test_a_sum_of_more_than_24_bits_is_refused() -> None:
    encoder = random_encoder(0)
    last = encoder.phi[-1]
    # 3 x (2^22 - 1) needs 24 bits, 5 x (2^22 - 1) needs 25
    wide = replace(last, output=FixedPoint(False, 22, last.output.fraction))
    fits = replace(encoder, phi=(*encoder.phi[:-1], wide))
    assert fits.sum == FixedPoint(False, 24, last.output.fraction)
    with pytest.raises(
        ExportError, match=r"sum over 5 constituents could need 25 bits.*Cure: fewer constituents"
    ):
        replace(fits, constituents=5)


def test_the_sum_holds_all_constituents_at_their_highest() -> None:
    encoder = random_encoder(0, constituents=5)
    highest = 5 * encoder.phi[-1].output.highest
    assert encoder.sum.highest >= highest > encoder.sum.highest // 2
    assert encoder.sum.fraction == encoder.phi[-1].output.fraction


def _with_ports(*ports: Port) -> IntegerEncoder:
    return replace(random_encoder(0, ports=len(ports), constituents=2), ports=ports)


def test_inputs_are_divided_by_their_ranges_and_cuts_are_counted() -> None:
    encoder = _with_ports(
        Port("pt", 4.0, False), Port("eta", 0.5, False), Port("photon", 2.0, True)
    )
    assert encoder.input == FixedPoint(True, 5, 4)
    inputs = np.zeros((5, 2, 3))
    inputs[0, 0] = 3.99, -0.5, 1.0  # up to the ends: 15.96, -16, and 8 for half of a flag's range
    inputs[1, 1] = 4.0, 0.0, 0.0  # the range itself is beyond it
    inputs[2, 0] = -4.1, 0.51, 1.0
    inputs[2, 1] = 99.0, 0.49, 0.0
    inputs[3, 1] = -0.01, 0.499, 1.0
    integers, cut = encoder.quantize(inputs)
    assert integers[0].tolist() == [[15, -16, 8], [0, 0, 0]]
    assert integers[1].tolist() == [[0, 0, 0], [15, 0, 0]]
    assert integers[2].tolist() == [[-16, 15, 8], [15, 15, 0]]
    assert integers[3].tolist() == [[0, 0, 0], [-1, 15, 8]]
    assert not integers[4].any()
    assert cut.tolist() == [
        [False, False, False],
        [True, False, False],
        [True, True, False],
        [False, False, False],
        [False, False, False],
    ]


def test_a_ports_type_is_in_the_networks_units() -> None:
    kind = FixedPoint(True, 8, 7)
    for limit in (0.25, 1.0, 8.0):
        found = Port("pt", limit, False).type(kind)
        assert (found.signed, found.bits) == (True, 8)
        # -128 stands for minus the range
        assert _value(found.lowest, found) == -Fraction(limit)
    assert Port("photon", 2.0, True).type(kind) == FixedPoint(False, 1, 0)


def _weights(encoder: IntegerEncoder) -> list[Integers]:
    return [layer.weight for layer in encoder.layers]


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_one_weight_changed_is_one_weight_by_one(seed: int) -> None:
    encoder = random_encoder(seed)
    before = [weight.copy() for weight in _weights(encoder)]
    changed = with_one_weight_changed(encoder)
    after = _weights(changed)
    steps = np.concatenate([(b - a).ravel() for b, a in zip(before, after, strict=True)])
    assert np.abs(steps).sum() == np.abs(steps).max() == 1
    # nearer to zero, so that it stays in its bits
    assert all(np.abs(a).max() <= np.abs(b).max() for b, a in zip(before, after, strict=True))
    assert all((b == w).all() for b, w in zip(before, _weights(encoder), strict=True))
    layers = zip(encoder.layers, changed.layers, strict=True)
    assert all((one.bias == other.bias).all() for one, other in layers)


def test_the_changed_weight_shows() -> None:
    for seed in range(5):
        encoder = random_encoder(seed)
        inputs = hard_inputs(encoder)
        assert (with_one_weight_changed(encoder)(inputs) != encoder(inputs)).any()


def test_fewer_outputs_are_the_first_ones() -> None:
    encoder = random_encoder(2, outputs=4)
    inputs = hard_inputs(encoder, 20)
    all_four = encoder(inputs)
    assert (all_four[:, 0] != all_four[:, 2]).any()
    two = encoder.with_outputs(2)
    np.testing.assert_array_equal(two(inputs), all_four[:, :2])
    assert encoder.head.weight.shape[0] == 4
