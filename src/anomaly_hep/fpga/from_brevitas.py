"""Read the integers of a quantised encoder's weights, biases and scales out of Brevitas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga.chain import chain
from anomaly_hep.fpga.fixedpoint import FixedPoint, exact_integers, power_of_two, shifted
from anomaly_hep.fpga.integers import IntegerEncoder, Layer, Port, joined
from anomaly_hep.models.layers.trigger import TriggerEncoder


@torch.no_grad()
def integer_encoder(
    encoder: TriggerEncoder, ports: Sequence[Port], context: Sequence[Port] = ()
) -> IntegerEncoder:
    """Return the integer encoder that computes what a quantised encoder does.

    Raises ExportError for a scale that is not a power of two, or an accumulator that is too wide.
    """
    if encoder.precision is None:
        raise ExportError(
            "the encoder computes in floating point, which integers cannot repeat. Cure: train it "
            "with model.quantization, or let the command fpga quantise it"
        )
    encoder.eval()
    inputs = _type(encoder.input, "the inputs")
    phi = chain(encoder.phi, "phi", inputs, _layer)
    pool = _type(encoder.pool, "the sum")
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
        context=tuple(context),
    )


def _layer(linear: Any, activation: Any, name: str, inputs: FixedPoint) -> Layer:
    output = _type(activation, "the outputs" if name == "head" else name)
    quantized = linear.quant_weight()
    weight, fraction = _integers(quantized.value, quantized.scale, f"the weights of {name}")
    bias = np.zeros(len(weight), np.int64)
    if linear.bias is not None:
        quantized = linear.quant_bias()
        bias, bias_fraction = _integers(quantized.value, quantized.scale, f"the bias of {name}")
        # where the bias is finer than a product, the integers of all weights get more bits
        extra_bits = max(bias_fraction - inputs.fraction - fraction, 0)
        weight, fraction = shifted(weight, extra_bits), fraction + extra_bits
        bias = shifted(bias, inputs.fraction + fraction - bias_fraction)
    return Layer(name, weight, fraction, bias, inputs, output)


def _type(proxy: Any, where: str) -> FixedPoint:
    """Return an activation's type; raises ExportError if shifts cannot repeat its rounding."""
    quantizer = proxy.act_quant
    if float(quantizer.zero_point()) != 0.0:
        raise ExportError(
            f"{where} have a zero point of {float(quantizer.zero_point())}. Cure: quantise "
            "symmetrically"
        )
    fraction = power_of_two(float(quantizer.scale()), where)
    return FixedPoint(bool(quantizer.is_signed), int(quantizer.bit_width()), fraction)


def _integers(value: Tensor, scale: Tensor, where: str) -> tuple[Int64[np.ndarray, ...], int]:
    """Return values as integers, and their number of fractional bits."""
    fraction = power_of_two(float(scale), where)
    return exact_integers(value.double().numpy(), fraction, where), fraction
