"""The encoder in FINN's dialect of ONNX: integer matrices, and thresholds for every rounding.

Rounding down with saturation is a count of thresholds: the output reaches k where the sum of
products reaches a known integer. FINN converts Quant nodes to thresholds only where they round to
nearest, so the thresholds are written here, and are exact by construction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Int64
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from qonnx.core.datatype import DataType
from qonnx.custom_op.general.multithreshold import multithreshold

from anomaly_hep.fpga.fixedpoint import (
    FixedPoint,
    Integers,
    exact_integers,
    narrowest,
    shifted,
)
from anomaly_hep.fpga.integers import IntegerEncoder, Layer
from anomaly_hep.fpga.onnx_builder import GraphBuilder

_CHUNK = 250  # events executed at a time
INPUT, OUTPUT = "constituents", "latent"
_DOMAIN, _LAYOUT = "qonnx.custom_op.general", "NHWC"
# Versions that FINN's older onnx and onnxruntime read too.
_OPERATORS, _FORMAT = {"": 17, _DOMAIN: 1}, 9


def side(encoder: IntegerEncoder) -> int:
    """Return the side of the square on which the constituents lie.

    FINN's only sum over a frame (AccPool_Batch of finn-hlslib) takes square frames. Positions
    beyond the constituents are zero, and phi(0) = 0, so they add nothing.
    """
    return math.isqrt(encoder.constituents - 1) + 1


def framed(
    encoder: IntegerEncoder, inputs: Int64[np.ndarray, "event constituent port"]
) -> Float32[np.ndarray, "event row column port"]:
    """Return integer events on square frames, in the float32 that QONNX computes in."""
    edge = side(encoder)
    frame = np.zeros((len(inputs), edge * edge, inputs.shape[2]), np.float32)
    frame[:, : inputs.shape[1]] = inputs
    return frame.reshape(len(inputs), edge, edge, -1)


def finn_graph(encoder: IntegerEncoder, events: int = 1) -> ModelProto:
    """Return the graph: events x row x column x port to events x 1 x 1 x latent, all integers.

    Raises ExportError for channels with types of their own.
    """
    encoder = encoder.with_types_alone("FINN")
    edge = side(encoder)
    graph = _Graph({INPUT: [events, edge, edge, len(encoder.ports)]})
    graph.types[INPUT] = encoder.input
    values = INPUT
    for layer in encoder.phi:
        values = graph.layer(layer, values, layer.name)
    values = graph.sum(values, encoder.sum)
    step = np.array([_first_to_reach(encoder.pool, encoder.sum.fraction)])
    values = graph.thresholds(values, step, encoder.pool, "pool")
    for layer in encoder.rho:
        values = graph.layer(layer, values, layer.name)
    graph.layer(encoder.head, values, OUTPUT)
    model = graph.model(OUTPUT, _OPERATORS, _FORMAT)
    for tensor, number in graph.types.items():
        model.set_tensor_datatype(tensor, DataType[_name(number)])
    for tensor in graph.shapes:
        model.set_tensor_layout(tensor, list(_LAYOUT))
    return model.model


def thresholds(layer: Layer) -> Int64[np.ndarray, "output threshold"]:
    """Return the smallest sums of products, without bias, at which each output goes up by one.

    The weights are those of `reduced`. Without bias all outputs share one row.
    """
    weight, divisor = reduced(layer)
    bias = layer.bias if layer.bias.any() else layer.bias[:1]
    steps = _first_to_reach(layer.output, layer.accumulator.fraction)
    low, high = layer.bounds(weight)
    # beyond the bounds a threshold is always or never reached; clipped, it is exact in float32
    return np.clip(-((bias[:, None] - steps) // divisor), low.min(), high.max() + 1)


def reduced(layer: Layer) -> tuple[Int64[np.ndarray, "output input"], int]:
    """Return the weights divided by their greatest common divisor, and the divisor."""
    divisor = max(int(np.gcd.reduce(layer.weight, axis=None)), 1)
    return layer.weight // divisor, divisor


def execute(
    encoder: IntegerEncoder, inputs: Int64[np.ndarray, "event constituent port"]
) -> Int64[np.ndarray, "event latent"]:
    """Return the integers that the graph computes for integers at the ports."""
    model = finn_graph(encoder, _CHUNK)
    frames = framed(encoder, inputs)
    padding = -len(frames) % _CHUNK
    frames = np.concatenate([frames, np.zeros_like(frames, shape=(padding, *frames.shape[1:]))])
    # not qonnx's execute_onnx: its onnxruntime refuses the nodes that a newer onnx writes
    run = ReferenceEvaluator(model, new_ops=[MultiThreshold]).run
    computed = [run(None, {INPUT: part})[0] for part in np.split(frames, len(frames) // _CHUNK)]
    outputs = np.concatenate(computed).reshape(len(frames), -1)[: len(inputs)]
    return exact_integers(outputs, 0, "FINN's graph")


def _first_to_reach(output: FixedPoint, fraction: int) -> Int64[np.ndarray, " threshold"]:
    """Return the smallest integers at which every output but the lowest is reached.

    They have `fraction` fractional bits.
    """
    outputs = np.arange(output.lowest + 1, output.highest + 1)
    # rounded up: rounding down reaches an output only at its full value
    return -shifted(-outputs, fraction - output.fraction)


class MultiThreshold(OpRun):  # type: ignore[misc] # onnx has no types
    """QONNX's operator for the reference evaluator of ONNX."""

    op_domain = _DOMAIN

    def _run(
        self, values: Float32[np.ndarray, ...], steps: Float32[np.ndarray, "channel step"],
        **_: object,
    ) -> tuple[Float32[np.ndarray, ...]]:  # fmt: skip
        counts = multithreshold(values, steps, out_bias=self.out_bias, channels_last=True)
        return (counts.astype(np.float32),)


@dataclass
class _Graph(GraphBuilder):
    """A graph whose nodes are layers of an encoder, with the integer type of each tensor."""

    types: dict[str, FixedPoint] = field(default_factory=dict)

    def layer(self, layer: Layer, source: str, output: str) -> str:
        """Append a product with integer weights, and the thresholds of bias, shift, saturation."""
        weight, _ = reduced(layer)
        product, shape = f"{layer.name}.MatMul", [*self.shapes[source][:-1], len(weight)]
        # FINN's RTL multiplies by signed weights of two bits or more
        smallest = min(int(weight.min()), -2)
        constant = self._integers(
            f"{layer.name}.weight", weight.T, narrowest(smallest, int(weight.max()))
        )
        self.node("MatMul", [source, constant], product, shape)
        low, high = layer.bounds(weight)
        self.types[product] = narrowest(min(int(low.min()), 0), int(high.max()))
        return self.thresholds(product, thresholds(layer), layer.output, output)

    def sum(self, source: str, number: FixedPoint) -> str:
        """Append the sum over the frame."""
        events, _, _, channels = self.shapes[source]
        axes = self.constant("sum.axes", np.array([1, 2]))
        self.types["sum"] = number
        return self.node("ReduceSum", [source, axes], "sum", [events, 1, 1, channels], keepdims=1)

    def thresholds(self, source: str, steps: Integers, number: FixedPoint, output: str) -> str:
        """Append the count of the thresholds that the sums reach, as numbers of a type."""
        narrow = narrowest(int(min(steps.min(), 0)), int(steps.max()))
        constant = self._integers(f"{output}.thresholds", steps, narrow)
        self.types[output] = number
        return self.node(
            "MultiThreshold", [source, constant], output, self.shapes[source],
            domain=_DOMAIN, out_dtype=_name(number),
            out_bias=float(number.lowest), data_layout=_LAYOUT,
        )  # fmt: skip

    def _integers(self, name: str, values: Integers, number: FixedPoint) -> str:
        """Append constants of an integer type, which QONNX keeps in float32."""
        self.types[name] = number
        return self.constant(name, values.astype(np.float64))


def _name(number: FixedPoint) -> str:
    return f"{'' if number.signed else 'U'}INT{number.bits}"
