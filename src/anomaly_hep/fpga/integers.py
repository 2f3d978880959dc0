"""The integer encoder: the hardware's arithmetic in numpy, and the bit widths that it needs.

Every export is compared with it. It shares no code with Brevitas: it takes the integers of weights
and scales, and uses integer arithmetic only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int64

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga.fixedpoint import FixedPoint, Integers, narrowest, shifted

# float32, in which Brevitas and QONNX compute, holds all integers of so many bits
EXACT_BITS = 24


@dataclass(frozen=True)
class Port:
    """One input of each constituent, or of the event: its name, and a power of two that bounds it.

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
class ChannelBits:
    """The bits of a type that are kept of each channel, or of each channel in each slot.

    Of a channel's integer the lowest `dropped` bits are 0, and with its `bits` above them it
    saturates earlier than the type. A channel of 0 bits is always 0.
    """

    signed: bool
    bits: Int64[np.ndarray, "*slot channel"]
    dropped: Int64[np.ndarray, "*slot channel"]

    @property
    def lowest(self) -> Int64[np.ndarray, "*slot channel"]:
        """Smallest integer of each channel."""
        smallest = -(1 << np.maximum(self.bits - 1, 0)) << self.dropped
        return np.where(self.signed & (self.bits > 0), smallest, 0)

    @property
    def highest(self) -> Int64[np.ndarray, "*slot channel"]:
        """Largest integer of each channel."""
        return ((1 << np.maximum(self.bits - self.signed, 0)) - 1) << self.dropped

    def __call__(
        self, integers: Int64[np.ndarray, "*event channel"]
    ) -> Int64[np.ndarray, "*event channel"]:
        """Return integers of the type with these bits alone: rounded down, saturated."""
        return np.clip(integers >> self.dropped << self.dropped, self.lowest, self.highest)


@dataclass(frozen=True, eq=False)
class Layer:
    """Integer weights, the bias at the accumulator's scale, and the types of input and output.

    An output type without sign makes the rounding a ReLU as well. `kept`, if any, are the bits of
    the output type that each channel has. Where the slots of an event have weights, biases or bits
    of their own, the slot is their first axis.
    """

    name: str
    weight: Int64[np.ndarray, "*slot output input"]
    weight_fraction: int
    bias: Int64[np.ndarray, "*slot output"]
    input: FixedPoint
    output: FixedPoint
    kept: ChannelBits | None = None

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
        self, weight: Int64[np.ndarray, "*slot output input"]
    ) -> tuple[Int64[np.ndarray, "*slot output"], Int64[np.ndarray, "*slot output"]]:
        """Return the lowest and the highest sum of products that weights give for any input."""
        products = weight * self.input.lowest, weight * self.input.highest
        return np.minimum(*products).sum(-1), np.maximum(*products).sum(-1)

    def __call__(
        self, values: Int64[np.ndarray, "*event input"]
    ) -> Int64[np.ndarray, "*event output"]:
        """Return the layer's outputs."""
        columns = np.swapaxes(self.weight, -1, -2)
        # with weights for each slot, each slot's values are a matrix of one row
        products = (
            (values[..., None, :] @ columns)[..., 0, :] if columns.ndim > 2 else values @ columns
        )
        total = self.output.requantize(products + self.bias, self.accumulator.fraction)
        return total if self.kept is None else self.kept(total)


@dataclass(frozen=True, eq=False)
class ChipEvents:
    """Events as integers at the ports; the masses are zeros where there is no port for them.

    `context` are the integers of the whole event's quantities, None without any.
    """

    inputs: Int64[np.ndarray, "event constituent port"]
    masses: Int64[np.ndarray, " event"]
    context: Int64[np.ndarray, "event quantity"] | None = None

    def __getitem__(self, events: slice) -> ChipEvents:
        context = None if self.context is None else self.context[events]
        return ChipEvents(self.inputs[events], self.masses[events], context)

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, eq=False)
class IntegerEncoder:
    """phi on each constituent, the sum over constituents, rho and the head, on integers.

    `ports` are the inputs of one constituent. Divided by their ranges, all are numbers of type
    `input`, so a port's integer is used as it arrives; that of a flag stands for one half. `pool`
    is the type in which the sum is kept. `read` and `pooled` are the bits that are read of each
    port and kept of each channel of the sum, if not all. `context` are the ports of quantities of
    the whole event, also of type `input`, which enter rho, or the head, behind the sum.
    """

    constituents: int
    ports: tuple[Port, ...]
    input: FixedPoint
    phi: tuple[Layer, ...]
    pool: FixedPoint
    rho: tuple[Layer, ...]
    head: Layer
    read: ChannelBits | None = None
    pooled: ChannelBits | None = None
    context: tuple[Port, ...] = ()

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

    @property
    def joined(self) -> FixedPoint:
        """Type that holds the sum as it is kept, and the context if there is any."""
        return joined(self.pool, self.input) if self.context else self.pool

    def __call__(
        self,
        inputs: Int64[np.ndarray, "event constituent port"],
        context: Int64[np.ndarray, "event quantity"] | None = None,
    ) -> Int64[np.ndarray, "event latent"]:
        """Return the integers of the latent vector for integers at the ports."""
        values: Integers = inputs if self.read is None else self.read(inputs)
        for layer in self.phi:
            values = layer(values)
        values = self.pool.requantize(values.sum(1), self.phi[-1].output.fraction)
        if self.pooled is not None:
            values = self.pooled(values)
        if context is not None and self.context:
            both = (values, self.pool), (context, self.input)
            parts = [shifted(v, self.joined.fraction - kind.fraction) for v, kind in both]
            values = np.concatenate(parts, axis=1)
        for layer in (*self.rho, self.head):
            values = layer(values)
        return values

    def with_outputs(self, count: int) -> IntegerEncoder:
        """Return the encoder with its first `count` outputs; the means are the first ones."""
        old = self.head
        kept = old.kept
        if kept is not None:
            kept = ChannelBits(kept.signed, kept.bits[:count], kept.dropped[:count])
        head = replace(old, weight=old.weight[:count], bias=old.bias[:count], kept=kept)
        return replace(self, head=head)

    def with_types_alone(self, tool: str) -> IntegerEncoder:
        """Return the encoder for a tool that knows one type for all channels and slots of a layer.

        Raises ExportError, naming the layer, where channels have bits of their own, and where
        there are inputs of the whole event.
        """
        if self.context:
            raise ExportError(
                f"{tool} has one input, the constituents, and "
                f"{', '.join(port.name for port in self.context)} enter this design behind the sum "
                "over them. Cure: fpga=rtl"
            )
        places = {"the inputs": self.read, "the sum": self.pooled}
        places |= {layer.name: layer.kept for layer in self.layers}
        shaped = [layer.name for layer in self.layers if layer.weight.ndim > 2]
        for name in [*(name for name, kept in places.items() if kept is not None), *shaped]:
            raise ExportError(
                f"{tool} has one type for all channels of a layer, and {name} has learned a width "
                "for each, down to 0 bits. Cure: fpga=rtl, or fpga.target_lut=null"
            )
        return self

    def quantize(
        self, inputs: Float[np.ndarray, "event constituent port"]
    ) -> tuple[Int64[np.ndarray, "event constituent port"], Bool[np.ndarray, "event port"]]:
        """Return inputs in the network's units as integers, and which ports clipped an event."""
        integers, clipped = self._quantize(inputs, self.ports)
        return integers, np.logical_or.reduce(clipped, axis=1)

    def quantize_context(
        self, context: Float[np.ndarray, "event quantity"]
    ) -> tuple[Int64[np.ndarray, "event quantity"], Bool[np.ndarray, "event quantity"]]:
        """Return the context in the network's units as integers, and what was clipped."""
        return self._quantize(context, self.context)

    def _quantize(
        self, values: Float[np.ndarray, "*event port"], ports: Sequence[Port]
    ) -> tuple[Int64[np.ndarray, "*event port"], Bool[np.ndarray, "*event port"]]:
        scaled: np.ndarray = values / np.array([port.range for port in ports])
        return self.input.quantize(scaled), (scaled >= 1.0) | (scaled < -1.0)


def joined(total: FixedPoint, context: FixedPoint) -> FixedPoint:
    """Return the narrowest signed type that holds all numbers of an unsigned and a signed type."""
    fraction = max(total.fraction, context.fraction)
    bits = total.bits - total.fraction + 1, context.bits - context.fraction
    return FixedPoint(True, max(bits) + fraction, fraction)
