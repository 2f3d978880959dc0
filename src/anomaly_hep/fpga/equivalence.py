"""Proofs for all inputs, of designs small enough: no event can differ, not only none did.

With few input bits every event there is goes through the interpreter. Somewhat larger designs go to
yosys and ABC, which prove that the delivered Verilog, its registers taken for wires, equals the
behavioural Verilog of the same integers. The designs that fill a chip are beyond both.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga import behaviour, rtl, yosys
from anomaly_hep.fpga.circuit import Circuit
from anomaly_hep.fpga.design import Design
from anomaly_hep.fpga.stages import completed
from anomaly_hep.fpga.stimuli import Stimuli

ALL_INPUTS = 20  # bits of which all combinations are simulated
LARGEST = 600  # LUTs of a design that the solver is given
_BLOCK = 1 << 14
_CURE = "Cure: do not use it; report it with the run directory"
# without registers the result depends on the event at the pins alone
_WIRES = """(* techmap_celltype = "$dff" *)
module wires(CLK, D, Q);
  parameter WIDTH = 1;
  parameter CLK_POLARITY = 1;
  input CLK;
  input [WIDTH-1:0] D;
  output [WIDTH-1:0] Q;
  assign Q = D;
endmodule
"""


def for_all_inputs(
    design: Design, circuit: Circuit, stimuli: Stimuli, project: Path, seconds: float
) -> str:
    """Return what is proved of a design for all inputs, and how, or why nothing is.

    `project` holds its Verilog, `seconds` is the limit of each program. Raises ExportError, with
    the event, where a result differs.
    """
    bits, cells = int(stimuli.bits.sum()), circuit.estimate.lut or 0
    if bits <= ALL_INPUTS:
        exhaustive(design, circuit, stimuli)
        return f"RTL: proved for all inputs; the interpreter computed all 2^{bits} of them."
    if circuit.cycles > 1:
        return "RTL: not proved for all inputs: the solver is given designs of one clock per event."
    if cells > LARGEST:
        return (
            f"RTL: not proved for all inputs: {bits} input bits and {cells:,} LUTs are beyond "
            f"solvers, which get designs of up to {LARGEST}."
        )
    if not (yosys.program() and shutil.which("yosys-abc")):
        return (
            "RTL: not proved for all inputs, because yosys or yosys-abc is not installed. Cure: "
            "apt-get install yosys"
        )
    proved = by_solver(design, circuit, project, seconds)
    if not proved:
        return f"RTL: not proved for all inputs: not finished in {seconds:g} s."
    return f"RTL: proved for all inputs; yosys and ABC found no event of 2^{bits} that differs."


def exhaustive(design: Design, circuit: Circuit, stimuli: Stimuli) -> None:
    """Compare the interpreter with the integer reference for every event that there is."""
    every = 1 << int(stimuli.bits.sum())
    for start in range(0, every, _BLOCK):
        words = np.arange(start, min(start + _BLOCK, every))
        events = stimuli.of_words(words)
        latents = {"latent": design.integers(events.inputs, events.context)}
        right = completed(design, latents, events.masses)
        for signal in circuit.outputs:
            found = rtl.interpret(circuit, design.integers, events)[signal.name]
            drop = design.score.fraction - signal.type.fraction if signal.name == "score" else 0
            wrong = np.flatnonzero(found << drop != right[signal.name])
            if len(wrong):
                raise ExportError(
                    f"generated RTL: {signal.name} differs for the input "
                    f"{words[wrong[0]]:#x}. {_CURE}"
                )


def by_solver(design: Design, circuit: Circuit, project: Path, seconds: float) -> bool:
    """Return whether the Verilog was proved equal; False where a program was not done in time."""
    directory = project.parent / "equivalence"
    directory.mkdir(exist_ok=True)
    text = behaviour.verilog(design, circuit)
    (directory / f"{behaviour.NAME}.v").write_text(text, encoding="utf-8")
    (directory / "wires.v").write_text(_WIRES, encoding="utf-8")
    (directory / "miter.ys").write_text(_script(project), encoding="utf-8")
    name = yosys.program()
    assert name is not None
    if _run([name, "-q", "-s", "miter.ys"], directory, seconds) is None:
        return False
    answer = _run(["yosys-abc", "-c", "&read miter.aig; &cec -m -C 1000000"], directory, seconds)
    if answer is None:
        return False
    if "Networks are equivalent" in answer:
        return True
    if "NOT EQUIVALENT" not in answer:
        return False
    command = "read_rtlil miter.il; sat -prove trigger 0 -show-inputs miter"
    shown = _run([name, "-p", command], directory, seconds) or ""
    # decimal, hexadecimal, binary; an input that does not matter is x
    found = re.search(r"\\in_model_inp +\S+ +\S+ +([01x]+)\s", shown)
    event = f" for the input {int(found[1].replace('x', '0'), 2):#x}" if found else ""
    raise ExportError(f"generated RTL: the Verilog differs from its integers{event}. {_CURE}")


def _script(project: Path) -> str:
    """Return what yosys does: both modules without registers, and one output that must stay 0."""
    relative = Path("..") / project.name / "src"
    sources = [
        relative / path.relative_to(project / "src")
        for path in sorted((project / "src").rglob("*.v"))
        if not path.stem.endswith("_wrapper")
    ]
    clean = "memory -nomap; memory_map; opt -full"
    return "\n".join(
        [
            f"read_verilog -sv -defer {' '.join(map(str, sources))}",
            f"hierarchy -top {rtl.NAME}; proc; flatten; techmap -map wires.v; {clean}",
            f"rename {rtl.NAME} delivered; setattr -mod -unset top delivered",
            "design -stash delivered",
            f"read_verilog -sv {behaviour.NAME}.v",
            f"hierarchy -top {behaviour.NAME}; proc; flatten; wreduce; {clean}",
            f"setattr -mod -unset top {behaviour.NAME}",
            "design -copy-from delivered delivered",
            f"miter -equiv -flatten -make_outputs {behaviour.NAME} delivered miter",
            "hierarchy -top miter; techmap; opt -full",
            "write_rtlil miter.il",
            "delete -output miter/gold_model_out miter/gate_model_out",
            "aigmap; opt_clean -purge; write_aiger miter.aig",
        ]
    )


def _run(command: list[str], directory: Path, seconds: float) -> str | None:
    """Return what a program printed, None where it was not done in time."""
    try:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        raise ExportError(
            f"{command[0]} in {directory} ended with status {done.returncode}: "
            f"{(done.stderr or done.stdout).strip().splitlines()[-1:]}. Cure: another version of "
            "yosys"
        )
    return done.stdout
