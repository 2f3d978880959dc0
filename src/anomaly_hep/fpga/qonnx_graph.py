"""The integer encoder as a QONNX graph, the form in which tools exchange quantised networks.

It is channels-last, as hls4ml requires. phi is a convolution of width 1 and the sum over
constituents a product with ones and zeros: hls4ml silently converts a product with a matrix on
events of several rows to wrong numbers, and does not convert the sum itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import onnxruntime
from jaxtyping import Float32, Int64
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx

from anomaly_hep.atomic import atomic_path
from anomaly_hep.errors import ExportError
from anomaly_hep.fpga.fixedpoint import (
    FixedPoint,
    Integers,
    exact_integers,
    narrowest,
    power_of_two,
)
from anomaly_hep.fpga.integers import EXACT_BITS, IntegerEncoder, Layer
from anomaly_hep.fpga.onnx_builder import GraphBuilder

GENERAL = "qonnx.custom_op.general"
CHANNELS_LAST = "qonnx.custom_op.channels_last"
INPUT, TOTAL, SCORE, SCORE_SUM = "inputs", "total", "score", "score_sum"
# The version of the operators, and the oldest one of the file format that has them. A newer format
# adds nothing and excludes readers: onnx 1.23 writes one that onnxruntime 1.31 refuses.
OPERATORS, FORMAT = {"": 13, GENERAL: 1, CHANNELS_LAST: 1}, 7
BATCH = 4096
# log levels of onnxruntime: its default, and errors alone
_WARNINGS, _ERRORS = 2, 3


class _Graph(GraphBuilder):
    """A graph whose nodes are layers of an encoder, each with its rounding."""

    def quant(
        self, source: str, number: FixedPoint, output: str, shape: Sequence[int] | None = None
    ) -> str:
        """Append rounding down with saturation to a type; a constant needs its shape."""
        parameters = {"scale": number.lsb, "zero": 0.0, "bits": float(number.bits)}
        names = [self.constant(f"{output}_{n}", np.array(v)) for n, v in parameters.items()]
        return self.node(
            "Quant",
            [source, *names],
            output,
            shape or self.shapes[source],
            domain=GENERAL,
            signed=int(number.signed),
            narrow=0,
            rounding_mode="FLOOR",
        )

    def integers(self, values: Integers, fraction: int, name: str) -> str:
        """Append constants, stored as their values and declared as integers of the fewest bits."""
        narrow = narrowest(int(values.min()), int(values.max()))
        # one signed bit means -1 and 1 in QONNX, not -1 and 0
        number = FixedPoint(narrow.signed, max(narrow.bits, 1 + narrow.signed), fraction)
        source = self.constant(f"{name}_values", number.real(values))
        return self.quant(source, number, name, values.shape)

    def linear(self, layer: Layer, source: str) -> str:
        """Append a layer on whole events: product, bias, rounding."""
        name = name_of(layer)
        shape = [self.shapes[source][0], len(layer.weight)]
        weight = self.integers(layer.weight.T, layer.weight_fraction, f"{name}_weight")
        total = self.node("MatMul", [source, weight], product_of(layer), shape)
        if layer.bias.any():
            bias = self.integers(layer.bias, layer.accumulator.fraction, f"{name}_bias")
            total = self.node("Add", [total, bias], f"{name}_sum", shape)
        return self.quant(total, layer.output, name)

    def each(self, layer: Layer, source: str) -> str:
        """Append a layer on each constituent: a convolution of width 1, rounding."""
        name = name_of(layer)
        weight = self.integers(layer.weight[:, None, :], layer.weight_fraction, f"{name}_weight")
        inputs = [source, weight]
        if layer.bias.any():
            inputs.append(self.integers(layer.bias, layer.accumulator.fraction, f"{name}_bias"))
        total = self.node(
            "Conv",
            inputs,
            product_of(layer),
            [*self.shapes[source][:2], len(layer.weight)],
            domain=CHANNELS_LAST,
            kernel_shape=[1],
            strides=[1],
            dilations=[1],
            pads=[0, 0],
            group=1,
        )
        return self.quant(total, layer.output, name)

    def total(self, source: str) -> str:
        """Append the sum over constituents, as a product with ones and zeros."""
        batch, constituents, width = self.shapes[source]
        size = constituents * width
        flat = self.constant("flat", np.array([-1, size]))
        rows = self.node("Reshape", [source, flat], f"{TOTAL}_flat", [batch, size])
        ones = np.tile(np.eye(width, dtype=np.int64), (constituents, 1))
        weight = self.integers(ones, 0, f"{TOTAL}_ones")
        return self.node("MatMul", [rows, weight], TOTAL, [batch, width])

    def squares(self, source: str, score: FixedPoint) -> str:
        """Append the sum of the squares; its type must hold every such sum."""
        batch, width = self.shapes[source]
        square = self.node("Mul", [source, source], f"{SCORE}_squares", [batch, width])
        ones = self.integers(np.ones((width, 1), np.int64), 0, f"{SCORE}_ones")
        total = self.node("MatMul", [square, ones], SCORE_SUM, [batch, 1])
        return self.quant(total, score, SCORE)


def name_of(layer: Layer) -> str:
    """Return the name of a layer's output."""
    return layer.name.replace(".", "_")


def product_of(layer: Layer) -> str:
    """Return the name of the node with a layer's product, whose accumulator is the layer's."""
    return f"{name_of(layer)}_product"


def qonnx_graph(encoder: IntegerEncoder, score: FixedPoint | None = None) -> ModelWrapper:
    """Return the graph of an encoder, for one event at a time.

    Inputs of shape [1, constituent, port] and outputs [1, latent] are integers times the last
    bit's value. With `score`, the type of the chip score "squared", the graph ends in the sum of
    the latents' squares, of shape [1, 1]. Raises ExportError for a score wider than float32 holds,
    and for channels with types of their own.
    """
    encoder = encoder.with_types_alone("QONNX")
    if score is not None and score.bits > EXACT_BITS:
        raise ExportError(
            f"the score has {score.bits} bits, of which float32, the numbers of QONNX, holds "
            f"{EXACT_BITS}. Cure: export the latents without the score, or fewer output_bits"
        )
    graph = _Graph({INPUT: [1, encoder.constituents, len(encoder.ports)]})
    values = graph.quant(INPUT, encoder.input, "rounded")
    for layer in encoder.phi:
        values = graph.each(layer, values)
    values = graph.quant(graph.total(values), encoder.pool, "pool")
    for layer in (*encoder.rho, encoder.head):
        values = graph.linear(layer, values)
    if score is not None:
        values = graph.squares(values, score)
    return graph.model(values, OPERATORS, FORMAT)


def write(model: ModelWrapper, path: Path) -> None:
    """Write a graph to a file."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.model.SerializeToString())


def execute(
    model: ModelWrapper, integers: Int64[np.ndarray, "event constituent port"]
) -> Int64[np.ndarray, "event output"]:
    """Return the integers that QONNX's own execution gives for integers at the ports.

    Raises ExportError for an output that is not a whole multiple of its last bit.
    """
    inputs = (integers * _lsb(model, "rounded")).astype(np.float32)
    outputs = [_run(model, part) for part in np.split(inputs, range(BATCH, len(inputs), BATCH))]
    fraction = power_of_two(_lsb(model, model.graph.output[0].name), "the QONNX graph's output")
    return exact_integers(np.concatenate(outputs), fraction, "the QONNX graph")


def _run(
    model: ModelWrapper, inputs: Float32[np.ndarray, "event constituent port"]
) -> Float32[np.ndarray, "event output"]:
    """Return the outputs of events that pass the graph in one batch."""
    wide = ModelWrapper(model.model, make_deepcopy=True)
    per_event = {INPUT}
    for node in wide.graph.node:
        if per_event & set(node.input):
            per_event |= set(node.output)
    for tensor in (*wide.graph.input, *wide.graph.output, *wide.graph.value_info):
        if tensor.name in per_event:
            tensor.type.tensor_type.shape.dim[0].dim_value = len(inputs)
    # qonnx wraps each node in a model of onnx's newest format, whatever the graph's, and a
    # convolution in one of the oldest operators, about which onnxruntime warns
    onnxruntime.set_default_logger_severity(_ERRORS)
    try:
        with mock.patch.object(onnx, "IR_VERSION", FORMAT):
            return execute_onnx(wide, {INPUT: inputs})[wide.graph.output[0].name]
    finally:
        onnxruntime.set_default_logger_severity(_WARNINGS)


def _lsb(model: ModelWrapper, quant: str) -> float:
    """Return the value of the last bit after a rounding of the graph."""
    return float(model.get_initializer(f"{quant}_scale"))
