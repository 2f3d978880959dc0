"""From a quantised encoder to the integers of its weights and scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga.fixedpoint import FixedPoint, power_of_two, shifted, whole
from anomaly_hep.fpga.integers import IntegerEncoder, Layer, Port
from anomaly_hep.models.layers.trigger import TriggerEncoder


@torch.no_grad()
def integer_encoder(encoder: TriggerEncoder, ports: Sequence[Port]) -> IntegerEncoder:
    """Return the integer encoder of a quantised one.

    Raises ExportError for a scale that is not a power of two, or an accumulator too wide.
    """
    if encoder.precision is None:
        raise ExportError(
            "the encoder computes in floating point, which no integers repeat. Cure: train it "
            "with model.quantization, or let the command fpga quantise it"
        )
    encoder.eval()
    inputs = _type(encoder.input, "the inputs")
    phi = _chain(encoder.phi, "phi", inputs)
    pool = _type(encoder.pool, "the sum")
    rho = _chain(encoder.rho, "rho", pool)
    head = _layer(
        encoder.head, "head", rho[-1].output if rho else pool, _type(encoder.output, "the outputs")
    )
    return IntegerEncoder(
        encoder.constituents, tuple(ports), inputs, tuple(phi), pool, tuple(rho), head
    )


def _chain(modules: nn.Module, name: str, inputs: FixedPoint) -> list[Layer]:
    """Return the layers of a chain of linear maps, each with an activation behind it."""
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
    total = inputs.fraction + fraction
    bias = np.zeros(len(weight), np.int64)
    if linear.bias is not None:
        found = linear.quant_bias()
        integers, own = _integers(found.value, found.scale, f"the bias of {name}")
        if own > total:
            # the bias is finer than a product: all integers of the weights get the bits it needs
            weight, fraction = shifted(weight, own - total), fraction + own - total
            total = own
        bias = shifted(integers, total - own)
    return Layer(name, weight, fraction, bias, inputs, output)


def _type(proxy: Any, where: str) -> FixedPoint:
    """Return the type of an activation's numbers; raises ExportError where no shift rounds so."""
    quantizer = proxy.act_quant
    if float(quantizer.zero_point()) != 0.0:
        raise ExportError(
            f"{where} have a zero point of {float(quantizer.zero_point())}. Cure: quantise "
            "symmetrically"
        )
    fraction = power_of_two(float(quantizer.scale()), where)
    return FixedPoint(bool(quantizer.is_signed), int(quantizer.bit_width()), fraction)


def _integers(value: Tensor, scale: Tensor, where: str) -> tuple[Int64[np.ndarray, ...], int]:
    """Return values as integers and the fraction of their scale."""
    fraction = power_of_two(float(scale), where)
    return whole(value.double().numpy(), fraction, where), fraction
