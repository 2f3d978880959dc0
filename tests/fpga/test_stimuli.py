"""Events of a proof: every pin moves, the seed decides, and blocks are only a matter of memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anomaly_hep.fpga.fixedpoint import FixedPoint
from anomaly_hep.fpga.integers import ChipEvents, Port
from anomaly_hep.fpga.stimuli import Stimuli
from tests.fpga.encoders import random_encoder, without_mass

ENCODER = random_encoder(2, constituents=3, ports=4)
ENCODER = replace(ENCODER, ports=(*ENCODER.ports[:2], Port("a", 2.0, True), Port("b", 2.0, True)))
MASS = FixedPoint(False, 4, -3)
PINS = 3 * (2 * 5 + 2)


def _data(events: int = 30) -> ChipEvents:
    random = np.random.default_rng(3)
    inputs = random.integers(0, 4, (events, 3, 4))
    # a flag is half of the range: 8 of 16
    inputs[..., 2:] = 8 * random.integers(0, 2, (events, 3, 2))
    return without_mass(inputs)


def _stimuli(count: int = 20_000, seed: int = 1, mass: FixedPoint | None = None) -> Stimuli:
    return Stimuli(ENCODER, _data(), mass, count, seed)


def _all(stimuli: Stimuli) -> ChipEvents:
    return stimuli.first(len(stimuli))


def test_the_first_events_are_those_of_data() -> None:
    found = _stimuli().first(30)
    np.testing.assert_array_equal(found.inputs, _data().inputs)
    assert [len(block) for block in _stimuli(count=5).blocks()] == [30]
    assert len(_stimuli(count=5)) == 30


def test_each_pin_is_alone_once_and_missing_once() -> None:
    stimuli = _stimuli(mass=MASS)
    pins = stimuli.pins(_all(stimuli)[30 : 30 + 2 * (PINS + 4)])
    words = [
        "".join(
            format(int(v) & ((1 << b) - 1), f"0{b}b")
            for v, b in zip(row, stimuli.bits, strict=True)
        )
        for row in pins
    ]
    ones = [word.count("1") for word in words]
    assert ones == [1] * (PINS + 4) + [PINS + 3] * (PINS + 4)
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("mass", [None, MASS])
def test_every_integer_is_one_that_the_wires_carry(mass: FixedPoint | None) -> None:
    stimuli = _stimuli(mass=mass)
    events = _all(stimuli)
    assert len(events) == 20_000
    features, flags = events.inputs[..., :2], events.inputs[..., 2:]
    assert (features.min(), features.max()) == (-16, 15)
    assert set(np.unique(flags)) == {0, 8}
    assert set(np.unique(events.masses)) == ({0} if mass is None else set(range(16)))
    again = stimuli.events(stimuli.pins(events))
    np.testing.assert_array_equal(again.inputs, events.inputs)
    np.testing.assert_array_equal(again.masses, events.masses)


def test_made_events_are_small_and_large_short_and_full() -> None:
    made = _all(_stimuli()).inputs[30 + 2 * PINS :]
    sizes = np.abs(made[..., :2]).max((1, 2))
    assert all(((sizes >= 2**bit) & (sizes < 2 ** (bit + 1))).mean() > 0.02 for bit in range(4))
    filled = (made != 0).any(-1).sum(-1)
    assert all((filled == number).mean() > 0.02 for number in range(4))


def test_events_are_those_of_the_seed_however_many_are_asked_for() -> None:
    long = _all(_stimuli())
    short = _all(_stimuli(count=9000))
    np.testing.assert_array_equal(long.inputs[:1000], short.inputs[:1000])
    np.testing.assert_array_equal(_all(_stimuli()).inputs, long.inputs)
    assert (_all(_stimuli(seed=2)).inputs != long.inputs).any()
    blocks = list(_stimuli().blocks())
    np.testing.assert_array_equal(np.concatenate([b.inputs for b in blocks]), long.inputs)
    assert max(map(len, blocks)) <= 8192


def test_pins_that_took_both_values_are_counted() -> None:
    stimuli = _stimuli(count=0)
    coverage = stimuli.coverage()
    coverage.add(stimuli.data)
    # the data's features are 0 to 3: two bits of five each move
    assert coverage.counts == (3 * (2 * 2 + 2), PINS)
    wide = _stimuli(mass=MASS)
    coverage = wide.coverage()
    for block in wide.blocks():
        coverage.add(block)
    assert coverage.counts == (PINS + 4, PINS + 4)


def test_without_data_there_are_made_events() -> None:
    empty = Stimuli(ENCODER, _data(0), None, 9000, 1)
    assert len(_all(empty)) == 9000
