"""The integer encoder as pipelined Verilog and VHDL by alkaid: no DSPs, one event per clock."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from alkaid.codegen import RTLModel
from alkaid.trace import to_pipeline
from jaxtyping import Int64

from anomaly_hep.fpga import multiplexing, tracing
from anomaly_hep.fpga.chipscore import ChipScore
from anomaly_hep.fpga.circuit import MASS, Circuit, Signal, refuse_constants, signals
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
    cycles: int = 1,
) -> Circuit:
    """Return the circuit of encoder, score and threshold, or thresholds that depend on the mass.

    `delay` is the longest delay allowed between two registers, in alkaid's units. An event arrives
    in `cycles` clocks. Raises ExportError where no output ever changes, or phi cannot be shared.
    """
    if cycles > 1:
        return multiplexing.trace(encoder, score, threshold, outputs, delay, cycles)
    table = threshold if isinstance(threshold, MassTable) else None
    types = tracing.port_types(encoder)
    inputs = tracing.variables(types + tracing.event_types(encoder, table))
    values = inputs[: len(types)].reshape(encoder.constituents, len(encoder.ports))
    sums = np.sum(tracing.phi(values, encoder), axis=0)
    results = tracing.results(sums, encoder, score, threshold, inputs[len(types) :], outputs)
    logic = tracing.combinational(inputs, results)
    found = signals(outputs, logic.out_qint)
    constant = not any(sum(interval.kif) for interval in logic.inp_qint)
    refuse_constants(outputs, [] if constant else found)
    names = [f"{n}.{port.name}" for n in range(encoder.constituents) for port in encoder.ports]
    names += [port.name for port in encoder.context] + [MASS] * (table is not None)
    machine = to_pipeline(logic, latency_cutoff=delay, verbose=False)
    return Circuit(
        (logic,),
        machine,
        signals(names, logic.inp_qint),
        found,
        len(machine.logic),
    )


def estimate(encoder: IntegerEncoder, score: ChipScore, delay: float, cycles: int = 1) -> Resources:
    """Return alkaid's estimate for encoder and score, without the comparison with a threshold.

    Where all constituents share phi it is traced once. Nothing is cut into a pipeline: there is no
    count of registers, and the number of stages is that which `delay` asks for.
    """
    together = encoder.constituents // cycles
    shared = all(
        layer.weight.ndim == 2 and layer.bias.ndim == 1 and _shared(layer.kept)
        for layer in encoder.phi
    ) and _shared(encoder.read)
    copies = together if shared else 1
    types = tracing.port_types(encoder)[: together * len(encoder.ports)]
    inputs = tracing.variables(types[: len(types) // copies])
    one = tracing.phi(inputs.reshape(-1, len(encoder.ports)), encoder)
    phi = tracing.combinational(inputs, one.ravel())
    late = phi.out_latency * copies
    values = tracing.between(phi.out_qint * copies, np.array(late))
    sums = np.sum(values.reshape(together, -1), axis=0)
    blocks = []
    if cycles > 1:
        blocks.append(tracing.combinational(values, sums))
        blocks.append(multiplexing.accumulator(blocks[0].out_qint, cycles))
        values = sums = tracing.between(blocks[1].out_qint)
    event = tracing.variables(tracing.event_types(encoder, None))
    total = tracing.score_of(tracing.latents(sums, encoder, event), score)
    inputs = tracing.array([*values, *event], values)
    blocks.append(tracing.combinational(inputs, tracing.array([total], values)))
    before = max(late) + (max(blocks[0].out_latency) if cycles > 1 else 0)
    behind = max(blocks[-1].out_latency)
    stages = math.ceil((before + behind) / delay)
    if cycles > 1:  # a register before and behind the sum
        stages = math.ceil(before / delay) + cycles + math.ceil(behind / delay)
    return Resources(
        tool=ESTIMATES[0],
        lut=round(copies * float(phi.cost) + sum(float(block.cost) for block in blocks)),
        ff=None,
        dsp=0,
        bram=0,
        pipeline_stages=max(1, stages),
        initiation_interval=cycles,
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
) -> Int64[np.ndarray, "clock field"]:
    """Return the integers of the inputs at the scale of each field, the mass's as they are.

    Bits that a port does not have are left out, the lowest of them without rounding. Where an event
    takes several clocks, its context and its mass come with the last part and are 0 before.
    """
    flat = events.inputs.reshape(len(events) * circuit.cycles, -1)
    fields = _at_ports(flat, encoder, circuit.inputs)
    context = events.context
    if context is not None:
        context = _at_ports(context, encoder, circuit.inputs[flat.shape[1] :])
    of_event = [np.empty((len(events), 0), np.int64) if context is None else context]
    of_event += [events.masses[:, None]] * circuit.has_mass
    known = np.hstack(of_event)
    last = np.zeros((len(events), circuit.cycles, known.shape[1]), np.int64)
    last[:, -1] = known
    return np.hstack([fields, last.reshape(len(fields), -1)])


def _at_ports(
    values: Int64[np.ndarray, "clock field"], encoder: IntegerEncoder, ports: Sequence[Signal]
) -> Int64[np.ndarray, "clock field"]:
    """Return integers of the encoder's input type at the scale of the first ports."""
    ports = ports[: values.shape[1]]
    fields = values >> np.array([encoder.input.fraction - port.type.fraction for port in ports])
    return np.where([port.type.bits > 0 for port in ports], fields, 0)


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
    timing = {"latency_in_clocks": circuit.latency, "initiation_interval": circuit.cycles}
    text = json.dumps(fields | timing | circuit.contract, indent=1)
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
