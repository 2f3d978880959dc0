"""The trigger's Deep Set with learned widths: its start, its cost, and what order it sees."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from anomaly_hep.models.layers.learned_trigger import LearnedTriggerEncoder
from anomaly_hep.models.layers.trigger import TriggerEncoder


def _start() -> TriggerEncoder:
    torch.manual_seed(4)
    return TriggerEncoder(
        ranges=[4.0, 1.0], outputs=3, constituents=4, phi=[6, 5], rho=[4], precision=None
    )


def _jets(count: int = 200) -> Tensor:
    random = torch.Generator().manual_seed(8)
    return torch.rand(count, 4, 2, generator=random) * torch.tensor([3.9, 0.9])


def _learned(*, by_slot: bool) -> LearnedTriggerEncoder:
    return LearnedTriggerEncoder(_start(), _jets(), input_bits=8, by_slot=by_slot).eval()


@pytest.mark.parametrize("by_slot", [False, True])
def test_it_starts_near_the_encoder_in_floating_point(by_slot: bool) -> None:
    expected, found = _start()(_jets()), _learned(by_slot=by_slot)(_jets())
    assert (found - expected).abs().mean().item() < 0.05 * expected.std().item()


def test_the_cost_is_counted_by_hand() -> None:
    encoder = _learned(by_slot=False)
    slow = 0.0
    bits = encoder.input.bits().tolist()
    layers = [(encoder.phi, 4), (encoder.rho, 1)]
    for chain, repeats in layers:
        parts: list = list(chain)
        for linear, rounding in zip(parts[::2], parts[1::2], strict=True):
            for row in linear.bits().tolist():
                slow += repeats * sum(w * b for w, b in zip(row, bits, strict=True))
            bits = rounding.bits().tolist()
        if chain is encoder.phi:
            slow += repeats * sum(bits)
            bits = encoder.pool.bits().tolist()
    for row in encoder.head.bits().tolist():
        slow += sum(w * b for w, b in zip(row, bits, strict=True))
    slow += sum(b * b for b in encoder.output.bits().tolist())
    assert encoder.cost().item() == pytest.approx(slow, rel=1e-6)


def test_shared_widths_see_no_order_and_those_by_slot_do() -> None:
    jets = _jets()
    turned = jets.flip(1)
    shared, by_slot = _learned(by_slot=False), _learned(by_slot=True)
    assert torch.equal(shared(jets), shared(turned))
    with torch.no_grad():
        by_slot.phi[0].fraction[0] = 0.0  # the first slot alone becomes coarse
    assert not torch.equal(by_slot(jets), by_slot(turned))


@pytest.mark.parametrize("by_slot", [False, True])
def test_a_slot_without_a_particle_adds_nothing(by_slot: bool) -> None:
    encoder = _learned(by_slot=by_slot)
    assert encoder.phi(encoder.input(torch.zeros(1, 4, 2))).abs().sum().item() == 0


def test_all_widths_are_told_from_weights() -> None:
    encoder = _learned(by_slot=False)
    widths = {id(p) for p in encoder.width_parameters()}
    weights = [name for name, p in encoder.named_parameters() if id(p) not in widths]
    assert all(name.endswith(("weight", "bias")) for name in weights)
    assert len(weights) + len(widths) == len(list(encoder.parameters()))
