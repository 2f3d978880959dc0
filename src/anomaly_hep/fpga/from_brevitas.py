"""Read the integers of a quantised encoder's weights, biases and scales out of Brevitas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from anomaly_hep.errors import ExportError
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
    phi = _chain(encoder.phi, "phi", inputs)
    pool = _type(encoder.pool, "the sum")
    both = joined(pool, inputs) if context else pool
    rho = _chain(encoder.rho, "rho", both)
    last = rho[-1].output if rho else both
    head = _layer(encoder.head, "head", last, _type(encoder.output, "the outputs"))
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


def _chain(modules: nn.Module, name: str, inputs: FixedPoint) -> list[Layer]:
    """Return the layers of a chain in which an activation follows each linear map."""
    parts = list(modules.children())
    layers: list[Layer] = []
    for number, (linear, activation) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
        output = _type(activation, f"{name}.{number}")
        before = layers[-1].output if layers else inputs
        layers.append(_layer(linear, f"{name}.{number}", before, output))
    return layers


def _layer(linear: Any, name: str, inputs: FixedPoint, output: FixedPoint) -> Layer:
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
