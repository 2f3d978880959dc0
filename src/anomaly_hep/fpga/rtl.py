"""The integer encoder as pipelined Verilog and VHDL by alkaid: no DSPs, one event per clock."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from alkaid.codegen import RTLModel
from alkaid.trace import FVArray, to_pipeline
from jaxtyping import Int64

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga import tracing
from anomaly_hep.fpga.chipscore import ChipScore
from anomaly_hep.fpga.circuit import MASS, Circuit, signals
from anomaly_hep.fpga.design_settings import Output
from anomaly_hep.fpga.fixedpoint import exact_integers
from anomaly_hep.fpga.integers import ChipEvents, IntegerEncoder
from anomaly_hep.fpga.masstable import MassTable
from anomaly_hep.fpga.resources import ESTIMATES, Resources

NAME = "trigger"
LANGUAGES = ("verilog", "vhdl")


def trace(
    encoder: IntegerEncoder,
    score: ChipScore,
    threshold: int | MassTable,
    outputs: Sequence[Output],
    delay: float,
) -> Circuit:
    """Return the circuit of encoder, score and threshold, or thresholds that depend on the mass.

    `delay` is the longest delay allowed between two registers, in alkaid's units.
    """
    table = threshold if isinstance(threshold, MassTable) else None
    types = tracing.port_types(encoder)
    inputs = tracing.variables(types + ([] if table is None else [table.mass]))
    values = inputs[: len(types)].reshape(encoder.constituents, len(encoder.ports))
    sums = np.sum(tracing.phi(values, encoder), axis=0)
    results = _results(sums, encoder, score, threshold, inputs[-1], outputs)
    logic = tracing.combinational(inputs, results)
    names = [f"{n}.{port.name}" for n in range(encoder.constituents) for port in encoder.ports]
    return Circuit(
        logic,
        to_pipeline(logic, latency_cutoff=delay, verbose=False),
        signals([*names, *[MASS] * (table is not None)], logic.inp_qint),
        _outputs(outputs, logic),
    )


def _results(
    sums: FVArray,
    encoder: IntegerEncoder,
    score: ChipScore,
    threshold: int | MassTable,
    mass: Any,
    outputs: Sequence[Output],
) -> FVArray:
    """Return the outputs for the sums over constituents."""
    total = tracing.score_of(tracing.latents(sums, encoder), score)
    available = {"score": total, **tracing.decided(total, score, threshold, mass)}
    return tracing.array([available[name] for name in outputs], sums)


def _outputs(names: Sequence[Output], logic: Any) -> tuple[Any, ...]:
    """Return the output fields; raises ExportError if there is none of any bit."""
    found = signals(names, logic.out_qint)
    if not any(signal.type.bits for signal in found):
        raise ExportError(
            f"{' and '.join(names)} would be the same for every event, and no wire leaves the "
            "chip. Cure: train the encoder longer, or another fpga.rejection"
        )
    return found


def estimate(encoder: IntegerEncoder, score: ChipScore, delay: float) -> Resources:
    """Return alkaid's estimate for encoder and score, without the comparison with a threshold.

    Where all constituents share phi it is traced once. Nothing is cut into a pipeline: there is no
    count of registers, and the number of stages is that which `delay` asks for.
    """
    shared = all(
        layer.weight.ndim == 2 and layer.bias.ndim == 1 and _shared(layer.kept)
        for layer in encoder.phi
    ) and _shared(encoder.read)
    copies = encoder.constituents if shared else 1
    types = tracing.port_types(encoder)
    inputs = tracing.variables(types[: len(types) // copies])
    one = tracing.phi(inputs.reshape(-1, len(encoder.ports)), encoder)
    phi = tracing.combinational(inputs, one.ravel())
    low, high, step = np.tile(np.array(phi.out_qint).T, copies)
    late = np.tile(np.array(phi.out_latency), copies)
    values = FVArray.from_lhs(
        low, high, step, inputs.hwconf, late, solver_options=inputs.solver_options
    )
    sums = np.sum(values.reshape(encoder.constituents, -1), axis=0)
    total = tracing.score_of(tracing.latents(sums, encoder), score)
    rest = tracing.combinational(values, tracing.array([total], values))
    return Resources(
        tool=ESTIMATES[0],
        lut=round(copies * float(phi.cost) + float(rest.cost)),
        ff=None,
        dsp=0,
        bram=0,
        pipeline_stages=max(1, math.ceil((max(late) + max(rest.out_latency)) / delay)),
        initiation_interval=1,
    )


def _shared(kept: Any) -> bool:
    return kept is None or kept.bits.ndim == 1


def interpret(
    circuit: Circuit, encoder: IntegerEncoder, events: ChipEvents
) -> dict[str, Int64[np.ndarray, " event"]]:
    """Return each output's integers from alkaid's interpreter of the traced logic."""
    fields = port_fields(circuit, encoder, events)
    outputs = circuit.predict(fields * np.array([s.type.lsb for s in circuit.inputs]))
    return {
        signal.name: exact_integers(outputs[:, column], signal.type.fraction, signal.name)
        for column, signal in enumerate(circuit.outputs)
    }


def port_fields(
    circuit: Circuit, encoder: IntegerEncoder, events: ChipEvents
) -> Int64[np.ndarray, "event field"]:
    """Return the integers of the inputs at the scale of each field, the mass's as they are.

    Bits that a port does not have are left out, the lowest of them without rounding.
    """
    flat = events.inputs.reshape(len(events), -1)
    signals = circuit.inputs[: flat.shape[1]]
    fields = flat >> np.array([encoder.input.fraction - s.type.fraction for s in signals])
    fields = np.where([s.type.bits > 0 for s in signals], fields, 0)
    return np.column_stack([fields, events.masses]) if circuit.has_mass else fields


def write(circuit: Circuit, directory: Path, part: str, clock_ns: float) -> None:
    """Write complete projects verilog/ and vhdl/ into a directory, and ports.json beside them."""
    for language in LANGUAGES:
        RTLModel(
            circuit.machine,
            directory / language,
            NAME,
            flavor=language,
            part_name=part,
            clock_period=clock_ns,
            ternary_fuse=False,
        ).write()
        _forbid_dsps(directory / language / "src" / "static")
    fields = {
        side: [
            {
                "name": s.name,
                "high_bit": s.low + s.type.bits - 1,
                "low_bit": s.low,
                "type": str(s.type),
            }
            for s in fields
        ]
        for side, fields in (("model_inp", circuit.inputs), ("model_out", circuit.outputs))
    }
    text = json.dumps(fields | {"latency_in_clocks": circuit.latency}, indent=1)
    (directory / "ports.json").write_text(text + "\n", encoding="utf-8")


def _forbid_dsps(directory: Path) -> None:
    """Make Vivado build the squares from logic cells, which is what the estimates count."""
    changes = {
        "multiplier.v": ("module multiplier", '(* use_dsp = "no" *) module multiplier'),
        "multiplier.vhd": (
            "architecture rtl of multiplier is",
            """architecture rtl of multiplier is
    attribute use_dsp : string;
    attribute use_dsp of rtl : architecture is "no";""",
        ),
    }
    for name, (before, after) in changes.items():
        path = directory / name
        if path.exists():
            text = path.read_text(encoding="utf-8")
            assert text.count(before) == 1, "alkaid's multiplier has changed"
            path.write_text(text.replace(before, after), encoding="utf-8")
