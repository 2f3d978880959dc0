"""ONNX graphs, written node by node in the order of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from jaxtyping import Shaped
from onnx import helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper


@dataclass
class GraphBuilder:
    """A growing graph of float32 tensors; the first of its shapes is that of the input."""

    shapes: dict[str, list[int]]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, name: str, value: Shaped[np.ndarray, ...]) -> str:
        """Add a constant and return its name; numbers become float32, integers stay what they are.

        Integers are shapes and axes: QONNX keeps the integers of a network in float32 too.
        """
        stored = value.astype(np.float32) if value.dtype == np.float64 else value
        self.constants.append(numpy_helper.from_array(stored, name))
        return name

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        output: str,
        shape: Sequence[int],
        **attributes: object,
    ) -> str:
        """Append a node, named after its output, and return that name."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        self.shapes[output] = list(shape)
        return output

    def model(self, output: str, operators: dict[str, int], file_format: int) -> ModelWrapper:
        """Return the graph up to a tensor.

        `operators` are the versions of the operators by domain, `file_format` is onnx's.
        """
        tensors = {
            name: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
            for name, shape in self.shapes.items()
        }
        first = next(iter(tensors))
        graph = helper.make_graph(
            self.nodes,
            "encoder",
            [tensors.pop(first)],
            [tensors.pop(output)],
            self.constants,
            value_info=list(tensors.values()),
        )
        return ModelWrapper(
            helper.make_model(
                graph,
                opset_imports=[helper.make_opsetid(*versions) for versions in operators.items()],
                ir_version=file_format,
                producer_name="anomaly_hep",
            )
        )
