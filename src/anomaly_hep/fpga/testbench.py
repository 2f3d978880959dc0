"""The test bench that is delivered with the firmware, and its run in Verilator.

It reads one event per clock from a file and compares the results with those of another file. A
firmware engineer can run the same bench in any simulator.
"""

from __future__ import annotations

import os
import resource
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

import numpy as np
from jaxtyping import Int64, UInt8

from anomaly_hep.atomic import write_text
from anomaly_hep.errors import ExportError, MissingToolError
from anomaly_hep.fpga import programs, rtl
from anomaly_hep.fpga.circuit import Circuit, Signal
from anomaly_hep.fpga.integers import ChipEvents, IntegerEncoder
from anomaly_hep.fpga.rtl import NAME

_BUILD = "build"
_BENCH = Template(Path(__file__).with_name("testbench.v.template").read_text(encoding="utf-8"))


def write(
    circuit: Circuit,
    encoder: IntegerEncoder,
    directory: Path,
    events: ChipEvents,
    expected: Mapping[str, Int64[np.ndarray, " event"]],
    clock_ns: float,
) -> None:
    """Write trigger_bench.v, inputs.hex and expected.hex into a directory.

    `expected` holds the integers of each output at the scale of its field.
    """
    text = _BENCH.substitute(
        name=NAME,
        events=len(events),
        latency=circuit.latency,
        input_high=_width(circuit.inputs) - 1,
        output_high=_width(circuit.outputs) - 1,
        half_period=clock_ns / 2,
    )
    write_text(directory / f"{NAME}_bench.v", text)
    fields = rtl.port_fields(circuit, encoder, events)
    write_text(directory / "inputs.hex", packed(circuit.inputs, fields))
    columns = np.stack([expected[s.name] for s in circuit.outputs], axis=1)
    write_text(directory / "expected.hex", packed(circuit.outputs, columns))


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


def has_verilator() -> bool:
    """Return whether Verilator is installed."""
    return shutil.which("verilator") is not None


def simulate(
    circuit: Circuit, project: Path, bench: Path
) -> dict[str, Int64[np.ndarray, " event"]]:
    """Simulate a Verilog project with Verilator and return the integers of each output.

    Raises MissingToolError without Verilator, ExportError when it fails.
    """
    if not has_verilator():
        raise MissingToolError(
            "Verilator is not installed, so the RTL cannot be simulated. Cure: "
            "apt-get install verilator"
        )
    for command in _commands(project, bench):
        programs.run(
            command,
            bench,
            cure="run simulate.sh there by hand; a newer Verilator may help",
            preexec_fn=_allow_large_stack,
        )
    shutil.rmtree(bench / _BUILD)
    output = bench / "outputs.hex"
    return unpacked(circuit.outputs, output.read_text(encoding="utf-8"), output)


def write_script(project: Path, bench: Path) -> None:
    """Write simulate.sh into the bench, which does the same as `simulate`."""
    lines = ["#!/bin/sh", "# Compiles the test bench with Verilator and runs it.", "set -e",
             'cd "$(dirname "$0")"', "ulimit -s unlimited || true"]  # fmt: skip
    lines += map(shlex.join, _commands(project, bench))
    write_text(bench / "simulate.sh", "\n".join(lines) + "\n")


def _commands(project: Path, bench: Path) -> tuple[list[str], list[str]]:
    """Return the commands that compile and run the bench."""
    sources = sorted((project / "src").rglob("*.v"))
    sources = [path for path in sources if not path.stem.endswith("_wrapper")]
    compile_it = [
        *("verilator", "--binary", "--timing", "-j", "2", "-O3", "-Wno-fatal", "-Wno-lint"),
        # alkaid's sources name a message that Verilator 5.006 (Debian 12) does not know yet
        "-Wfuture-WIDTHTRUNC",
        # one C++ function for a whole stage takes the compiler many minutes
        *("--output-split", "20000", "--output-split-cfuncs", "2000"),
        *("-CFLAGS", "-O1", "--Mdir", _BUILD, "--top-module", f"{NAME}_bench"),
        *(os.path.relpath(path, bench) for path in sources),
        f"{NAME}_bench.v",
    ]
    return compile_it, [f"./{_BUILD}/V{NAME}_bench"]


def _allow_large_stack() -> None:
    # wide designs keep their wires on the stack and overrun the usual 8 MB
    _, hard = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (hard, hard))
