"""Simulations of the written RTL: Verilog by Verilator, VHDL by GHDL, on the same events.

Each feeds the events of the test bench in three ways: one per clock, with idle clocks between them,
and with a pause in the middle in which the input is undefined and the pipeline runs empty.
"""

from __future__ import annotations

import os
import resource
import shlex
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from anomaly_hep.atomic import write_text
from anomaly_hep.errors import ExportError, MissingToolError
from anomaly_hep.fpga import programs
from anomaly_hep.fpga.circuit import Circuit
from anomaly_hep.fpga.testbench import BENCH, unpacked
from anomaly_hep.lifeline import end_with_parent

# how events follow one another, in the order of the bench's option `run`
RUNS = ("back to back", "with gaps", "after a restart")
# of the first run's events a quarter is in each of the others, where idle clocks take their time
_QUARTER, _FEW = 4, 2000
_BUILD = "build"


@dataclass(frozen=True)
class Simulator:
    """A simulator of one language: its program, how it compiles a bench, and how it runs it.

    `compile` takes the project's directory and that of the bench, `run` the number of the run, the
    first event and the number of events. Fewer events than `share` are not worth a process.
    """

    name: str
    program: str
    language: str
    script: str
    share: int
    compile: Callable[[Path, Path], list[list[str]]]
    run: Callable[[int, int, int], list[str]]

    @property
    def folder(self) -> str:
        """Name of the directory of its language's project."""
        return self.language.lower()

    @property
    def installed(self) -> bool:
        """Whether the simulator is installed."""
        return shutil.which(self.program) is not None

    def write_script(self, project: Path, bench: Path, events: int) -> None:
        """Write a script into the bench that does the same as `simulate`."""
        lines = ["#!/bin/sh", f"# Compiles the test bench with {self.name} and runs it.", "set -e",
                 'cd "$(dirname "$0")"', "ulimit -s unlimited || true"]  # fmt: skip
        lines += [f"mkdir -p {_BUILD}", *map(shlex.join, self.compile(project, bench))]
        for number, title in enumerate(RUNS):
            command = self.run(number, 0, _events(number, events))
            lines += [f"printf '%s: ' {shlex.quote(title)}", shlex.join(command)]
        write_text(bench / self.script, "\n".join(lines) + "\n")

    def simulate(
        self, circuit: Circuit, project: Path, bench: Path, events: int
    ) -> dict[str, dict[str, Int64[np.ndarray, " event"]]]:
        """Return by run the integers of each output for the first `events` of the bench.

        The events of a run are shared over the processor's cores. Raises MissingToolError without
        the simulator, ExportError when it fails.
        """
        if not self.installed:
            raise MissingToolError(
                f"{self.name} is not installed, so the {self.language} cannot be simulated. Cure: "
                f"apt-get install {self.program}"
            )
        build = bench / _BUILD
        build.mkdir()
        for command in self.compile(project, bench):
            self._start(command, bench)
        found = {
            title: self._shared(circuit, bench, number, _events(number, events))
            for number, title in enumerate(RUNS)
        }
        shutil.rmtree(build)
        return found

    def _shared(
        self, circuit: Circuit, bench: Path, number: int, events: int
    ) -> dict[str, Int64[np.ndarray, " event"]]:
        """Return each output's integers in one run, its events shared over the cores."""
        cores = len(os.sched_getaffinity(0))
        share = max(self.share, -(-events // cores))
        firsts = range(0, events, share)
        with ThreadPoolExecutor(cores) as pool:
            commands = [self.run(number, n, min(share, events - n)) for n in firsts]
            list(pool.map(lambda command: self._start(command, bench), commands))
        paths = [bench / f"outputs_{number}_{first}.hex" for first in firsts]
        whole = bench / f"outputs_{self.folder}_{number}.hex"
        write_text(whole, "".join(path.read_text(encoding="utf-8") for path in paths))
        for path in paths:
            path.unlink()
        text = whole.read_text(encoding="utf-8")
        answers = len(text.split())
        if answers != events:
            raise ExportError(
                f"{whole} holds {answers:,} results of {events:,} events: the design does not "
                "answer each of them once. Cure: report this as a defect of the export"
            )
        return unpacked(circuit.outputs, text, whole)

    def _start(self, command: Sequence[str], bench: Path) -> None:
        programs.run(
            command,
            bench,
            cure=f"run {self.script} there by hand; a newer {self.name} may help",
            preexec_fn=partial(_begin, os.getpid()),
        )


def _events(number: int, events: int) -> int:
    return min(-(-events // _QUARTER), _FEW) if number else events


def _verilator(project: Path, bench: Path) -> list[list[str]]:
    sources = sorted((project / "src").rglob("*.v"))
    sources = [path for path in sources if not path.stem.endswith("_wrapper")]
    return [[
        *("verilator", "--binary", "--timing", "-j", "2", "-O3", "-Wno-fatal", "-Wno-lint"),
        # alkaid's sources name a message that Verilator 5.006 (Debian 12) does not know yet
        "-Wfuture-WIDTHTRUNC",
        # an undefined bit is any bit, and not always 0
        *("--x-assign", "unique", "--x-initial", "unique"),
        # one C++ function for a whole stage takes the compiler many minutes
        *("--output-split", "20000", "--output-split-cfuncs", "2000"),
        *("-CFLAGS", "-O1", "--Mdir", _BUILD, "--top-module", BENCH),
        *(os.path.relpath(path, bench) for path in sources),
        f"{BENCH}.v",
    ]]  # fmt: skip


def _run_verilator(number: int, first: int, count: int) -> list[str]:
    options = {"run": number, "first": first, "count": count}
    plus = [f"+{name}={value}" for name, value in options.items()]
    return [f"./{_BUILD}/V{BENCH}", "+verilator+rand+reset+2", "+verilator+seed+1", *plus]


_GHDL = ("--std=08", f"--workdir={_BUILD}")


def _ghdl(project: Path, bench: Path) -> list[list[str]]:
    sources = sorted((project / "src").rglob("*.vhd"))
    sources = [path for path in sources if not path.stem.endswith("_wrapper")]
    files = [os.path.relpath(path, bench) for path in sources]
    return [
        ["ghdl", "-i", *_GHDL, *files, f"{BENCH}.vhd"],
        ["ghdl", "-m", *_GHDL, BENCH],
    ]


def _run_ghdl(number: int, first: int, count: int) -> list[str]:
    generics = {"RUN": number, "FIRST": first, "COUNT": count}
    own = [f"-g{name}={value}" for name, value in generics.items()]
    # otherwise arithmetic says for each undefined number that it is one
    return ["ghdl", "-r", *_GHDL, BENCH, *own, "--ieee-asserts=disable"]


VERILATOR = Simulator(
    "Verilator", "verilator", "Verilog", "simulate.sh", 500, _verilator, _run_verilator
)
GHDL = Simulator("GHDL", "ghdl", "VHDL", "simulate_vhdl.sh", 50, _ghdl, _run_ghdl)


def _begin(parent: int) -> None:
    end_with_parent(parent)
    # wide designs keep their wires on the stack and overrun the usual 8 MB
    _, hard = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (hard, hard))
