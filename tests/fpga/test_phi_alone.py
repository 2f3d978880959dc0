"""phi as a circuit of its own is the logic of the design."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga import phi_alone, rtl
from tests.fpga.encoders import (
    by_slot,
    hard_inputs,
    random_encoder,
    with_one_weight_changed,
    with_random_channels,
    without_mass,
)


@settings(max_examples=20)
@given(
    seed=st.integers(0, 10**6),
    delay=st.sampled_from([1.5, 5.0]),
    own_slots=st.booleans(),
    own_bits=st.booleans(),
)
def test_phi_alone_gives_the_integers_of_the_first_constituent(
    seed: int, delay: float, own_slots: bool, own_bits: bool
) -> None:
    encoder = random_encoder(seed, constituents=2, phi=(4, 3))
    encoder = by_slot(encoder, seed) if own_slots else encoder
    encoder = with_random_channels(encoder, seed) if own_bits else encoder
    events = without_mass(hard_inputs(encoder, 30))
    # the layers one after the other, on all constituents
    values = events.inputs if encoder.read is None else encoder.read(events.inputs)
    for layer in encoder.phi:
        values = layer(values)
    try:
        circuit = phi_alone.trace(encoder, delay)
    except ExportError:
        # random weights and bits may leave nothing that changes
        assert not values[:, 0].any()
        return
    phi_alone.check(circuit, encoder, events)
    one = replace(encoder, constituents=1)
    found = rtl.interpret(circuit, one, replace(events, inputs=events.inputs[:, :1]))
    units = [2.0**-signal.type.fraction for signal in circuit.outputs]
    real = np.stack(list(found.values()), axis=1) * units
    np.testing.assert_array_equal(real, encoder.phi[-1].output.real(values[:, 0]))
    assert [signal.name for signal in circuit.inputs] == [port.name for port in encoder.ports]


def test_another_logic_is_not_routed() -> None:
    encoder = random_encoder(1)
    events = without_mass(hard_inputs(encoder))
    circuit = phi_alone.trace(with_one_weight_changed(encoder), 5)
    with pytest.raises(ExportError, match=r"phi alone differs .* of 1,507 .*Cure: report this"):
        phi_alone.check(circuit, encoder, events)


def test_a_dead_phi_is_refused() -> None:
    encoder = random_encoder(1)
    last = replace(encoder.phi[-1], weight=np.zeros_like(encoder.phi[-1].weight))
    dead = replace(encoder, phi=(*encoder.phi[:-1], last))
    with pytest.raises(ExportError, match=r"phi is 0 for every constituent.*Cure: train"):
        phi_alone.trace(dead, 5)
