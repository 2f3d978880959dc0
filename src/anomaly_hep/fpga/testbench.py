"""The test bench that is delivered with the firmware, in Verilog and in VHDL.

It feeds the events of a file and compares the results with those of another file, in any simulator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

import numpy as np
from jaxtyping import Int64, UInt8

from anomaly_hep.atomic import write_text
from anomaly_hep.errors import ExportError
from anomaly_hep.fpga import rtl
from anomaly_hep.fpga.circuit import Circuit, Signal
from anomaly_hep.fpga.integers import ChipEvents, IntegerEncoder
from anomaly_hep.fpga.rtl import NAME

BENCH = f"{NAME}_bench"
# The lines of the benches that depend on the ports. A design that takes an event in one clock has
# no port that tells when: its bench counts the clocks.
_ONE_CLOCK = {
    "verilog_ports": f"""
    wire ready = taken[LATENCY];
    {NAME} dut (.clk(clk), .model_inp(model_inp), .model_out(model_out));
""",
    "verilog_idle": "",
    "verilog_start": "",
    "verilog_reset": "",
    "vhdl_signals": "",
    "vhdl_ports": "",
    "vhdl_ready": "taken(LATENCY)",
    "vhdl_idle": "",
    "vhdl_start": "",
    "vhdl_reset": "",
}
# One that takes several is told the first word of each by `start` and tells a result by `valid`.
# In the pause an event begins that the reset has to drop.
_IN_PARTS = {
    "verilog_ports": f"""
    reg start = 1'b0;
    reg rst = 1'b0;
    wire ready;
    {NAME} dut (.clk(clk), .rst(rst), .start(start), .valid(ready), .model_inp(model_inp),
        .model_out(model_out));
""",
    "verilog_idle": """
            start = 1'b0;
            rst = 1'b0;""",
    "verilog_start": """
                    start = 1'b1;""",
    "verilog_reset": """
                if (run == 2) begin
                    start = pause == 3;
                    rst = pause == 2;
                end""",
    "vhdl_signals": """
    signal start, rst, valid : std_logic_vector(0 downto 0) := "0";""",
    "vhdl_ports": """,
                  start => start, rst => rst, valid => valid""",
    "vhdl_ready": "valid(0)",
    "vhdl_idle": """
            start <= "0";
            rst <= "0";""",
    "vhdl_start": """
                    start <= "1";""",
    "vhdl_reset": """
                if RUN = 2 and pause = 3 then
                    start <= "1";
                elsif RUN = 2 and pause = 2 then
                    rst <= "1";
                end if;""",
}
# the share of events with a pause before them in which the pipeline runs empty
_LONG_PAUSES = 0.05


def write(
    circuit: Circuit,
    encoder: IntegerEncoder,
    directory: Path,
    events: ChipEvents,
    expected: Mapping[str, Int64[np.ndarray, " event"]],
    clock_ns: float,
) -> None:
    """Write the benches of both languages and the files that they read into a directory.

    `expected` holds the integers of each output at the scale of its field.
    """
    control = _ONE_CLOCK if circuit.cycles == 1 else _IN_PARTS
    for ending in ("v", "vhd"):
        template = Path(__file__).with_name(f"testbench.{ending}.template")
        text = Template(template.read_text(encoding="utf-8")).substitute(
            name=NAME,
            events=len(events),
            latency=circuit.latency,
            cycles=circuit.cycles,
            input_high=_width(circuit.inputs) - 1,
            output_high=_width(circuit.outputs) - 1,
            half_period=clock_ns / 2,
            **control,
        )
        write_text(directory / f"{BENCH}.{ending}", text)
    fields = rtl.port_fields(circuit, encoder, events)
    write_text(directory / "inputs.hex", packed(circuit.inputs, fields))
    columns = np.stack([expected[s.name] for s in circuit.outputs], axis=1)
    write_text(directory / "expected.hex", packed(circuit.outputs, columns))
    idle = idle_clocks(len(events), circuit.latency)
    write_text(directory / "idle.hex", "".join(f"{clocks:02x}\n" for clocks in idle))


def idle_clocks(events: int, latency: int) -> list[int]:
    """Return the idle clocks before each event: some, none, and now and then an empty pipeline.

    They are drawn at random, the same ones each time.
    """
    random = np.random.default_rng(0)
    clocks = random.integers(0, 4, events)
    clocks[random.random(events) < _LONG_PAUSES] = latency + 2
    return np.minimum(clocks, 255).tolist()


def packed(signals: Sequence[Signal], values: Int64[np.ndarray, "event field"]) -> str:
    """Return one hexadecimal word per event, each signal in its bits."""
    bits = np.zeros((len(values), -(-_width(signals) // 8) * 8), np.uint8)
    for signal, column in zip(signals, values.T, strict=True):
        for bit in range(signal.type.bits):
            bits[:, signal.low + bit] = (column >> bit) & 1
    words = np.packbits(bits[:, ::-1], axis=1)
    return "".join(row.tobytes().hex() + "\n" for row in words)


def unpacked(
    signals: Sequence[Signal], text: str, where: Path
) -> dict[str, Int64[np.ndarray, " event"]]:
    """Return each signal's integers from hexadecimal words; raises ExportError for unknown bits."""
    digits = -(-_width(signals) // 8) * 2
    try:
        words = bytes.fromhex("".join(line.zfill(digits) for line in text.split()))
    except ValueError as error:
        raise ExportError(
            f"{where} holds bits that are neither 0 nor 1: the design read an undefined "
            "signal. Cure: report this as a defect of the export"
        ) from error
    rows: UInt8[np.ndarray, "event byte"] = np.frombuffer(words, np.uint8).reshape(-1, digits // 2)
    bits = np.unpackbits(rows, axis=1)[:, ::-1].astype(np.int64)
    integers = {}
    for signal in signals:
        part = bits[:, signal.low : signal.low + signal.type.bits]
        weights = 1 << np.arange(signal.type.bits)
        if signal.type.signed:
            weights[-1] = -weights[-1]
        integers[signal.name] = part @ weights
    return integers


def _width(signals: Sequence[Signal]) -> int:
    return signals[-1].low + signals[-1].type.bits
