"""Reports of the vendor's tools in a finished run, where somebody ran them by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from anomaly_hep.fpga import vitis, vivado
from anomaly_hep.fpga.resources import Resources
from anomaly_hep.fpga.summary import FirmwareSummary


def with_reports(summary: FirmwareSummary, run: Path) -> FirmwareSummary:
    """Return a summary with a row for each vendor's report that lies in the run's projects.

    Raises ExportError, naming the file, for a report that is damaged or of another design.
    """
    added = [row for row in _reports(run) if row not in summary.resources]
    return replace(summary, resources=(*summary.resources, *added))


def _reports(run: Path) -> list[Resources]:
    rows = []
    for language in ("verilog", "vhdl"):
        project = run / "rtl" / language
        if vivado.has_reports(project):
            ports = json.loads((run / "rtl" / "ports.json").read_text(encoding="utf-8"))
            interval = ports.get("initiation_interval", 1)
            rows.append(vivado.read_reports(project, ports["latency_in_clocks"], interval))
    project = run / "hls4ml" / "vitis"
    if vitis.has_report(project):
        rows.append(vitis.read_report(project))
    return rows
