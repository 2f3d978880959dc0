"""Learned widths beside quantities of the whole event, which keep the bits of their ports."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from anomaly_hep.fpga.from_learned import integer_encoder
from anomaly_hep.fpga.integers import Port
from anomaly_hep.models.layers.learned_trigger import LearnedTriggerEncoder
from anomaly_hep.models.layers.trigger import TriggerEncoder

PORTS = (Port("pt", 4.0, False), Port("eta", 1.0, False))
CONTEXT = (Port("missing", 4.0, False), Port("angle", 0.5, False))


def _events(count: int, seed: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    jets = torch.rand(count, 3, 2, generator=random) * torch.tensor([7.9, 1.9]) - torch.tensor(
        [3.9, 0.9]
    )
    return jets, torch.randn(count, 2, generator=random) * torch.tensor([2.0, 0.25])


def _encoder(rho: list[int], *, by_slot: bool) -> LearnedTriggerEncoder:
    torch.manual_seed(2)
    start = TriggerEncoder(
        ranges=[p.range for p in PORTS], outputs=3, constituents=3, phi=[6, 5], rho=rho,
        precision=None, context_ranges=[p.range for p in CONTEXT],
    )  # fmt: skip
    inputs, context = _events(200, 5)
    return LearnedTriggerEncoder(start, inputs, input_bits=8, by_slot=by_slot, context=context)


@pytest.mark.parametrize("rho", [[4], []])
@pytest.mark.parametrize("by_slot", [False, True])
def test_integers_equal_the_encoder_with_learned_widths(rho: list[int], by_slot: bool) -> None:
    encoder = _encoder(rho, by_slot=by_slot).eval()
    integers = integer_encoder(encoder, PORTS, CONTEXT)
    jets, context = _events(800, 7)
    with torch.no_grad():
        expected = encoder(jets, context).double().numpy()
    seen = integers.quantize(jets.numpy())[0], integers.quantize_context(context.numpy())[0]
    found = integers(*seen)
    np.testing.assert_array_equal(found * 2.0**-integers.head.output.fraction, expected)
    assert (integers(seen[0], np.zeros_like(seen[1])) != found).any()


def test_products_with_quantities_of_the_event_cost_their_bits() -> None:
    encoder = _encoder([4], by_slot=False)
    linear = encoder.rho[0]
    with torch.no_grad():
        before = float(encoder.cost())
        bits = linear.bits()[:, -2:].sum()
        linear.weight[:, -2:] = 0
        after = float(encoder.cost())
    # 8 bits, of which the sign is not counted
    assert before - after == pytest.approx(7 * float(bits), rel=1e-6)
