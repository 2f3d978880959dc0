"""The test bench that is handed over with the firmware, and its run in Verilator.

It feeds one event per clock from a file and compares what comes out with another: what a firmware
engineer runs in any simulator is what is run here.
"""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

import numpy as np
from jaxtyping import Int64, UInt8

from anomaly_hep.atomic import write_text
from anomaly_hep.errors import ExportError, MissingToolError
from anomaly_hep.fpga.integers import IntegerEncoder
from anomaly_hep.fpga.rtl import NAME, Circuit, Signal

_BUILD = "build"
_BENCH = Template("""`timescale 1 ns / 1 ps
// One event per clock from inputs.hex; what leaves is compared with expected.hex and written to
// outputs.hex. Run it where these files and those of src/memfiles are.
module ${name}_bench;
    parameter EVENTS = $events;
    // the result of the event that is taken over at clock edge n stands after edge n + LATENCY
    parameter LATENCY = $latency;
    reg clk = 1'b0;
    reg [$input_high:0] model_inp = 0;
    wire [$output_high:0] model_out;
    reg [$input_high:0] inputs [0:EVENTS-1];
    reg [$output_high:0] expected [0:EVENTS-1];
    integer event_number, differing, file;

    $name dut (.clk(clk), .model_inp(model_inp), .model_out(model_out));

    always #$half_period clk = ~clk;

    initial begin
        $$readmemh("inputs.hex", inputs);
        $$readmemh("expected.hex", expected);
        file = $$fopen("outputs.hex", "w");
        differing = 0;
        for (event_number = 0; event_number < EVENTS + LATENCY + 1;
             event_number = event_number + 1) begin
            @(negedge clk);
            if (event_number > LATENCY) begin
                $$fdisplay(file, "%h", model_out);
                if (model_out !== expected[event_number - LATENCY - 1])
                    differing = differing + 1;
            end
            if (event_number < EVENTS) model_inp = inputs[event_number];
        end
        $$fclose(file);
        $$display("%0d of %0d events differ", differing, EVENTS);
        $$finish;
    end
endmodule
""")


def write(
    circuit: Circuit,
    encoder: IntegerEncoder,
    directory: Path,
    inputs: Int64[np.ndarray, "event constituent port"],
    expected: Mapping[str, Int64[np.ndarray, " event"]],
    clock_ns: float,
) -> None:
    """Write trigger_bench.v, inputs.hex and expected.hex into a directory.

    `expected` has the integers of each output at the scale of its field.
    """
    text = _BENCH.substitute(
        name=NAME,
        events=len(inputs),
        latency=circuit.stages,
        input_high=_width(circuit.inputs) - 1,
        output_high=_width(circuit.outputs) - 1,
        half_period=clock_ns / 2,
    )
    write_text(directory / f"{NAME}_bench.v", text)
    fields = port_fields(circuit, encoder, inputs)
    write_text(directory / "inputs.hex", packed(circuit.inputs, fields))
    columns = np.stack([expected[s.name] for s in circuit.outputs], axis=1)
    write_text(directory / "expected.hex", packed(circuit.outputs, columns))


def port_fields(
    circuit: Circuit, encoder: IntegerEncoder, inputs: Int64[np.ndarray, "event constituent port"]
) -> Int64[np.ndarray, "event field"]:
    """Return the integers on the wires: the encoder's, at the scale of each field."""
    flat = inputs.reshape(len(inputs), -1)
    places = np.array([encoder.input.fraction - s.type.fraction for s in circuit.inputs])
    return flat >> places


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
    """Return each signal's integers from hexadecimal words; raises ExportError for other text."""
    digits = -(-_width(signals) // 8) * 2
    try:
        words = bytes.fromhex("".join(line.zfill(digits) for line in text.split()))
    except ValueError as error:
        raise ExportError(
            f"{where} holds bits that are neither 0 nor 1: the design read something that it was "
            "not given. Cure: report this as a defect of the export"
        ) from error
    rows: UInt8[np.ndarray, "event byte"] = np.frombuffer(words, np.uint8).reshape(-1, digits // 2)
    bits = np.unpackbits(rows, axis=1)[:, ::-1].astype(np.int64)
    found = {}
    for signal in signals:
        part = bits[:, signal.low : signal.low + signal.type.bits]
        weights = 1 << np.arange(signal.type.bits)
        if signal.type.signed:
            weights[-1] = -weights[-1]
        found[signal.name] = part @ weights
    return found


def _width(signals: Sequence[Signal]) -> int:
    return signals[-1].low + signals[-1].type.bits


def has_verilator() -> bool:
    """Return whether Verilator is installed."""
    return shutil.which("verilator") is not None


def simulate(
    circuit: Circuit, project: Path, bench: Path
) -> dict[str, Int64[np.ndarray, " event"]]:
    """Return what the bench's Verilator simulation of a Verilog project wrote, by output.

    Raises MissingToolError without Verilator, ExportError when it fails.
    """
    if not has_verilator():
        raise MissingToolError(
            "Verilator is not installed, so the RTL cannot be simulated. Cure: "
            "apt-get install verilator"
        )
    compile_it, run_it = _commands(project, bench)
    _run(compile_it, bench)
    _run(run_it, bench)
    shutil.rmtree(bench / _BUILD)
    output = bench / "outputs.hex"
    return unpacked(circuit.outputs, output.read_text(encoding="utf-8"), output)


def write_script(project: Path, bench: Path) -> None:
    """Write simulate.sh into the bench: what `simulate` does, for any other hand."""
    lines = ["#!/bin/sh", "# Compiles the test bench with Verilator and runs it.", "set -e",
             'cd "$(dirname "$0")"', "ulimit -s unlimited || true"]  # fmt: skip
    lines += map(shlex.join, _commands(project, bench))
    write_text(bench / "simulate.sh", "\n".join(lines) + "\n")


def _commands(project: Path, bench: Path) -> tuple[list[str], list[str]]:
    """Return how to compile and to run the bench inside its directory; tables are copied there."""
    sources = sorted((project / "src").rglob("*.v"))
    sources = [path for path in sources if not path.stem.endswith("_wrapper")]
    tables = sorted((project / "src" / "memfiles").iterdir())
    if not tables:
        # its default names a file that is not there
        sources = [path for path in sources if path.stem != "lookup_table"]
    for table in tables:
        shutil.copy(table, bench)
    compile_it = [
        *("verilator", "--binary", "--timing", "-j", "2", "-O3", "-Wno-fatal", "-Wno-lint"),
        # da4ml's sources name messages that Verilator 5.006 (Debian 12) does not know yet
        *("-Wfuture-WIDTHTRUNC", "-Wfuture-WIDTHEXPAND"),
        # one C++ function for a whole stage takes the compiler many minutes
        *("--output-split", "20000", "--output-split-cfuncs", "2000"),
        *("-CFLAGS", "-O1", "--Mdir", _BUILD, "--top-module", f"{NAME}_bench"),
        *(os.path.relpath(path, bench) for path in sources),
        f"{NAME}_bench.v",
    ]
    return compile_it, [f"./{_BUILD}/V{NAME}_bench"]


def _run(command: list[str], directory: Path) -> None:
    """Run a program with as much stack as the machine allows; raises ExportError."""
    done = subprocess.run(
        command,
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_allow_large_stack,
    )
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
        raise ExportError(
            f"{Path(command[0]).name} ended with status {done.returncode}: {last}\n"
            "Cure: run it by hand in the bench's directory; a newer Verilator may help"
        )


def _allow_large_stack() -> None:
    # wide designs keep their wires on the stack and overrun the usual 8 MB
    _, hard = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (hard, hard))
