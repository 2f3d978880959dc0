"""Place and route by the vendor, where Vivado is installed, and the reports that it writes.

The script that does it lies in the project of each language, so that it can also be run elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from anomaly_hep.errors import ExportError, MissingToolError
from anomaly_hep.fpga import programs
from anomaly_hep.fpga.resources import Resources
from anomaly_hep.fpga.rtl import NAME

SCRIPT, LOG = "build_vivado_prj.tcl", "vivado.log"
# where the script puts the reports after routing, in the directory of the project
UTILIZATION = Path(f"output_{NAME}", "reports", f"{NAME}_post_route_util.rpt")
TIMING = Path(f"output_{NAME}", "reports", f"{NAME}_post_route_timing.rpt")
_CURE = f"run {SCRIPT} again with Vivado, or remove its reports"
# what a row of `report_utilization` is called, by family of devices
_CELLS = {
    "lut": ("CLB LUTs", "Slice LUTs"),
    "ff": ("CLB Registers", "Slice Registers", "Registers"),
    "dsp": ("DSPs",),
}
# blocks of memory: of 36 kbit, and the halves of which each may hold a memory of its own
_BLOCKS = (("RAMB36/FIFO",), ("RAMB18",))


@dataclass(frozen=True)
class _Header:
    """The head of a report: which version of Vivado wrote it, of which device and step."""

    version: str
    device: str
    state: str | None


@dataclass(frozen=True)
class Timing:
    """The design's timing after routing: the period asked for and the worst slack, in ns."""

    period: float
    slack: float
    met: bool

    @property
    def clock_mhz(self) -> float:
        """The fastest clock at which the slowest path still arrives in time."""
        return round(1000 / (self.period - self.slack), 1)


def program() -> str | None:
    """Return the path of the installed Vivado."""
    return programs.find("vivado")


def implement(project: Path, stages: int, interval: int) -> Resources:
    """Synthesise, place and route a project and return what the reports say; takes hours.

    Raises MissingToolError without Vivado, ExportError where it fails.
    """
    found = program()
    if found is None:
        raise MissingToolError(
            f"vivado is not on PATH, so {project} cannot be placed and routed. Cure: source the "
            "settings of Vivado"
        )
    programs.run(
        [found, "-mode", "batch", "-nojournal", "-nolog", "-source", SCRIPT],
        project,
        cure="mend what it names",
        log=project / LOG,
    )
    return read_reports(project, stages, interval)


def has_reports(project: Path) -> bool:
    """Return whether Vivado's script has left a report after routing in a project."""
    return (project / UTILIZATION).exists() or (project / TIMING).exists()


def read_reports(project: Path, stages: int, interval: int) -> Resources:
    """Return the resources and the clock of a routed project.

    `bram` are blocks of 36 kbit and halves of them. Raises ExportError for a report that is not
    there, is damaged, or is not of this design after routing.
    """
    utilization, timing = project / UTILIZATION, project / TIMING
    cells, clock = read_utilization(utilization), read_timing(timing)
    head, other = _header(utilization, _text(utilization)), _header(timing, _text(timing))
    # a report on timing names the device without its speed grade
    same_device = _bare(head.device).startswith(_bare(other.device))
    if head.version != other.version or not same_device:
        raise ExportError(
            f"{utilization} is of Vivado {head.version} and {head.device}, {timing} of "
            f"{other.version} and {other.device}. Cure: {_CURE}"
        )
    verdict = "met" if clock.met else "NOT met"
    return Resources(
        tool=f"Vivado {head.version} on {head.device}, {project.name}: {clock.period:g} ns "
        f"{verdict}, slack {clock.slack:g} ns",
        pipeline_stages=stages,
        initiation_interval=interval,
        clock_mhz=clock.clock_mhz,
        **cells,
    )


def read_utilization(path: Path) -> dict[str, int]:
    """Return the cells in a report of `report_utilization` after routing."""
    text = _text(path)
    head = _header(path, text)
    if "Utilization Design Information" not in text:
        raise _damaged(path, "it has no Utilization Design Information")
    if head.state is None or "rout" not in head.state.lower():
        raise _damaged(path, f"it is of the state {head.state}, and not after routing")
    rows = {
        match["name"].strip().rstrip("*"): match["used"]
        for match in re.finditer(
            r"^\|(?P<name>[^|]+)\| *(?P<used>[0-9,.]+) *\|", text, re.MULTILINE
        )
    }

    def count(names: tuple[str, ...]) -> int:
        found = next((rows[name] for name in names if name in rows), None)
        if found is None or not re.fullmatch(r"[0-9,]+", found):
            raise _damaged(path, f"it has no number of {' or '.join(names)}")
        return int(found.replace(",", ""))

    cells = {name: count(names) for name, names in _CELLS.items()}
    return cells | {"bram": sum(map(count, _BLOCKS))}


def read_timing(path: Path) -> Timing:
    """Return the timing in a report of `report_timing_summary`."""
    text = _text(path)
    _header(path, text)
    verdicts = {
        "All user specified timing constraints are met.": True,
        "Timing constraints are not met.": False,
    }
    met = [value for sentence, value in verdicts.items() if sentence in text]
    if len(met) != 1:
        raise _damaged(path, "it does not say whether the timing constraints are met")
    slack = _row_below(text, r"\| Design Timing Summary", "WNS(ns)")
    clock = _row_below(text, r"\| Clock Summary", "Period(ns)")
    number = re.match(r" *(-?[0-9.]+) ", slack or "")
    period = re.match(r"\S+ +\{[^}]*\} +([0-9.]+) ", clock or "")
    if not number or not period:
        raise _damaged(path, "it has no worst slack or no period of a clock")
    return Timing(float(period[1]), float(number[1]), met[0])


def _row_below(text: str, title: str, head: str) -> str | None:
    """Return the first row of the table with a title: below its heads and the line under them."""
    match = re.search(
        rf"^{title}\n.*?^[^\n]*{re.escape(head)}[^\n]*\n[- ]+\n([^\n]*)\n",
        text,
        re.MULTILINE | re.DOTALL,
    )
    return match[1] + " " if match else None


def _header(path: Path, text: str) -> _Header:
    """Return the head of a report; raises ExportError for another file, or of another design."""
    fields = dict(re.findall(r"^\| ([A-Z][A-Za-z ]+?) *: (.*?) *$", text, re.MULTILINE))
    version = re.match(r"Vivado v\.(\S+)", fields.get("Tool Version", ""))
    if version is None or "Device" not in fields or "Design" not in fields:
        raise _damaged(path, "its head does not name Vivado, the design and the device")
    if fields["Design"] != NAME:
        raise _damaged(path, f"it is of the design {fields['Design']}")
    return _Header(version[1], fields["Device"], fields.get("Design State"))


def _bare(device: str) -> str:
    """Return a device without what only some reports write: dashes and the letters xc."""
    return device.removeprefix("xc").replace("-", "")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error


def _damaged(path: Path, why: str) -> ExportError:
    return ExportError(f"{path} cannot be read as a report of Vivado: {why}. Cure: {_CURE}")
