"""The integer encoder as pipelined Verilog and VHDL by da4ml: no DSPs, one event per clock."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from da4ml.codegen import VerilogModel, VHDLModel
from da4ml.trace import FixedVariableArray, HWConfig, comb_trace, to_pipeline
from da4ml.trace.ops import quantize, relu
from da4ml.types import minimal_kif
from jaxtyping import Int64

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga.chipscore import TABLE, ChipScore
from anomaly_hep.fpga.design_settings import Output
from anomaly_hep.fpga.fixedpoint import FixedPoint, exact_integers
from anomaly_hep.fpga.integers import ChipEvents, IntegerEncoder, Layer
from anomaly_hep.fpga.masstable import MassTable
from anomaly_hep.fpga.resources import Resources

NAME = "trigger"
_MASS = "mass"
WRITERS = {"verilog": VerilogModel, "vhdl": VHDLModel}
# how far da4ml may go beyond the shallowest adder tree to save adders
_SOLVER = {"hard_dc": 2}
# da4ml's plain cost model: a carry chain costs one unit of delay per six bits
_COST_MODEL = HWConfig(1, -1, -1)


@dataclass(frozen=True)
class Signal:
    """A field of the packed input or output: its lowest bit and its type."""

    name: str
    low: int
    type: FixedPoint


@dataclass(frozen=True, eq=False)
class Circuit:
    """A design as da4ml traced it: its logic, cut into a pipeline, and the fields of its ports."""

    logic: Any
    pipeline: Any
    inputs: tuple[Signal, ...]
    outputs: tuple[Signal, ...]

    @property
    def has_mass(self) -> bool:
        """Whether the last input is the mass."""
        return self.inputs[-1].name == _MASS

    @property
    def latency(self) -> int:
        """Clocks from an event's arrival in the first register to its result in the last."""
        return len(self.pipeline.solutions)

    @property
    def estimate(self) -> Resources:
        """Resources as da4ml estimates them: nothing is placed, and no clock is promised."""
        return Resources(
            tool="da4ml estimate",
            lut=round(float(self.logic.cost)),
            ff=int(self.pipeline.reg_bits),
            dsp=0,
            bram=0,
            pipeline_stages=self.latency,
            initiation_interval=1,
        )


def trace(
    encoder: IntegerEncoder,
    score: ChipScore,
    threshold: int | MassTable,
    outputs: Sequence[Output],
    delay: float,
) -> Circuit:
    """Return the circuit of encoder, score and threshold, or thresholds that depend on the mass.

    `delay` is the longest delay allowed between two registers, in da4ml's units.
    """
    table = threshold if isinstance(threshold, MassTable) else None
    inputs = _inputs(encoder, table)
    constituents = encoder.constituents * len(encoder.ports)
    values = inputs[:constituents].reshape(encoder.constituents, len(encoder.ports))
    for layer in encoder.phi:
        values = _layer(values, layer)
    values = _rounded(np.sum(values, axis=0), encoder.pool)
    mass = constituents + len(encoder.context)
    if encoder.context:
        values = np.concatenate([values, inputs[constituents:mass]])
    for layer in (*encoder.rho, encoder.head):
        values = _layer(values, layer)
    total = _score(values, score)
    if isinstance(threshold, MassTable):
        decided = _decided(total, inputs[mass], score, threshold)
    else:
        decided = {"decision": total > threshold * 2.0**-score.fraction}
    available = {"score": total, **decided}
    results = FixedVariableArray(
        np.array([available[name] for name in outputs]), inputs.solver_options, hwconf=inputs.hwconf
    )
    logic = comb_trace(inputs, results)
    signals = _signals(outputs, logic.out_qint)
    if not any(signal.type.bits for signal in signals):
        raise ExportError(
            f"{' and '.join(outputs)} would be the same for every event, and no wire leaves the "
            "chip. Cure: train the encoder longer, or another fpga.rejection"
        )
    ports = [f"{n}.{port.name}" for n in range(encoder.constituents) for port in encoder.ports]
    ports += [port.name for port in encoder.context] + [_MASS] * (table is not None)
    return Circuit(
        logic,
        to_pipeline(logic, delay, verbose=False),
        _signals(ports, logic.inp_qint),
        signals,
    )


def _decided(total: Any, mass: Any, score: ChipScore, table: MassTable) -> dict[str, Any]:
    """Return quantile and decision: the score is compared with the threshold of each level."""
    # da4ml takes no table whose entries are all the same
    passes = [
        total > (mass.lookup(column) if np.ptp(column) else float(column[0]))
        for column in table.thresholds.T * 2.0**-score.fraction
    ]
    quantile = passes[0]
    for passed in passes[1:]:
        quantile = quantile + passed
    return {"quantile": quantile, "decision": passes[table.deciding]}


def _inputs(encoder: IntegerEncoder, table: MassTable | None) -> FixedVariableArray:
    """Return the inputs as da4ml's variables, the mass last if there is a table for it.

    A flag is one wire that stands for one half.
    """
    types = [FixedPoint(False, 1, 1) if port.flag else encoder.input for port in encoder.ports]
    types = types * encoder.constituents + [encoder.input] * len(encoder.context)
    types += [] if table is None else [table.mass]
    bits = (np.array(column) for column in zip(*map(_kif, types), strict=True))
    return FixedVariableArray.from_kif(*bits, hwconf=_COST_MODEL, solver_options=_SOLVER)


def _kif(number: FixedPoint) -> tuple[int, int, int]:
    """Return a type as da4ml writes it: sign bit, integer bits and fractional bits."""
    return int(number.signed), number.bits - number.signed - number.fraction, number.fraction


def _rounded(values: FixedVariableArray, number: FixedPoint) -> FixedVariableArray:
    if not number.signed:
        values = relu(values)
    return quantize(values, *_kif(number), "SAT", "TRN")


def _layer(values: FixedVariableArray, layer: Layer) -> FixedVariableArray:
    total = values @ (layer.weight.T * 2.0**-layer.weight_fraction)
    if layer.bias.any():
        total = total + layer.bias * 2.0**-layer.accumulator.fraction
    return _rounded(total, layer.output)


def _score(latents: FixedVariableArray, score: ChipScore) -> Any:
    if score.name == "squared":
        return np.sum(latents * latents, axis=0)
    dimensions = score.outputs // 2
    mean, log_variance = latents[:dimensions], latents[dimensions:]
    exponential = quantize(np.exp(log_variance), *_kif(TABLE), "SAT", "TRN")
    return np.sum(mean * mean, axis=0) + np.sum(exponential - log_variance, axis=0)


def _signals(names: Sequence[str], intervals: Sequence[Any]) -> tuple[Signal, ...]:
    """Return the fields of a packed port, the first name in the lowest bits.

    da4ml leaves out bits that never change: fields are narrow, and some have no bit at all.
    """
    signals, low = [], 0
    for name, interval in zip(names, intervals, strict=True):
        sign, before, behind = (int(v) for v in minimal_kif(interval))
        bits = sign + before + behind
        signals.append(Signal(name, low, FixedPoint(bool(sign), bits, behind)))
        low += bits
    return tuple(signals)


def interpret(
    circuit: Circuit, encoder: IntegerEncoder, events: ChipEvents
) -> dict[str, Int64[np.ndarray, " event"]]:
    """Return each output's integers from da4ml's interpreter of the traced logic."""
    values = encoder.input.real(events.inputs).reshape(len(events), -1)
    if events.context is not None:
        values = np.column_stack([values, encoder.input.real(events.context)])
    if circuit.has_mass:
        values = np.column_stack([values, circuit.inputs[-1].type.real(events.masses)])
    outputs = np.asarray(circuit.logic.predict(values), np.float64)
    return {
        signal.name: exact_integers(outputs[:, column], signal.type.fraction, signal.name)
        for column, signal in enumerate(circuit.outputs)
    }


def write(circuit: Circuit, directory: Path, part: str, clock_ns: float) -> None:
    """Write complete projects verilog/ and vhdl/ into a directory, and ports.json beside them."""
    for flavour, writer in WRITERS.items():
        with warnings.catch_warnings():
            # da4ml does not close the files that it writes
            warnings.simplefilter("ignore", ResourceWarning)
            writer(
                circuit.pipeline, NAME, directory / flavour, part_name=part, clock_period=clock_ns
            ).write()
        _forbid_dsps(directory / flavour / "src" / "static")
        for table in (directory / flavour / "src" / "memfiles").iterdir():
            # Verilator 5.006 does not read the last word unless a line end follows it
            table.write_text(table.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    fields = {
        side: [
            {
                "name": s.name,
                "high_bit": s.low + s.type.bits - 1,
                "low_bit": s.low,
                "type": str(s.type),
            }
            for s in signals
        ]
        for side, signals in (("model_inp", circuit.inputs), ("model_out", circuit.outputs))
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
            assert text.count(before) == 1, "da4ml's multiplier has changed"
            path.write_text(text.replace(before, after), encoding="utf-8")
