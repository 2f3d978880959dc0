"""The vendor's synthesis of an hls4ml project, where Vitis is installed, and its report."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from anomaly_hep.errors import ExportError, MissingToolError
from anomaly_hep.fpga.hls4ml import Project

# newest first: later versions of Vitis have the first program alone
COMMANDS = {
    "vitis-run": ("--tcl", "build_prj.tcl", "--mode", "hls"),
    "vitis_hls": ("-f", "build_prj.tcl"),
}
# C synthesis alone: not the simulations before and after, not Vivado
_STEPS = ("reset", "csim", "synth", "cosim", "validation", "export", "vsynth", "fifo_opt")
LOG = "vitis.log"
_LINES = 15


@dataclass(frozen=True)
class Report:
    """What Vitis expects of a project from its C synthesis, before place and route.

    bram: blocks of 18 kbit. latency and interval: clock cycles from an event's input to its output,
    and from one event to the next. clock_ns: the period asked for, and the one expected.
    """

    lut: int
    ff: int
    dsp: int
    bram: int
    latency: int
    interval: int
    clock_ns: float
    expected_clock_ns: float

    def as_resources(self) -> dict[str, Any]:
        """Return the report as a row of the table of resources.

        C synthesis expects a clock, it does not close timing: place and route does.
        """
        return {
            "tool": f"Vitis C synthesis, expects {self.expected_clock_ns:g} ns",
            "lut": self.lut,
            "ff": self.ff,
            "dsp": self.dsp,
            "bram": self.bram,
            "pipeline_stages": self.latency,
            "initiation_interval": self.interval,
        }


def program() -> str | None:
    """Return the vendor's program that is on PATH, if there is one."""
    return next((name for name in COMMANDS if shutil.which(name)), None)


def synthesize(project: Project) -> Report:
    """Synthesise a project for Vitis and return the report.

    Takes minutes to hours. Raises MissingToolError without Vitis, ExportError where it fails.
    """
    tool = program()
    if tool is None:
        raise MissingToolError(
            f"{' or '.join(COMMANDS)} is not on PATH, so {project.directory} cannot be "
            "synthesised. Cure: source the settings of Vitis HLS"
        )
    options = "\n".join(f"    {step} {int(step == 'synth')}" for step in _STEPS)
    (project.directory / "build_opt.tcl").write_text(f"array set opt {{\n{options}\n}}\n")
    log = project.directory / LOG
    with log.open("w", encoding="utf-8") as out:
        done = subprocess.run(
            [tool, *COMMANDS[tool]],
            cwd=project.directory,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        last = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES:])
        raise ExportError(
            f"{tool} failed (exit code {done.returncode}) in {project.directory}. Cure: see {log}, "
            f"which ends in:\n{last}"
        )
    return read_report(project.directory)


def read_report(directory: Path) -> Report:
    """Return the report of a project's C synthesis; raises ExportError where there is none."""
    from hls4ml.report import parse_vivado_report

    try:
        # hls4ml says on the console which of the other reports are missing
        with contextlib.redirect_stdout(io.StringIO()):
            found = parse_vivado_report(str(directory))["CSynthesisReport"]
        return Report(
            lut=int(found["LUT"]),
            ff=int(found["FF"]),
            dsp=int(found["DSP"]),
            bram=int(found["BRAM_18K"]),
            latency=int(found["WorstLatency"]),
            interval=int(found["IntervalMax"]),
            clock_ns=float(found["TargetClockPeriod"]),
            expected_clock_ns=float(found["EstimatedClockPeriod"]),
        )
    except (OSError, LookupError, TypeError, AttributeError, ValueError, ParseError) as error:
        raise ExportError(
            f"{directory} has no C synthesis report that can be read ({error!r}). Cure: run the "
            f"synthesis again and see {LOG}"
        ) from error
