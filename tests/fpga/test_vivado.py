"""Vivado is asked to place and route where it is, and its reports are read.

The reports have the form of those that several versions of Vivado write, with numbers of our own.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_hep.errors import ExportError, MissingToolError
from anomaly_hep.fpga import vivado
from anomaly_hep.fpga.resources import Resources

_LINE = "-" * 96


def _title(text: str) -> str:
    return f"{_LINE}\n| {text}\n| {'-' * len(text)}\n{_LINE}\n\n"


def utilization_report(
    version: str = "2023.2",
    *,
    lut: str = "31234",
    ff: str = "10987",
    dsp: str = "0",
    state: str = "Routed",
    design: str = "trigger",
    device: str = "xcvu13p-flga2577-2-e",
    logic: str = "CLB",
) -> str:
    """What `report_utilization` writes; before 2021 it had no column of prohibited places."""
    new = version >= "2021"

    def row(name: str, used: str, available: int, share: str, place: str = "0") -> str:
        prohibited = f"          {place:>1} |" if new else ""
        return f"| {name:26} | {used:>5} |     0 |{prohibited}  {available:>8} | {share:>5} |\n"

    heads = (
        f"|          Site Type         |  Used | Fixed |{' Prohibited |' if new else ''} Available"
    )
    edge = f"+{'-' * 28}+-------+-------+{'------------+' if new else ''}-----------+-------+\n"
    table = f"{edge}{heads} | Util% |\n{edge}"
    speed = "| Speed File   : -2\n" if new else ""
    return (
        "Copyright 1986-2022 Xilinx, Inc. All Rights Reserved.\n"
        f"{_LINE}\n"
        f"| Tool Version : Vivado v.{version} (lin64) Build 4000000 Fri Oct 13 20:00:00 MDT 2023\n"
        "| Date         : Mon Jan  5 10:00:00 2026\n"
        "| Host         : host running 64-bit Ubuntu 22.04.5 LTS\n"
        f"| Command      : report_utilization -file {vivado.UTILIZATION.name}\n"
        f"| Design       : {design}\n"
        f"| Device       : {device}\n"
        f"{speed}"
        f"| Design State : {state}\n"
        f"{_LINE}\n\nUtilization Design Information\n\nTable of Contents\n-----------------\n"
        f"1. {logic} Logic\n2. BLOCKRAM\n3. ARITHMETIC\n\n1. {logic} Logic\n------------\n\n{table}"
        + row(f"{logic} LUTs", lut, 1728000, "1.81")
        + row("  LUT as Logic", "31000", 1728000, "1.79")
        + row("  LUT as Memory", "234", 791040, "0.03")
        + row(f"{logic} Registers", ff, 3456000, "0.32")
        + row("  Register as Flip Flop", ff, 3456000, "0.32")
        + row("CARRY8", "2345", 216000, "1.09")
        + f"{edge}* Warning! A made-up footnote.\n\n\n2. BLOCKRAM\n-----------\n\n{table}"
        + row("Block RAM Tile", "1.5", 2688, "0.06")
        + row("  RAMB36/FIFO*", "1", 2688, "0.04")
        + row("  RAMB18", "1", 5376, "0.02")
        + f"{edge}\n3. ARITHMETIC\n-------------\n\n{table}"
        + row("DSPs", dsp, 12288, "0.00")
        + edge
    )


def timing_report(
    version: str = "2023.2",
    *,
    slack: str = "0.125",
    period: str = "2.500",
    design: str = "trigger",
    device: str = "xcvu13p-flga2577",
) -> str:
    """What `report_timing_summary` writes, cut after the tables of the clocks."""
    heads = "WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)  "
    under = "-------      -------  ---------------------  -------------------      -------  "
    row = f"{slack:>7}        0.000                      0                 9876        0.031  "
    verdict = (
        "Timing constraints are not met."
        if slack.startswith("-")
        else "All user specified timing constraints are met."
    )
    return (
        "Copyright 1986-2022 Xilinx, Inc. All Rights Reserved.\n"
        f"{_LINE}\n"
        f"| Tool Version      : Vivado v.{version} (lin64) Build 4000000\n"
        "| Date              : Mon Jan  5 10:01:00 2026\n"
        f"| Command           : report_timing_summary -file {vivado.TIMING.name}\n"
        f"| Design            : {design}\n"
        f"| Device            : {device}\n"
        "| Speed File        : -2  PRODUCTION 1.27 02-28-2020\n"
        f"{_LINE}\n\nTiming Summary Report\n\n"
        + _title("Timer Settings")
        + "  Enable Multi Corner Analysis               :  Yes\n\n\n"
        + _title("Design Timing Summary")
        + f"    {heads}\n    {under}\n    {row}\n\n\n{verdict}\n\n\n"
        + _title("Clock Summary")
        + "Clock    Waveform(ns)         Period(ns)      Frequency(MHz)\n"
        + "-----    ------------         ----------      --------------\n"
        + f"sys_clk  {{0.000 1.250}}        {period}           400.000         \n\n\n"
        + _title("Intra Clock Table")
        + f"Clock             {heads}\n-----             {under}\nsys_clk           {row}\n"
    )


def _write(project: Path, utilization: str | None = None, timing: str | None = None) -> Path:
    for place, text in ((vivado.UTILIZATION, utilization), (vivado.TIMING, timing)):
        if text is not None:
            (project / place).parent.mkdir(parents=True, exist_ok=True)
            (project / place).write_text(text)
    return project


@pytest.mark.parametrize("version", ["2020.1", "2023.2"])
def test_what_routing_needed_is_read(tmp_path: Path, version: str) -> None:
    project = _write(tmp_path / "vhdl", utilization_report(version), timing_report(version))
    assert vivado.has_reports(project)
    assert vivado.read_reports(project, 9, 2) == Resources(
        tool=f"Vivado {version} on xcvu13p-flga2577-2-e, vhdl: 2.5 ns met, slack 0.125 ns",
        lut=31234,
        ff=10987,
        dsp=0,
        bram=2,  # a block and a half
        pipeline_stages=9,
        initiation_interval=2,
        # 2.5 ns less the slack that is left
        clock_mhz=421.1,
    )


def test_a_clock_that_is_not_met_is_said(tmp_path: Path) -> None:
    project = _write(tmp_path, utilization_report(), timing_report(slack="-0.340"))
    found = vivado.read_reports(project, 9, 1)
    assert found.tool.endswith("2.5 ns NOT met, slack -0.34 ns")
    assert found.clock_mhz == 352.1  # 1000 / 2.84


def test_other_families_name_their_cells_and_devices_otherwise(tmp_path: Path) -> None:
    project = _write(
        tmp_path,
        utilization_report(logic="Slice", device="xc7a100tcsg324-1", state="Physopt postRoute"),
        timing_report(device="7a100t-csg324"),
    )
    found = vivado.read_reports(project, 9, 1)
    assert (found.lut, found.ff) == (31234, 10987)
    assert "on xc7a100tcsg324-1" in found.tool


# a report that is damaged in some way, and what is said of it
DAMAGED = [
    (None, timing_report(), r"util\.rpt cannot be read as a report of Vivado: No such file"),
    (utilization_report(), None, r"timing\.rpt cannot be read as a report of Vivado: No such file"),
    ("", timing_report(), "its head does not name Vivado"),
    (utilization_report(), "", "its head does not name Vivado"),
    (utilization_report()[:900], timing_report(), "no (Utilization Design|number of)"),
    (utilization_report(state="Synthesized"), timing_report(), "of the state Synthesized, and not"),
    (utilization_report(design="other"), timing_report(), "is of the design other"),
    (utilization_report(), timing_report(design="other"), "is of the design other"),
    (utilization_report(lut="31x34"), timing_report(), "no number of CLB LUTs or Slice LUTs"),
    (utilization_report(dsp="0.5"), timing_report(), "no number of DSPs"),
    (utilization_report("2020.1"), timing_report(), r"of Vivado 2020\.1 .* of 2023\.2"),
    (utilization_report(), timing_report(device="xcku115-flva"), "of 2023.2 and xcku115-flva"),
    (utilization_report(), timing_report()[:1100], "does not say whether the timing"),
    (utilization_report(), timing_report(slack="NA"), "no worst slack or no period"),
    (utilization_report(), timing_report(period="fast"), "no worst slack or no period"),
    (utilization_report(), timing_report() * 2 + "Timing constraints are not met.", "not say wh"),
]


@pytest.mark.parametrize(("utilization", "timing", "message"), DAMAGED)
def test_a_damaged_report_is_refused(
    tmp_path: Path, utilization: str | None, timing: str | None, message: str
) -> None:
    project = _write(tmp_path, utilization, timing)
    with pytest.raises(ExportError, match=message) as error:
        vivado.read_reports(project, 9, 1)
    assert "Cure: run build_vivado_prj.tcl again" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("cut", range(0, 3200, 160))
def test_a_report_cut_anywhere_is_read_whole_or_refused(tmp_path: Path, cut: int) -> None:
    whole = vivado.read_reports(_write(tmp_path, utilization_report(), timing_report()), 9, 1)
    for texts in (
        (utilization_report()[:cut], timing_report()),
        (utilization_report(), timing_report()[:cut]),
    ):
        try:
            found = vivado.read_reports(_write(tmp_path, *texts), 9, 1)
        except ExportError:
            continue
        assert found == whole


def test_a_project_without_reports_has_none(tmp_path: Path) -> None:
    assert not vivado.has_reports(tmp_path)


def _tool(path: Path, script: str) -> None:
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_vivado_runs_the_script_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = _write(tmp_path / "later", utilization_report(), timing_report())
    output = vivado.UTILIZATION.parts[0]
    _tool(tmp_path / "bin" / "vivado", f"echo $* > asked; /bin/cp -r {later}/{output} .")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    found = vivado.implement(tmp_path, 9, 1)
    assert found.lut == 31234
    asked = (tmp_path / "asked").read_text().split()
    assert asked[:2] == ["-mode", "batch"]
    assert asked[-2:] == ["-source", "build_vivado_prj.tcl"]


def test_without_vivado_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert vivado.program() is None
    with pytest.raises(MissingToolError, match="Cure: source the settings of Vivado"):
        vivado.implement(tmp_path, 9, 1)


def test_a_failure_shows_what_vivado_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tool(tmp_path / "bin" / "vivado", "echo 'ERROR: [Common 17-345] no valid license'; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ExportError, match=r"status 1: ERROR: .* license; .*vivado\.log\. Cure"):
        vivado.implement(tmp_path, 9, 1)
    assert "license" in (tmp_path / "vivado.log").read_text()
