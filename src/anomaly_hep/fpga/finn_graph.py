"""The encoder in FINN's dialect of ONNX: integer matrices, and thresholds for every rounding.

A rounding down that saturates is a count of thresholds: the output reaches k where the sum of
products reaches a known integer. FINN converts Quant nodes to thresholds only where they round to
nearest, so the thresholds are written here, and are exact by construction.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32, Int64
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.general.multithreshold import multithreshold

from anomaly_hep.fpga.fixedpoint import FixedPoint, Integers, bits_for, shifted, whole
from anomaly_hep.fpga.integers import IntegerEncoder, Layer

_CHUNK = 250  # events executed at a time
INPUT, OUTPUT = "constituents", "latent"
# Versions that FINN's older onnx and onnxruntime read too.
_IR, _OPSET = 9, 17
_DOMAIN, _LAYOUT = "qonnx.custom_op.general", "NHWC"


def side(encoder: IntegerEncoder) -> int:
    """Return the side of the square on which the constituents lie.

    FINN's only sum over a frame (AccPool_Batch of finn-hlslib) takes square frames. Places beyond
    the constituents are zero, and phi(0) = 0, so they add nothing.
    """
    return math.isqrt(encoder.constituents - 1) + 1


def framed(
    encoder: IntegerEncoder, inputs: Int64[np.ndarray, "event constituent port"]
) -> Float32[np.ndarray, "event row column port"]:
    """Return the integers of events on squares, as the float32 that QONNX computes in."""
    edge = side(encoder)
    frame = np.zeros((len(inputs), edge * edge, inputs.shape[2]), np.float32)
    frame[:, : inputs.shape[1]] = inputs
    return frame.reshape(len(inputs), edge, edge, -1)


def dialect(encoder: IntegerEncoder, events: int = 1) -> ModelProto:
    """Return the graph: events x row x column x port to events x 1 x 1 x latent, all integers."""
    edge = side(encoder)
    parts = _Parts((events, edge, edge, len(encoder.ports)), encoder.input)
    for layer in encoder.phi:
        parts.layer(layer)
    parts.sum(encoder.sum)
    step = np.array([_first_to_reach(encoder.pool, encoder.sum.fraction)])
    parts.thresholds("pool", step, encoder.sum, encoder.pool)
    for layer in (*encoder.rho, encoder.head):
        parts.layer(layer)
    return parts.model()


def thresholds(layer: Layer) -> Int64[np.ndarray, "output threshold"]:
    """Return the smallest sums of products, without bias, at which each output goes up by one.

    The weights are those of `reduced`. Without bias all outputs share one row.
    """
    weight, divisor = reduced(layer)
    bias = layer.bias if layer.bias.any() else layer.bias[:1]
    steps = _first_to_reach(layer.output, layer.accumulator.fraction)
    low, high = _bounds(weight, layer.input)
    # beyond the bounds a threshold is always or never reached; cut there, float32 holds it exactly
    return np.clip(-((bias[:, None] - steps) // divisor), low, high + 1)


def reduced(layer: Layer) -> tuple[Int64[np.ndarray, "output input"], int]:
    """Return the weights divided by their greatest common divisor, and the divisor."""
    divisor = max(int(np.gcd.reduce(layer.weight, axis=None)), 1)
    return layer.weight // divisor, divisor


def execute(
    encoder: IntegerEncoder, inputs: Int64[np.ndarray, "event constituent port"]
) -> Int64[np.ndarray, "event latent"]:
    """Return the integers that the graph computes for integers at the ports."""
    model = dialect(encoder, _CHUNK)
    frames = framed(encoder, inputs)
    spare = -len(frames) % _CHUNK
    frames = np.concatenate([frames, np.zeros_like(frames, shape=(spare, *frames.shape[1:]))])
    # not qonnx's execute_onnx: its onnxruntime refuses the nodes that a newer onnx writes
    run = ReferenceEvaluator(model, new_ops=[MultiThreshold]).run
    found = [run(None, {INPUT: part})[0] for part in np.split(frames, len(frames) // _CHUNK)]
    outputs = np.concatenate(found).reshape(len(frames), -1)[: len(inputs)]
    return whole(outputs, 0, "FINN's graph")


def _first_to_reach(output: FixedPoint, fraction: int) -> Int64[np.ndarray, " threshold"]:
    """Return the smallest integers at which every output but the lowest is reached.

    They have `fraction` bits behind the point.
    """
    outputs = np.arange(output.lowest + 1, output.highest + 1)
    # the ceiling: rounding down reaches an output only when all of it is there
    return -shifted(-outputs, fraction - output.fraction)


def _bounds(weight: Int64[np.ndarray, "output input"], values: FixedPoint) -> tuple[int, int]:
    products = weight * values.lowest, weight * values.highest
    return int(np.minimum(*products).sum(1).min()), int(np.maximum(*products).sum(1).max())


class MultiThreshold(OpRun):  # type: ignore[misc] # onnx has no types
    """QONNX's operator for the reference evaluator of ONNX."""

    op_domain = _DOMAIN

    def _run(
        self, values: Float32[np.ndarray, ...], steps: Float32[np.ndarray, "channel step"],
        **_: object,
    ) -> tuple[Float32[np.ndarray, ...]]:  # fmt: skip
        counts = multithreshold(values, steps, out_bias=self.out_bias, channels_last=True)
        return (counts.astype(np.float32),)


class _Parts:
    """A chain of nodes that grows at its end, with the shape and type of its last tensor."""

    def __init__(self, shape: tuple[int, ...], kind: FixedPoint) -> None:
        self.shape = shape
        self.tensors = [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)]
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.types = {INPUT: kind}
        self.last = INPUT

    def layer(self, layer: Layer) -> None:
        """Add a product with integer weights, and the thresholds of bias, shift and saturation."""
        weight, _ = reduced(layer)
        # FINN's RTL multiplies by signed weights of two bits or more
        self.types[f"{layer.name}.weight"] = bits_for(min(int(weight.min()), -2), int(weight.max()))
        self._add("MatMul", layer.name, "weight", weight.T, (*self.shape[:-1], len(weight)))
        low, high = _bounds(weight, layer.input)
        self.thresholds(layer.name, thresholds(layer), bits_for(min(low, 0), high), layer.output)

    def sum(self, kind: FixedPoint) -> None:
        """Add the sum over the frame."""
        shape = (self.shape[0], 1, 1, self.shape[3])
        self._add("ReduceSum", "sum", "axes", np.array([1, 2]), shape, keepdims=1)
        self.types[self.last] = kind

    def thresholds(self, name: str, steps: Integers, kind: FixedPoint, output: FixedPoint) -> None:
        """Add a count of thresholds on sums of type `kind`."""
        self.types[self.last] = kind
        low, high = int(min(steps.min(), 0)), int(steps.max())
        self.types[f"{name}.thresholds"] = bits_for(low, high)
        self._add(
            "MultiThreshold", name, "thresholds", steps, self.shape,
            domain=_DOMAIN, out_dtype=_name(output),
            out_bias=float(output.lowest), data_layout=_LAYOUT,
        )  # fmt: skip
        self.types[self.last] = output

    def _add(
        self, kind: str, name: str, role: str, constant: Integers, shape: tuple[int, ...],
        **attributes: object,
    ) -> None:  # fmt: skip
        form = np.int64 if role == "axes" else np.float32
        constant_name, output = f"{name}.{role}", f"{name}.{kind}"
        self.constants.append(numpy_helper.from_array(constant.astype(form), constant_name))
        self.nodes.append(
            helper.make_node(kind, [self.last, constant_name], [output], output, **attributes)
        )
        self.last, self.shape = output, shape
        self.tensors.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, shape))

    def model(self) -> ModelProto:
        """Return the graph, every tensor with its shape and its integer type."""
        self.nodes[-1].output[0] = self.tensors[-1].name = OUTPUT
        self.types[OUTPUT] = self.types.pop(self.last)
        graph = helper.make_graph(
            self.nodes,
            "encoder",
            self.tensors[:1],
            self.tensors[-1:],
            self.constants,
            value_info=self.tensors[1:-1],
        )
        domains = [
            helper.make_opsetid("", _OPSET),
            helper.make_opsetid(_DOMAIN, 1),
        ]
        model = helper.make_model(graph, ir_version=_IR, opset_imports=domains)
        wrapper = ModelWrapper(model)
        for tensor, kind in self.types.items():
            wrapper.set_tensor_datatype(tensor, DataType[_name(kind)])
        for tensor in self.tensors:
            wrapper.set_tensor_layout(tensor.name, list(_LAYOUT))
        return wrapper.model


def _name(kind: FixedPoint) -> str:
    return f"{'' if kind.signed else 'U'}INT{kind.bits}"
