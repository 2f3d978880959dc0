"""Layers whose bit widths are learned with the weights, for each weight and each channel.

Decisions, after high-granularity quantisation (arXiv:2405.00645):
- A number has `fraction` bits behind the point, a parameter that is rounded when it is used. The
  gradient of a rounded value q of x with respect to its fraction is ln 2 (x - q), the derivative of
  a rounding error proportional to 2^-fraction (eq. 8 with our sign); to x it passes unchanged.
- Activations are rounded down and saturate, as in all firmware of this house, and are not wrapped
  around: what is anomalous may lie beyond every range that was seen. Their bits before the point
  are not learned: they hold twice the largest value that background has had of late. Where they
  were learned, background itself saturated, and saturation became part of the network.
- Widths of 0 bits are allowed: the weight or the channel is 0 and costs nothing.
- The cost is the number of effective bit operations (EBOPs): the bits of the weight times the bits
  of the activation, summed over all products (eq. 5). Signs are not counted.
- Own layers and not pquant-ml's, which know no sum over particles and bring a training loop of
  their own, nor Brevitas's, which learn one width for a whole tensor.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# bits that a learned width can have on either side of the point
_FEWEST, _MOST = -8.0, 12.0
_LN2 = math.log(2.0)
# of the largest value of a channel: what a batch leaves of it, and what it cannot fall below
_KEPT, _SMALLEST = 0.999, 2.0**-6


class _Nearest(torch.autograd.Function):
    """Round to the nearest multiple of 2^-fraction; ties go to the even one."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, fraction: Tensor) -> Tensor:
        unit = torch.exp2(-fraction.round())
        rounded = (values / unit).round() * unit
        ctx.save_for_backward(values - rounded)
        ctx.shapes = values.shape, fraction.shape
        return rounded

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        (error,) = ctx.saved_tensors
        values, fraction = ctx.shapes
        return gradient.sum_to_size(values), (_LN2 * error * gradient).sum_to_size(fraction)


class _Down(torch.autograd.Function):
    """Round down to a multiple of 2^-fraction, and saturate at +-2^integer, or at 0 below."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, fraction: Tensor, integer: Tensor, signed: bool
    ) -> Tensor:
        unit, bound = torch.exp2(-fraction.round()), torch.exp2(integer)
        alive = fraction.round() + integer > 0
        high = torch.where(alive, bound - unit, 0.0)
        low = torch.where(alive, -bound, 0.0) if signed else torch.zeros_like(high)
        rounded = torch.minimum(torch.maximum((values / unit).floor() * unit, low), high)
        inside = (values < high + unit) & (values >= low)
        ctx.save_for_backward(values - rounded, inside | ~alive & (values >= low))
        ctx.shape = fraction.shape
        return rounded

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        error, inside = ctx.saved_tensors
        kept = torch.where(inside, gradient, 0.0)
        return kept, (_LN2 * error * kept).sum_to_size(ctx.shape), None, None


def _whole(bits: Tensor) -> Tensor:
    """Return bits rounded to whole numbers, with the gradient of the unrounded ones."""
    return bits + (bits.round() - bits).detach()


class LearnedLinear(nn.Module):
    """A linear map with a learned width for each weight, and for each weight in each slot.

    It starts from a map in floating point, each weight with `bits` bits below the largest one.
    `slots`: the number of slots that have widths of their own; None if all share them.
    """

    def __init__(self, start: nn.Linear, *, bits: int, slots: int | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(start.weight.detach().clone())
        finest = bits - float(self.weight.detach().abs().max().clamp_min(2.0**-6).log2().ceil())
        shape = self.weight.shape if slots is None else (slots, *self.weight.shape)
        self.fraction = nn.Parameter(torch.full(shape, finest))
        self.bias: Tensor | None = None
        if start.bias is not None:
            self.bias = nn.Parameter(start.bias.detach().clone())
            self.bias_fraction = nn.Parameter(torch.full((len(self.weight),), finest))

    def quantized_weight(self) -> Float[Tensor, "*slot output input"]:
        """Return the rounded weights."""
        rounded: Tensor = _Nearest.apply(self.weight, self.fraction.clamp(_FEWEST, _MOST))
        return rounded

    def quantized_bias(self) -> Float[Tensor, " output"] | None:
        """Return the rounded biases, if any."""
        if self.bias is None:
            return None
        rounded: Tensor = _Nearest.apply(self.bias, self.bias_fraction.clamp(_FEWEST, _MOST))
        return rounded

    def bits(self) -> Float[Tensor, "*slot output input"]:
        """Return the bits of each weight, from its highest to its last one, without its sign."""
        weight = self.quantized_weight().detach()
        before = torch.where(weight == 0, 0.0, weight.abs().log2().floor() + 1)
        bits = _whole(self.fraction.clamp(_FEWEST, _MOST)) + before
        return torch.where(weight == 0, 0.0, bits)

    def cost(self, inputs: Float[Tensor, "*slot input"]) -> Float[Tensor, ""]:
        """Return the EBOPs of inputs with so many bits, of all slots that are told apart."""
        return (self.bits() * inputs[..., None, :]).sum()

    def forward(self, values: Float[Tensor, "*event input"]) -> Float[Tensor, "*event output"]:
        """Return the map's values; with slots, these are the last but one axis of the input."""
        weight, bias = self.quantized_weight(), self.quantized_bias()
        if weight.ndim == 2:
            return nn.functional.linear(values, weight, bias)
        products = torch.einsum("...si,soi->...so", values, weight)
        return products if bias is None else products + bias


class LearnedRounding(nn.Module):
    """Rounding down and saturation with learned widths for each channel, or channel in each slot.

    Without a sign it is a ReLU as well. `largest` is the largest value of each channel that
    training has seen, of which a thousandth is forgotten in each batch; the range is the power of
    two that holds twice as much. `arriving`: the bits behind the point of values that arrive as
    numbers between -1 and 1, whose range is that.
    """

    def __init__(
        self, channels: int, *, signed: bool, slots: int | None, arriving: int | None = None
    ) -> None:
        super().__init__()
        shape = (channels,) if slots is None else (slots, channels)
        self.signed, self.arriving = signed, arriving
        self.fraction = nn.Parameter(torch.zeros(shape))
        self.largest: Tensor
        self.register_buffer("largest", torch.full(shape, _SMALLEST))

    @torch.no_grad()
    def start(self, values: Float[Tensor, "*event channel"], bits: int) -> None:
        """Set the widths to `bits` bits below the largest value of each channel."""
        self.largest.fill_(_SMALLEST)
        self._see(values)
        finest = _MOST if self.arriving is None else float(self.arriving)
        self.fraction.copy_((bits - self.largest.log2().ceil()).clamp(max=finest))

    def _see(self, values: Float[Tensor, "*event channel"]) -> None:
        most = values.detach().abs().flatten(0, -self.fraction.ndim - 1).amax(0)
        self.largest.copy_(torch.maximum(_KEPT * self.largest, most).clamp_min(_SMALLEST))

    def widths(self) -> tuple[Float[Tensor, "*slot channel"], Float[Tensor, "*slot channel"]]:
        """Return the bits behind the point, not yet rounded, and those before it."""
        if self.arriving is not None:
            zeros = torch.zeros_like(self.largest)
            return self.fraction.clamp(_FEWEST, float(self.arriving)), zeros
        return self.fraction.clamp(_FEWEST, _MOST), self.largest.log2().ceil() + 1

    def bits(self) -> Float[Tensor, "*slot channel"]:
        """Return the bits of each channel without its sign."""
        fraction, integer = self.widths()
        return (_whole(fraction) + integer).clamp_min(0.0)

    def forward(self, values: Float[Tensor, "*event channel"]) -> Float[Tensor, "*event channel"]:
        """Return the values with their learned widths."""
        if self.training:
            self._see(values)
        rounded: Tensor = _Down.apply(values, *self.widths(), self.signed)
        return rounded
