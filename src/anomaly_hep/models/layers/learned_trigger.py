"""The Deep Set for a trigger with learned bit widths, and its cost in bit operations."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anomaly_hep.models.layers.learned import LearnedLinear, LearnedRounding
from anomaly_hep.models.layers.trigger import TriggerEncoder

# with which a training starts: bits below the largest weight of a layer, and below the largest
# value of a channel
_WEIGHT_BITS, _CHANNEL_BITS = 6, 8


class LearnedTriggerEncoder(TriggerEncoder):
    """A TriggerEncoder in which each weight and each channel learns how many bits it needs.

    It starts from an encoder in floating point and from events, whose largest values set the first
    ranges. All slots share the widths of phi, so that the order of the constituents is not seen.
    With `by_slot` each slot has widths of its own, though the same weights before rounding: the
    order of the constituents, by falling momentum, is seen then.
    """

    input: LearnedRounding
    pool: LearnedRounding
    head: LearnedLinear
    output: LearnedRounding

    def __init__(
        self,
        start: TriggerEncoder,
        inputs: Float[Tensor, "jet constituent input"],
        *,
        input_bits: int,
        by_slot: bool,
        context: Float[Tensor, "jet quantity"] | None = None,
    ) -> None:
        super().__init__(**start.shape, precision=None)
        self.load_state_dict(start.state_dict())
        self.by_slot, self.input_bits = by_slot, input_bits
        slots = self.constituents if by_slot else None
        self.input = LearnedRounding(
            len(self.ranges), signed=True, slots=slots, arriving=input_bits - 1
        )
        self.phi = _learned(self.phi, slots)
        self.pool = LearnedRounding(self.phi_widths[-1], signed=False, slots=None)
        self.rho = _learned(self.rho, None)
        self.head = LearnedLinear(_linear(self.head), bits=_WEIGHT_BITS, slots=None)
        self.output = LearnedRounding(len(self.head.weight), signed=True, slots=None)
        self._start(inputs, context)

    def rounded(self, context: Float[Tensor, "jet quantity"]) -> Float[Tensor, "jet quantity"]:
        """Return the context rounded down to the bits of an input, of which none are learned."""
        unit = 2.0 ** (1 - self.input_bits)
        return ((context / unit).floor() * unit).clamp(-1, 1 - unit)

    @torch.no_grad()
    def _start(
        self,
        inputs: Float[Tensor, "jet constituent input"],
        context: Float[Tensor, "jet quantity"] | None,
    ) -> None:
        """Set the widths of all channels from the values that events give, layer by layer."""
        for module in self.modules():
            if isinstance(module, LearnedRounding):
                module.register_forward_pre_hook(_set_widths)
        self(inputs, context)
        for module in self.modules():
            if isinstance(module, LearnedRounding):
                module._forward_pre_hooks.clear()

    def cost(self) -> Float[Tensor, ""]:
        """Return the EBOPs of one event: those of products, and the bits that sums and squares add.

        phi counts once for each slot. A sum over slots adds the bits of each term, the square of an
        output takes the square of its bits.
        """
        repeats = 1 if self.by_slot else self.constituents
        bits: Tensor = self.input.bits()
        total = torch.zeros(())
        for linear, rounding in _pairs(self.phi):
            total = total + repeats * linear.cost(bits)
            bits = rounding.bits()
        total = total + repeats * bits.sum()
        of_event = torch.full((len(self.context_ranges),), self.input_bits - 1.0)
        bits = torch.cat([self.pool.bits(), of_event])
        for linear, rounding in _pairs(self.rho):
            total = total + linear.cost(bits)
            bits = rounding.bits()
        return total + self.head.cost(bits) + self.output.bits().square().sum()

    def width_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that are widths, and not weights."""
        return [p for name, p in self.named_parameters() if name.endswith("fraction")]


def _set_widths(module: LearnedRounding, inputs: tuple[Tensor]) -> None:
    module.start(inputs[0], _CHANNEL_BITS)


def _learned(layers: nn.Module, slots: int | None) -> nn.Sequential:
    """Return a chain of linear maps and ReLUs with learned widths."""
    parts: list[nn.Module] = []
    for linear in list(layers.children())[::2]:
        parts.append(LearnedLinear(_linear(linear), bits=_WEIGHT_BITS, slots=slots))
        parts.append(LearnedRounding(len(_linear(linear).weight), signed=False, slots=slots))
    return nn.Sequential(*parts)


def _linear(module: nn.Module) -> nn.Linear:
    assert isinstance(module, nn.Linear)
    return module


def _pairs(layers: nn.Module) -> list[tuple[Any, Any]]:
    parts = list(layers.children())
    return list(zip(parts[::2], parts[1::2], strict=True))
