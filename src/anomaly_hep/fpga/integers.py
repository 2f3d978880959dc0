"""The integer encoder: the hardware's arithmetic in numpy, and the bit widths that it needs.

Every export is compared with it. It shares no code with Brevitas: it takes the integers of weights
and scales, and uses integer arithmetic only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int64

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga.fixedpoint import FixedPoint, Integers, narrowest

# float32, in which Brevitas and QONNX compute, holds all integers of so many bits
EXACT_BITS = 24


@dataclass(frozen=True)
class Port:
    """One input of each constituent: its name, and a power of two that bounds its size.

    A flag is 0 or 1 and takes one wire. Physical value = network's value / scale + center.
    """

    name: str
    range: float
    flag: bool
    center: float = 0.0
    scale: float = 1.0

    def type(self, input_type: FixedPoint) -> FixedPoint:
        """Return the port's type, in the network's scaled units."""
        if self.flag:
            return FixedPoint(False, 1, 0)
        return replace(input_type, fraction=input_type.fraction - int(np.log2(self.range)))


@dataclass(frozen=True, eq=False)
class Layer:
    """Integer weights, the bias at the accumulator's scale, and the types of input and output.

    An output type without sign makes the rounding a ReLU as well.
    """

    name: str
    weight: Int64[np.ndarray, "output input"]
    weight_fraction: int
    bias: Int64[np.ndarray, " output"]
    input: FixedPoint
    output: FixedPoint

    def __post_init__(self) -> None:
        if self.accumulator.bits > EXACT_BITS:
            raise ExportError(
                f"the accumulator of {self.name} could need {self.accumulator.bits} bits, more "
                f"than the {EXACT_BITS} that the quantised model computes exactly. Cure: fewer "
                "bits of weights or activations, or fewer inputs"
            )

    @property
    def accumulator(self) -> FixedPoint:
        """Type of the sum of products and bias, proved from the weights: no input exceeds it."""
        low, high = self.bounds(self.weight)
        narrow = narrowest(int(min((low + self.bias).min(), 0)), int((high + self.bias).max()))
        return replace(narrow, fraction=self.input.fraction + self.weight_fraction)

    def bounds(
        self, weight: Int64[np.ndarray, "output input"]
    ) -> tuple[Int64[np.ndarray, " output"], Int64[np.ndarray, " output"]]:
        """Return the lowest and the highest sum of products that weights give for any input."""
        products = weight * self.input.lowest, weight * self.input.highest
        return np.minimum(*products).sum(1), np.maximum(*products).sum(1)

    def __call__(
        self, values: Int64[np.ndarray, "*event input"]
    ) -> Int64[np.ndarray, "*event output"]:
        """Return the layer's outputs."""
        total = values @ self.weight.T + self.bias
        return self.output.requantize(total, self.accumulator.fraction)


@dataclass(frozen=True, eq=False)
class ChipEvents:
    """Events as integers at the ports; the masses are zeros where there is no port for them."""

    inputs: Int64[np.ndarray, "event constituent port"]
    masses: Int64[np.ndarray, " event"]

    def __getitem__(self, events: slice) -> ChipEvents:
        return ChipEvents(self.inputs[events], self.masses[events])

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, eq=False)
class IntegerEncoder:
    """phi on each constituent, the sum over constituents, rho and the head, on integers.

    `ports` are the inputs of one constituent. Divided by their ranges, all are numbers of type
    `input`, so a port's integer is used as it arrives; that of a flag stands for one half. `pool`
    is the type in which the sum is kept.
    """

    constituents: int
    ports: tuple[Port, ...]
    input: FixedPoint
    phi: tuple[Layer, ...]
    pool: FixedPoint
    rho: tuple[Layer, ...]
    head: Layer

    def __post_init__(self) -> None:
        if self.sum.bits > EXACT_BITS:
            raise ExportError(
                f"the sum over {self.constituents} constituents could need {self.sum.bits} bits, "
                f"more than {EXACT_BITS}. Cure: fewer constituents or activation bits"
            )

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers in the order of the data."""
        return (*self.phi, *self.rho, self.head)

    @property
    def sum(self) -> FixedPoint:
        """Type of the exact sum over constituents."""
        last = self.phi[-1].output
        return replace(narrowest(0, self.constituents * last.highest), fraction=last.fraction)

    def __call__(
        self, inputs: Int64[np.ndarray, "event constituent port"]
    ) -> Int64[np.ndarray, "event latent"]:
        """Return the integers of the latent vector for integers at the ports."""
        values: Integers = inputs
        for layer in self.phi:
            values = layer(values)
        values = self.pool.requantize(values.sum(1), self.phi[-1].output.fraction)
        for layer in (*self.rho, self.head):
            values = layer(values)
        return values

    def with_outputs(self, count: int) -> IntegerEncoder:
        """Return the encoder with its first `count` outputs; the means are the first ones."""
        head = replace(self.head, weight=self.head.weight[:count], bias=self.head.bias[:count])
        return replace(self, head=head)

    def quantize(
        self, inputs: Float[np.ndarray, "event constituent port"]
    ) -> tuple[Int64[np.ndarray, "event constituent port"], Bool[np.ndarray, "event port"]]:
        """Return inputs in the network's units as integers, and which ports clipped an event."""
        scaled = inputs / np.array([port.range for port in self.ports])
        clipped = ((scaled >= 1.0) | (scaled < -1.0)).any(axis=1)
        return self.input.quantize(scaled), clipped
