"""Estimate the hardware of a graph with FINN: a script that runs in FINN's environment.

It may import nothing of the package: FINN needs other versions of onnx and protobuf.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import shutil
import sys
import time
import types
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any


def _empty(name: str, **members: types.ModuleType) -> types.ModuleType:
    """Return an empty module in the place of one that is not installed."""
    module = sys.modules[name] = types.ModuleType(name)
    vars(module).update(members)
    return module


# FINN imports torch for the reference of one layer (LayerNorm), which no graph of ours has. Empty
# modules in its place keep gigabytes out of the environment; any use of them is an AttributeError.
_empty("torch", nn=_empty("torch.nn", functional=_empty("torch.nn.functional")))

# Only transformations are imported, never finn.builder: that needs the simulator of Vivado
# (finn.xsi) already when it is imported.
import numpy as np
from finn.analysis.fpgadataflow.dataflow_performance import dataflow_performance
from finn.analysis.fpgadataflow.res_estimation import res_estimation
from finn.transformation.fpgadataflow.annotate_cycles import AnnotateCycles
from finn.transformation.fpgadataflow.convert_to_hw.quantized_matrix_vector_activation import (
    InferQuantizedMatrixVectorActivation,
)
from finn.transformation.fpgadataflow.convert_to_hw.thresholding import InferThresholdingLayer
from finn.transformation.fpgadataflow.minimize_accumulator_width import MinimizeAccumulatorWidth
from finn.transformation.fpgadataflow.minimize_weight_bit_width import MinimizeWeightBitWidth
from finn.transformation.fpgadataflow.set_folding import SetFolding
from finn.transformation.fpgadataflow.specialize_layers import SpecializeLayers
from finn.transformation.streamline.round_thresholds import RoundAndClipThresholds
from finn.util.basic import MAX_ALLOWED_AP_INT_W
from onnx import helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.general import GiveReadableTensorNames, GiveUniqueNodeNames
from qonnx.transformation.infer_datatypes import InferDataTypes

HARDWARE = "finn.custom_op.fpgadataflow"
RESOURCES = ("LUT", "DSP", "BRAM_18K", "URAM")


def with_pooling(model: ModelWrapper) -> ModelWrapper:
    """Return the model with FINN's layer in place of the sum over a square frame.

    FINN itself converts only the mean over a frame, which it splits into this sum and a division.
    """
    (node,) = model.get_nodes_by_op_type("ReduceSum")
    shape = model.get_tensor_shape(node.input[0])
    layer = helper.make_node(
        "GlobalAccPool", node.input[:1], node.output, "GlobalAccPool", domain=HARDWARE,
        backend="fpgadataflow", NumChannels=shape[-1], PE=1, numInputVectors=shape[:-1],
        inputDataType=model.get_tensor_datatype(node.input[0]).name,
    )  # fmt: skip
    index = list(model.graph.node).index(node)
    model.graph.node.remove(node)
    model.graph.node.insert(index, layer)
    return model


def minimized(model: ModelWrapper) -> ModelWrapper:
    """Return the model with the fewest bits that its weights, thresholds and sums need."""
    for step in (
        MinimizeWeightBitWidth(), MinimizeAccumulatorWidth(), InferDataTypes(),
        RoundAndClipThresholds(), MinimizeWeightBitWidth(), InferDataTypes(),
    ):  # fmt: skip
        model = model.transform(step)
    return model


def converted(model: ModelWrapper) -> ModelWrapper:
    """Return the model in hardware layers.

    Thresholds stay thresholds: FINN's default makes those of 9 bits and more a multiplication
    (Requant), whose factor it writes into the RTL with six decimals. That is not exact.
    """
    for step in (
        InferThresholdingLayer(), InferQuantizedMatrixVectorActivation(), GiveUniqueNodeNames(),
        GiveReadableTensorNames(), InferDataTypes(),
    ):  # fmt: skip
        model = model.transform(step)
    unconverted = [node.name for node in model.graph.node if node.domain != HARDWARE]
    if unconverted:
        raise SystemExit(f"FINN has no hardware layer for {', '.join(unconverted)}")
    return minimized(model)


def folded(model: ModelWrapper, cycles: int, part: str) -> ModelWrapper:
    """Return the model in layers for a device, parallel enough for one event in `cycles`."""
    for step in (SpecializeLayers(part), GiveUniqueNodeNames()):
        model = model.transform(step)
    # the widest stream of weights that FINN can build: its default of 36 bits stops at 6 weights
    folding = SetFolding(cycles, MAX_ALLOWED_AP_INT_W, two_pass_relaxation=True)
    return minimized(model.transform(folding))


def executable(model: ModelWrapper) -> ModelWrapper:
    """Return a copy whose layers run in Python: those of HLS would need its compiler."""
    result = copy.deepcopy(model)
    for node in result.graph.node:
        node.op_type = node.op_type.removesuffix("_hls").removesuffix("_rtl")
        node.domain = HARDWARE
    return result


def equal_events(model: ModelWrapper, name: str, events: Mapping[str, Any]) -> int:
    """Return how many events have the expected integers; stop unless all of them have."""
    source, target = model.graph.input[0].name, model.graph.output[0].name
    equal = [
        np.array_equal(execute_onnx(model, {source: frame[None]})[target].ravel(), expected)
        for frame, expected in zip(events["inputs"], events["outputs"], strict=True)
    ]
    if not all(equal):
        raise SystemExit(
            f"checkpoint {name}: only {sum(equal)} of {len(equal)} events have the expected "
            f"integers; the first other one is event {equal.index(False)}"
        )
    return sum(equal)


def estimates(model: ModelWrapper, clock_ns: float, part: str) -> dict[str, Any]:
    """Return FINN's analytic estimates: cycles and resources, in total and for every layer."""
    model = model.transform(AnnotateCycles())
    performance = model.analysis(dataflow_performance)
    resources = model.analysis(partial(res_estimation, fpgapart=part))
    layers = []
    for node in model.graph.node:
        layer = getCustomOp(node)
        known = layer.get_nodeattr_types()
        layers.append(
            {"name": node.name, "cycles": layer.get_nodeattr("cycles_estimate")}
            | {key: layer.get_nodeattr(key) for key in ("PE", "SIMD") if key in known}
            | {key: int(resources[node.name].get(key, 0)) for key in RESOURCES}
        )
    interval, depth = int(performance["max_cycles"]), int(performance["critical_path_cycles"])
    return {
        "interval_cycles": interval,
        "rate": 1e9 / clock_ns / interval,
        "critical_path_cycles": depth,
        "latency_ns": depth * clock_ns,
        "slowest_layer": performance["max_cycles_node_name"],
        "resources": {key: sum(layer[key] for layer in layers) for key in RESOURCES},
        "layers": layers,
    }


def stitched_ip(model: ModelWrapper, clock_ns: float, part: str) -> str:
    """Return the directory of the stitched IP, built by Vivado and Vitis HLS.

    FINN also wants its HLS library, which `finn deps update` fetches.
    """
    from finn.transformation.fpgadataflow.create_stitched_ip import CreateStitchedIP
    from finn.transformation.fpgadataflow.hlssynth_ip import HLSSynthIP
    from finn.transformation.fpgadataflow.insert_dwc import InsertDWC
    from finn.transformation.fpgadataflow.insert_fifo import InsertFIFO
    from finn.transformation.fpgadataflow.prepare_ip import PrepareIP

    # the layers are a chain: FIFOs as shallow as possible slow it down, but cannot block it
    for step in (
        InsertDWC(), InsertFIFO(create_shallow_fifos=True), SpecializeLayers(part),
        GiveUniqueNodeNames(), GiveReadableTensorNames(), PrepareIP(part, clock_ns), HLSSynthIP(),
        CreateStitchedIP(part, clock_ns),
    ):  # fmt: skip
        model = model.transform(step)
    return model.get_metadata_prop("vivado_stitch_proj")


def main() -> None:
    """Read the graph and the events, write the estimates."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("graph", "events", "result"):
        parser.add_argument(name, type=Path)
    for name, form in (("cycles", int), ("clock-ns", float), ("part", str), ("build", Path)):
        parser.add_argument(f"--{name}", type=form, required=True)
    arguments = parser.parse_args()
    events = np.load(arguments.events)
    model = ModelWrapper(str(arguments.graph))
    equal, seconds = {"graph": equal_events(model, "graph", events)}, {}

    started = time.perf_counter()
    model = converted(with_pooling(model))
    seconds["hardware_layers"] = time.perf_counter() - started
    equal["hardware_layers"] = equal_events(model, "hardware_layers", events)

    started = time.perf_counter()
    model = folded(model, arguments.cycles, arguments.part)
    seconds["folded"] = time.perf_counter() - started
    equal["folded"] = equal_events(executable(model), "folded", events)

    result = estimates(model, arguments.clock_ns, arguments.part)
    result |= {"version": version("finn-plus"), "checkpoints": equal, "seconds": seconds}
    result["stitched_ip"] = None
    tools = [shutil.which(name) for name in ("vivado", "vitis_hls")]
    if "XILINX_VIVADO" in os.environ and all(tools):
        arguments.build.mkdir(parents=True, exist_ok=True)
        os.environ["FINN_BUILD_DIR"] = str(arguments.build.absolute())
        result["stitched_ip"] = stitched_ip(model, arguments.clock_ns, arguments.part)
    arguments.result.write_text(json.dumps(result, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
