"""Brevitas layers whose arithmetic an FPGA can repeat bit by bit; the only importer of Brevitas.

Every scale is a power of two, and activations are rounded down, which is the same as dropping bits.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from anomaly_hep.errors import ConfigError

with warnings.catch_warnings():
    # Brevitas's docstrings have invalid escapes, of which Python warns when it compiles them
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", SyntaxWarning)
    import brevitas.nn as qnn
    from brevitas.core.scaling import ScalingImplType
    from brevitas.inject.enum import FloatToIntImplType
    from brevitas.quant.fixed_point import (
        Int8ActPerTensorFixedPoint,
        Int8BiasPerTensorFixedPointInternalScaling,
        Int8WeightPerTensorFixedPoint,
        Uint8ActPerTensorFixedPoint,
    )

_BITS = ("weight_bits", "activation_bits", "input_bits", "output_bits")
_BIAS_BITS = 8
# number of batches whose statistics set an activation's scale before it is trained
_STATISTICS_STEPS = 30


@dataclass(frozen=True)
class Precision:
    """Numbers of bits of weights, activations after a ReLU, inputs, and the latent vector."""

    weight_bits: int
    activation_bits: int
    input_bits: int
    output_bits: int

    @staticmethod
    def of(settings: Mapping[str, int]) -> Precision:
        """Return the precision of a configuration; raises ConfigError."""
        if set(settings) != set(_BITS):
            raise ConfigError(
                f"quantization has the keys {', '.join(sorted(settings))}. Cure: give exactly "
                f"{', '.join(_BITS)}, or null for floating point"
            )
        for name, bits in settings.items():
            highest = 8 if name in ("weight_bits", "activation_bits") else 12
            if not 2 <= bits <= highest:
                raise ConfigError(f"{name}={bits}. Cure: choose 2 to {highest} bits")
        return Precision(**settings)


def linear(inputs: int, outputs: int, precision: Precision, *, bias: bool) -> nn.Module:
    """Return a linear map with integer weights and a power-of-two scale."""
    return qnn.QuantLinear(
        inputs,
        outputs,
        bias=bias,
        weight_quant=Int8WeightPerTensorFixedPoint.let(bit_width=precision.weight_bits),
        bias_quant=Int8BiasPerTensorFixedPointInternalScaling.let(bit_width=_BIAS_BITS)
        if bias
        else None,
    )


def relu(bits: int) -> nn.Module:
    """Return a ReLU with unsigned, saturating output of `bits` bits."""
    return qnn.QuantReLU(act_quant=_unsigned(bits))


def unsigned(bits: int) -> nn.Module:
    """Return a layer that rounds to unsigned numbers of `bits` bits, saturating."""
    return qnn.QuantIdentity(act_quant=_unsigned(bits))


def signed(bits: int) -> nn.Module:
    """Return a layer that rounds to signed numbers of `bits` bits, saturating, of learned scale."""
    return qnn.QuantIdentity(
        act_quant=Int8ActPerTensorFixedPoint.let(
            bit_width=bits,
            collect_stats_steps=_STATISTICS_STEPS,
            float_to_int_impl_type=FloatToIntImplType.FLOOR,
        )
    )


def below_one(bits: int) -> nn.Module:
    """Return a layer that rounds to signed numbers of `bits` bits between -1 and 1."""
    return qnn.QuantIdentity(
        act_quant=Int8ActPerTensorFixedPoint.let(
            bit_width=bits,
            scaling_impl_type=ScalingImplType.CONST,
            scaling_init=1.0,
            float_to_int_impl_type=FloatToIntImplType.FLOOR,
        )
    )


def _unsigned(bits: int) -> type:
    quantizer: type = Uint8ActPerTensorFixedPoint.let(
        bit_width=bits,
        collect_stats_steps=_STATISTICS_STEPS,
        float_to_int_impl_type=FloatToIntImplType.FLOOR,
    )
    return quantizer
