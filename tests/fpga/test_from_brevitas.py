"""The integers of a quantised encoder give, event by event, exactly what Brevitas computes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga.from_brevitas import integer_encoder
from anomaly_hep.fpga.integers import IntegerEncoder, Port
from anomaly_hep.models.layers.trigger import TriggerEncoder

PORTS = (Port("pt", 4.0, False), Port("eta", 0.5, False), Port("photon", 2.0, True))
BITS = {"weight_bits": 6, "activation_bits": 8, "input_bits": 8, "output_bits": 10}


def _jets(count: int, constituents: int, seed: int) -> Tensor:
    """Two features, some beyond their ranges, and a flag; zeros where a jet has no more."""
    random = torch.Generator().manual_seed(seed)
    features = torch.randn(count, constituents, 2, generator=random) * torch.tensor([2.0, 0.25])
    flags = torch.randint(0, 2, (count, constituents, 1), generator=random)
    filled = torch.randint(0, constituents + 1, (count, 1, 1), generator=random)
    present = torch.arange(constituents)[:, None] < filled
    return torch.cat([features, flags], dim=2) * present


def _trained(
    bits: dict[str, int] | None,
    *,
    constituents: int = 4,
    rho: tuple[int, ...] = (7,),
    seed: int = 0,
) -> TriggerEncoder:
    """Random weights, and scales that follow from batches as in a training."""
    torch.manual_seed(seed)
    encoder = TriggerEncoder(
        ranges=[port.range for port in PORTS], outputs=3, constituents=constituents,
        phi=[8, 6], rho=rho, precision=bits,
    )  # fmt: skip
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.mul_(1.5)
        for batch in range(40):
            encoder(_jets(200, constituents, 1000 + batch))
    return encoder.eval()


def _assert_equal(encoder: TriggerEncoder, integers: IntegerEncoder, events: int = 2000) -> None:
    jets = _jets(events, encoder.constituents, 1)
    with torch.no_grad():
        outputs = encoder(jets).double().numpy()
    found = integers(integers.quantize(jets.numpy())[0])
    unit = 2.0**-integers.head.output.fraction
    np.testing.assert_array_equal(found * unit, outputs)
    # a dead encoder would compare equal
    assert len(np.unique(found)) > 2


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"weight_bits": 2},
        {"weight_bits": 8, "activation_bits": 8, "input_bits": 12, "output_bits": 12},
        {"activation_bits": 2},
        {"activation_bits": 3, "output_bits": 12},
        {"input_bits": 2},
        {"output_bits": 2},
        {"weight_bits": 3, "activation_bits": 4, "input_bits": 5, "output_bits": 6},
    ],
)
@pytest.mark.parametrize("rho", [(7,), ()])
def test_integers_equal_the_quantised_encoder(
    changes: dict[str, int], rho: tuple[int, ...]
) -> None:
    bits = BITS | changes
    encoder = _trained(bits, rho=rho)
    integers = integer_encoder(encoder, PORTS)
    _assert_equal(encoder, integers)
    assert integers.input.bits == bits["input_bits"]
    assert integers.head.output.bits == bits["output_bits"]
    assert {layer.output.bits for layer in (*integers.phi, *integers.rho)} == {
        bits["activation_bits"]
    }
    assert len(integers.rho) == len(rho)
    assert integers.ports == PORTS


@pytest.mark.parametrize("constituents", [1, 2, 16])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_integers_equal_for_any_number_of_constituents(constituents: int, seed: int) -> None:
    encoder = _trained(BITS, constituents=constituents, seed=seed)
    _assert_equal(encoder, integer_encoder(encoder, PORTS), 500)


@pytest.mark.parametrize("rho", [(7,), ()])
@pytest.mark.parametrize("changes", [{}, {"input_bits": 4}, {"input_bits": 10, "weight_bits": 4}])
def test_integers_equal_with_quantities_of_the_event(
    changes: dict[str, int], rho: tuple[int, ...]
) -> None:
    torch.manual_seed(4)
    own = (Port("missing", 4.0, False), Port("angle", 1.0, False))
    encoder = TriggerEncoder(
        ranges=[port.range for port in PORTS], outputs=3, constituents=4, phi=[8, 6], rho=rho,
        precision=BITS | changes, context_ranges=[port.range for port in own],
    )  # fmt: skip
    random = torch.Generator().manual_seed(9)

    def draw(count: int) -> Tensor:
        return torch.randn(count, 2, generator=random) * torch.tensor([2.0, 0.5])

    with torch.no_grad():
        for batch in range(40):
            encoder(_jets(200, 4, 1000 + batch), draw(200))
        encoder.eval()
        jets, quantities = _jets(1000, 4, 1), draw(1000)
        outputs = encoder(jets, quantities).double().numpy()
    integers = integer_encoder(encoder, PORTS, own)
    assert integers.context == own
    seen = integers.quantize(jets.numpy())[0], integers.quantize_context(quantities.numpy())[0]
    found = integers(*seen)
    np.testing.assert_array_equal(found * 2.0**-integers.head.output.fraction, outputs)
    assert len(np.unique(found)) > 2
    assert (integers(seen[0], np.zeros_like(seen[1])) != found).any()


def test_integers_equal_before_the_scales_are_settled() -> None:
    torch.manual_seed(0)
    encoder = TriggerEncoder(
        ranges=[port.range for port in PORTS], outputs=3, constituents=2, phi=[5], rho=[4],
        precision=BITS,
    )  # fmt: skip
    for batch in range(5):
        encoder(_jets(100, 2, batch))
    encoder.eval()
    _assert_equal(encoder, integer_encoder(encoder, PORTS))


def test_weights_fit_their_bits() -> None:
    for bits in (2, 4, 8):
        encoder = _trained(BITS | {"weight_bits": bits}, rho=())
        # without a bias no weight has more bits than it was given
        for layer in integer_encoder(encoder, PORTS).phi:
            assert np.abs(layer.weight).max() < 2 ** (bits - 1)
            assert not layer.bias.any()


@torch.no_grad()
def test_a_bias_finer_than_the_products_moves_the_weights_up() -> None:
    encoder = _trained(BITS)
    weights = encoder.head.quant_weight()
    encoder.head.bias *= 1e-3
    integers = integer_encoder(encoder, PORTS)
    scale = Fraction(2) ** -integers.head.weight_fraction
    assert scale < Fraction(float(weights.scale))
    values = weights.value.tolist()
    assert [[w * scale for w in row] for row in integers.head.weight.tolist()] == values
    total = Fraction(2) ** -integers.head.accumulator.fraction
    biases = encoder.head.quant_bias().value.tolist()
    assert [b * total for b in integers.head.bias.tolist()] == biases
    assert any(biases)
    _assert_equal(encoder, integers)


def test_a_float_encoder_is_refused() -> None:
    with pytest.raises(ExportError, match=r"floating point.*Cure: train it with model\.quant"):
        integer_encoder(_trained(None), PORTS)


def _with_activation(place: str, kind: Any) -> TriggerEncoder:
    import brevitas.nn as qnn

    encoder = _trained(BITS)
    layer = qnn.QuantReLU if place == "phi.1" else qnn.QuantIdentity
    encoder.set_submodule(place, layer(act_quant=kind))
    for batch in range(40):
        encoder.train()(_jets(200, 4, batch))
    return encoder.eval()


@pytest.mark.parametrize(
    ("place", "where"), [("phi.1", "phi.0"), ("output", "the outputs"), ("pool", "the sum")]
)
def test_an_activations_scale_that_is_no_power_of_two_is_refused(place: str, where: str) -> None:
    from brevitas.quant import Int8ActPerTensorFloat, Uint8ActPerTensorFloat

    kind = Int8ActPerTensorFloat if place == "output" else Uint8ActPerTensorFloat
    encoder = _with_activation(place, kind.let(collect_stats_steps=5))
    with pytest.raises(ExportError, match=rf"scale of {where} is .*not a power of two.*Cure"):
        integer_encoder(encoder, PORTS)


def test_weights_with_a_scale_that_is_no_power_of_two_are_refused() -> None:
    import brevitas.nn as qnn
    from brevitas.quant import Int8WeightPerTensorFloat

    encoder = _trained(BITS)
    encoder.head = qnn.QuantLinear(7, 3, bias=True, weight_quant=Int8WeightPerTensorFloat)
    with pytest.raises(ExportError, match=r"weights of head is .*not a power of two.*Cure"):
        integer_encoder(encoder, PORTS)


def test_a_zero_point_is_refused() -> None:
    from brevitas.quant import ShiftedUint8ActPerTensorFixedPoint

    kind = ShiftedUint8ActPerTensorFixedPoint.let(collect_stats_steps=5)
    encoder = _with_activation("output", kind)
    with pytest.raises(ExportError, match=r"the outputs have a zero point of .*Cure: quantise sym"):
        integer_encoder(encoder, PORTS)


def test_an_accumulator_too_wide_is_refused() -> None:
    encoder = _trained(BITS)
    with torch.no_grad():
        # a bias of 2^-40: the weights would need its bits
        encoder.head.bias.fill_(2.0**-40)
    with pytest.raises(ExportError, match=r"accumulator of head.*Cure: fewer bits"):
        integer_encoder(encoder, PORTS)
