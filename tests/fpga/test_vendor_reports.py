"""What a vendor's tool left in a finished run, run by hand, is read and shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga import vivado
from anomaly_hep.fpga.proof_tables import routed
from anomaly_hep.fpga.vendor_reports import with_reports
from tests.fpga.summaries import make_summary
from tests.fpga.test_vitis import COST, CSYNTH, SOLUTIONS
from tests.fpga.test_vivado import timing_report, utilization_report

SUMMARY = make_summary()


def _routed(run: Path, language: str, slack: str = "0.125") -> Path:
    project = run / "rtl" / language
    (project / vivado.TIMING).parent.mkdir(parents=True)
    (project / vivado.UTILIZATION).write_text(utilization_report())
    (project / vivado.TIMING).write_text(timing_report(slack=slack))
    ports = {"latency_in_clocks": 9, "initiation_interval": 4}
    (run / "rtl" / "ports.json").write_text(json.dumps(ports))
    return project


def test_without_reports_a_summary_stays_as_it_is(tmp_path: Path) -> None:
    assert with_reports(SUMMARY, tmp_path) == SUMMARY


def test_reports_after_routing_are_rows_of_their_own(tmp_path: Path) -> None:
    _routed(tmp_path, "verilog")
    _routed(tmp_path, "vhdl", slack="-0.5")
    found = with_reports(SUMMARY, tmp_path)
    assert found.resources[: len(SUMMARY.resources)] == SUMMARY.resources
    verilog, vhdl = found.resources[len(SUMMARY.resources) :]
    assert "verilog: 2.5 ns met" in verilog.tool
    assert "vhdl: 2.5 ns NOT met" in vhdl.tool
    assert {(r.pipeline_stages, r.initiation_interval) for r in (verilog, vhdl)} == {(9, 4)}
    table = routed(found)
    assert table is not None
    cells = [row.cells for row in table.rows]
    assert [row["clock [MHz]"].value for row in cells] == ["421.1", "333.3"]
    # nine clocks of the period that was reached
    assert [row["time"].value for row in cells] == ["21.4 ns", "27.0 ns"]


def test_rows_that_the_run_made_itself_are_not_repeated(tmp_path: Path) -> None:
    _routed(tmp_path, "verilog")
    found = with_reports(SUMMARY, tmp_path)
    assert with_reports(found, tmp_path) == found


def test_a_c_synthesis_by_hand_is_read(tmp_path: Path) -> None:
    project = tmp_path / "hls4ml" / "vitis"
    reports = project / "encoder_prj" / "solution1" / "syn" / "report"
    reports.mkdir(parents=True)
    (project / "project.tcl").write_text('set project_name "encoder"\nset backend "vitis"\n')
    (reports / "encoder_csynth.xml").write_text(CSYNTH)
    (project / "encoder_prj" / "hls.app").write_text(SOLUTIONS)
    assert with_reports(SUMMARY, tmp_path).resources[-1] == COST


@pytest.mark.parametrize("place", [vivado.UTILIZATION, vivado.TIMING])
def test_a_damaged_report_is_named(tmp_path: Path, place: Path) -> None:
    path = _routed(tmp_path, "verilog") / place
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(ExportError, match=f"{path.name} cannot be read as a report of Vivado"):
        with_reports(SUMMARY, tmp_path)


def test_a_table_of_what_was_routed_needs_a_row() -> None:
    assert routed(SUMMARY) is None
