"""Read the integers and the learned widths out of an encoder that was trained with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from anomaly_hep.fpga.chain import chain
from anomaly_hep.fpga.fixedpoint import FixedPoint, exact_integers
from anomaly_hep.fpga.integers import ChannelBits, IntegerEncoder, Layer, Port, joined
from anomaly_hep.models.layers.learned import LearnedLinear, LearnedRounding
from anomaly_hep.models.layers.learned_trigger import LearnedTriggerEncoder


@torch.no_grad()
def integer_encoder(
    encoder: LearnedTriggerEncoder, ports: Sequence[Port], context: Sequence[Port] = ()
) -> IntegerEncoder:
    """Return the integer encoder that computes what an encoder with learned widths does.

    Raises ExportError for an accumulator that is too wide.
    """
    encoder.eval()
    finest = encoder.input_bits - 1
    inputs = FixedPoint(True, finest + 1, finest)
    read = _bits(encoder.input, inputs)
    phi = chain(encoder.phi, "phi", inputs, _layer)
    pool = _type(encoder.pool)
    both = joined(pool, inputs) if context else pool
    rho = chain(encoder.rho, "rho", both, _layer)
    last = rho[-1].output if rho else both
    head = _layer(encoder.head, encoder.output, "head", last)
    return IntegerEncoder(
        encoder.constituents,
        tuple(ports),
        inputs,
        tuple(phi),
        pool,
        tuple(rho),
        head,
        read=read,
        pooled=_bits(encoder.pool, pool),
        context=tuple(context),
    )


def _layer(linear: nn.Module, rounding: nn.Module, name: str, inputs: FixedPoint) -> Layer:
    assert isinstance(linear, LearnedLinear)
    assert isinstance(rounding, LearnedRounding)
    weight, bias = linear.quantized_weight(), linear.quantized_bias()
    # bits behind the point of the products' accumulator: a bias may be finer than all products
    fraction = _fraction(weight)
    total = inputs.fraction + fraction
    if bias is not None:
        total = max(total, _fraction(bias))
    fraction = total - inputs.fraction
    output = _type(rounding)
    shape = weight.shape[:-1]
    offset = np.zeros(shape, np.int64)
    if bias is not None:
        offset = np.broadcast_to(_integers(bias, total, f"the bias of {name}"), shape)
    integers = _integers(weight, fraction, f"the weights of {name}")
    return Layer(name, integers, fraction, offset, inputs, output, _bits(rounding, output))


def _integers(values: Tensor, fraction: int, where: str) -> Int64[np.ndarray, ...]:
    return exact_integers(values.double().numpy(), fraction, where)


def _fraction(values: Tensor) -> int:
    """Return the bits behind the point of the finest value; 0 if all are zero."""
    numbers = values.double().numpy()
    numbers = numbers[numbers != 0]
    if not numbers.size:
        return 0
    mantissas, exponents = np.frexp(numbers)
    integers = (mantissas * 2.0**53).astype(np.int64)
    trailing = np.log2((integers & -integers).astype(np.float64)).astype(np.int64)
    return int((53 - trailing - exponents).max())


def _widths(rounding: LearnedRounding) -> tuple[Int64[np.ndarray, ...], Int64[np.ndarray, ...]]:
    """Return the whole bits behind and before the point of each channel."""
    fraction, integer = (w.round().numpy().astype(np.int64) for w in rounding.widths())
    return fraction, integer


def _type(rounding: LearnedRounding) -> FixedPoint:
    """Return the narrowest type that holds what each channel keeps."""
    fraction, integer = _widths(rounding)
    alive = fraction + integer > 0
    if not alive.any():
        return FixedPoint(rounding.signed, 1 + rounding.signed, 0)
    finest, highest = int(fraction[alive].max()), int(integer[alive].max())
    return FixedPoint(rounding.signed, finest + highest + rounding.signed, finest)


def _bits(rounding: LearnedRounding, kind: FixedPoint) -> ChannelBits:
    """Return the bits of a type that each channel keeps."""
    fraction, integer = _widths(rounding)
    alive = fraction + integer > 0
    bits = np.where(alive, fraction + integer + rounding.signed, 0)
    return ChannelBits(rounding.signed, bits, np.where(alive, kind.fraction - fraction, 0))
