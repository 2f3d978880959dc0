"""Integers of encoders with learned widths equal them, whatever widths they have learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga import rtl
from anomaly_hep.fpga.chipscore import ChipScore
from anomaly_hep.fpga.from_learned import integer_encoder
from anomaly_hep.fpga.integers import Port
from anomaly_hep.models.layers.learned_trigger import LearnedTriggerEncoder
from anomaly_hep.models.layers.trigger import TriggerEncoder
from tests.fpga.encoders import without_mass

PORTS = (Port("pt", 4.0, False), Port("eta", 1.0, False), Port("flag", 2.0, True))


def _jets(count: int, seed: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    jets = torch.randn(count, 3, 3, generator=random) * torch.tensor([3.0, 0.7, 1.0])
    jets[..., 2] = (jets[..., 2] > 0).float()
    return jets


def encoder(seed: int, *, by_slot: bool, spread: float = 2.0) -> LearnedTriggerEncoder:
    """An encoder whose widths moved at random from where a training starts."""
    torch.manual_seed(seed)
    start = TriggerEncoder(
        ranges=[p.range for p in PORTS], outputs=2, constituents=3, phi=[5, 4], rho=[4],
        precision=None,
    )  # fmt: skip
    learned = LearnedTriggerEncoder(start, _jets(200, seed), input_bits=8, by_slot=by_slot)
    with torch.no_grad():
        for width in learned.width_parameters():
            width.sub_(2 * spread * torch.rand(width.shape) ** 2)
    return learned.eval()


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), by_slot=st.booleans(), spread=st.sampled_from([0.0, 2.0, 4.0]))
def test_the_integers_are_the_encoder_in_units_of_the_last_bit(
    seed: int, by_slot: bool, spread: float
) -> None:
    learned = encoder(seed, by_slot=by_slot, spread=spread)
    integers = integer_encoder(learned, PORTS)
    jets = _jets(300, seed + 1)
    with torch.no_grad():
        expected = learned(jets).double().numpy()
    found = integers(integers.quantize(jets.numpy())[0])
    np.testing.assert_array_equal(found * 2.0**-integers.head.output.fraction, expected)


@pytest.mark.parametrize("by_slot", [False, True])
def test_the_rtl_computes_the_same(by_slot: bool) -> None:
    learned = encoder(11, by_slot=by_slot, spread=0.5)
    integers = integer_encoder(learned, PORTS)
    score = ChipScore("squared", integers.head.output, 2)
    inputs, _ = integers.quantize(_jets(500, 12).numpy())
    expected = score(integers(inputs))
    circuit = rtl.trace(integers, score, int(np.median(expected)), ["score"], 5)
    found = rtl.interpret(circuit, integers, without_mass(inputs))["score"]
    scale = score.fraction - circuit.outputs[0].type.fraction
    np.testing.assert_array_equal(found << scale, expected)


def test_weights_of_no_bits_have_no_products() -> None:
    learned = encoder(3, by_slot=False)
    with torch.no_grad():
        learned.phi[0].fraction.fill_(-8.0)
    integers = integer_encoder(learned, PORTS)
    assert not integers.phi[0].weight.any()
    assert len(np.unique(integers(integers.quantize(_jets(50, 1).numpy())[0]), axis=0)) == 1


def test_channels_of_no_bits_stay_zero() -> None:
    learned = encoder(3, by_slot=False, spread=0.0)
    with torch.no_grad():
        learned.phi[1].fraction[2] = -8.0
    layer = integer_encoder(learned, PORTS).phi[0]
    assert layer.kept is not None
    assert layer.kept.bits[2] == 0
    assert not layer(np.random.default_rng(0).integers(-128, 128, (50, 3)))[:, 2].any()


def test_tools_with_one_type_refuse_learned_widths_by_name() -> None:
    integers = integer_encoder(encoder(3, by_slot=True), PORTS)
    with pytest.raises(ExportError, match=r"hls4ml has one type .* the inputs .*Cure: fpga=rtl"):
        integers.with_types_alone("hls4ml")
