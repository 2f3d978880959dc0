"""Synthesis is asked for where Vitis is, and its report is read; the reports have Vitis's form."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from anomaly_hep.errors import ExportError, MissingToolError
from anomaly_hep.fpga import vitis
from anomaly_hep.fpga.resources import Resources

# the tags that Vitis HLS writes, in its order; Vivado HLS calls DSP blocks DSP48E
CSYNTH = """<?xml version="1.0" encoding="UTF-8"?>
<profile>
<ReportVersion><Version>2023.2</Version></ReportVersion>
<UserAssignments>
<unit>ns</unit>
<ProductFamily>virtexuplus</ProductFamily>
<Part>xcvu13p-flga2577-2-e</Part>
<TopModelName>encoder</TopModelName>
<TargetClockPeriod>5.00</TargetClockPeriod>
<ClockUncertainty>1.35</ClockUncertainty>
<FlowTarget>vivado</FlowTarget>
</UserAssignments>
<PerformanceEstimates>
<PipelineType>yes</PipelineType>
<SummaryOfTimingAnalysis>
<unit>ns</unit>
<EstimatedClockPeriod>3.638</EstimatedClockPeriod>
</SummaryOfTimingAnalysis>
<SummaryOfOverallLatency>
<unit>clock cycles</unit>
<Best-caseLatency>14</Best-caseLatency>
<Average-caseLatency>15</Average-caseLatency>
<Worst-caseLatency>16</Worst-caseLatency>
<Best-caseRealTimeLatency>70.000 ns</Best-caseRealTimeLatency>
<Average-caseRealTimeLatency>75.000 ns</Average-caseRealTimeLatency>
<Worst-caseRealTimeLatency>80.000 ns</Worst-caseRealTimeLatency>
<PipelineInitiationInterval>1</PipelineInitiationInterval>
<PipelineDepth>17</PipelineDepth>
<Interval-min>1</Interval-min>
<Interval-max>2</Interval-max>
</SummaryOfOverallLatency>
</PerformanceEstimates>
<AreaEstimates>
<Resources>
<BRAM_18K>3</BRAM_18K>
<DSP>7</DSP>
<FF>1234</FF>
<LUT>56789</LUT>
<URAM>0</URAM>
</Resources>
<AvailableResources>
<BRAM_18K>5376</BRAM_18K>
<DSP>12288</DSP>
<FF>3456000</FF>
<LUT>1728000</LUT>
<URAM>1280</URAM>
</AvailableResources>
</AreaEstimates>
</profile>
"""
SOLUTIONS = """<AutoPilot:project xmlns:AutoPilot="com.autoesl.autopilot.project" top="encoder">
<solutions><solution name="solution1" status="active"/></solutions>
</AutoPilot:project>
"""
COST = Resources(
    tool="Vitis C synthesis, expects 3.638 ns", lut=56789, ff=1234, dsp=7, bram=3,
    pipeline_stages=16, initiation_interval=2,
)  # fmt: skip


def _project(directory: Path) -> Path:
    (directory / "project.tcl").write_text('set project_name "encoder"\nset backend "vitis"\n')
    return directory


def _report(directory: Path, text: str) -> None:
    reports = directory / "encoder_prj" / "solution1" / "syn" / "report"
    reports.mkdir(parents=True)
    (reports / "encoder_csynth.xml").write_text(text)
    (directory / "encoder_prj" / "hls.app").write_text(SOLUTIONS)


def _tool(path: Path, script: str) -> None:
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("name", ["DSP", "DSP48E"])
def test_a_report_is_read(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    _project(tmp_path)
    _report(tmp_path, CSYNTH.replace("<DSP>", f"<{name}>").replace("</DSP>", f"</{name}>"))
    assert vitis.read_report(tmp_path) == COST
    assert capfd.readouterr() == ("", "")


def test_without_vitis_nothing_is_synthesised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    project = _project(tmp_path)
    with pytest.raises(MissingToolError, match="not on PATH"):
        vitis.synthesize(project)
    assert [path.name for path in tmp_path.iterdir()] == ["project.tcl"]


@pytest.mark.parametrize("tool", vitis.COMMANDS)
def test_only_the_c_synthesis_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    project = _project(tmp_path)
    _report(tmp_path / "later", CSYNTH)
    _tool(tmp_path / "bin" / tool, "echo $* > asked\n/bin/mv later/encoder_prj .")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert vitis.synthesize(project) == COST
    assert (tmp_path / "asked").read_text().split() == list(vitis.COMMANDS[tool])
    options = (tmp_path / "build_opt.tcl").read_text().split()
    assert [a for a, b in pairwise(options) if b == "1"] == ["synth"]


def test_a_failure_shows_what_vitis_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = _project(tmp_path)
    _tool(tmp_path / "bin" / "vitis-run", "echo no license\nexit 3")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(
        ExportError,
        match=r"ended with status 3: no license; all it printed is in .*vitis\.log\. Cure",
    ):
        vitis.synthesize(project)


@pytest.mark.parametrize(
    "text", [None, "", "<profile/>", CSYNTH.replace(">16</Worst", ">undef</Worst")]
)
def test_a_report_that_says_nothing_is_refused(tmp_path: Path, text: str | None) -> None:
    _project(tmp_path)
    if text is not None:
        _report(tmp_path, text)
    with pytest.raises(ExportError, match="no C synthesis report"):
        vitis.read_report(tmp_path)
