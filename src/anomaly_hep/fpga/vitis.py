"""The vendor's synthesis of an hls4ml project, where Vitis is installed, and its report."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path
from xml.etree.ElementTree import ParseError

from anomaly_hep.errors import ExportError, MissingToolError
from anomaly_hep.fpga import programs
from anomaly_hep.fpga.resources import Resources

# the newer program first: later versions of Vitis have only this one
COMMANDS = {
    "vitis-run": ("--tcl", "build_prj.tcl", "--mode", "hls"),
    "vitis_hls": ("-f", "build_prj.tcl"),
}
# C synthesis alone: not the simulations before and after, not Vivado
_STEPS = ("reset", "csim", "synth", "cosim", "validation", "export", "vsynth", "fifo_opt")
LOG = "vitis.log"


def has_report(project: Path) -> bool:
    """Return whether Vitis or Vivado HLS has left a C synthesis in an hls4ml project."""
    return any(project.glob("*_prj/solution1/syn/report"))


def program() -> str | None:
    """Return the vendor's program that is on PATH, if there is one."""
    return next((name for name in COMMANDS if shutil.which(name)), None)


def synthesize(project: Path) -> Resources:
    """Synthesise an hls4ml project for Vitis and return its estimate; takes minutes to hours.

    Raises MissingToolError without Vitis, ExportError where it fails.
    """
    tool = program()
    if tool is None:
        raise MissingToolError(
            f"{' or '.join(COMMANDS)} is not on PATH, so {project} cannot be synthesised. Cure: "
            "source the settings of Vitis HLS"
        )
    options = "\n".join(f"    {step} {int(step == 'synth')}" for step in _STEPS)
    (project / "build_opt.tcl").write_text(f"array set opt {{\n{options}\n}}\n")
    programs.run([tool, *COMMANDS[tool]], project, cure="mend what it names", log=project / LOG)
    return read_report(project)


def read_report(directory: Path) -> Resources:
    """Return the estimate of a project's C synthesis, before place and route.

    `bram` are blocks of 18 kbit. The clock period is an estimate: only place and route closes
    timing. Raises ExportError where there is no report.
    """
    from hls4ml.report import parse_vivado_report

    try:
        # hls4ml says on the console which of the other reports are missing
        with contextlib.redirect_stdout(io.StringIO()):
            report = parse_vivado_report(str(directory))["CSynthesisReport"]
        return Resources(
            tool=f"Vitis C synthesis, expects {float(report['EstimatedClockPeriod']):g} ns",
            lut=int(report["LUT"]),
            ff=int(report["FF"]),
            dsp=int(report["DSP"]),
            bram=int(report["BRAM_18K"]),
            pipeline_stages=int(report["WorstLatency"]),
            initiation_interval=int(report["IntervalMax"]),
        )
    except (OSError, LookupError, TypeError, AttributeError, ValueError, ParseError) as error:
        raise ExportError(
            f"{directory} has no C synthesis report that can be read ({error!r}). Cure: run the "
            f"synthesis again and see {LOG}"
        ) from error
