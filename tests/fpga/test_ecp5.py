"""Place and route on an ECP5, where nextpnr is installed, and its report."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from anomaly_hep.errors import ExportError, MissingToolError
from anomaly_hep.fpga import ecp5, phi_alone, rtl, yosys
from anomaly_hep.fpga.circuit import Circuit
from anomaly_hep.fpga.resources import Resources
from tests.fpga.encoders import random_encoder

# what nextpnr's --report writes, without its critical paths
REPORT = {
    "fmax": {"$glbnet$clk$TRELLIS_IO_IN": {"achieved": 98.88262939453125, "constraint": 400}},
    "utilization": {
        "DCCA": {"available": 56, "used": 1},
        "DP16KD": {"available": 208, "used": 0},
        "MULT18X18D": {"available": 156, "used": 2},
        "TRELLIS_COMB": {"available": 83640, "used": 7553},
        "TRELLIS_FF": {"available": 83640, "used": 1632},
        "TRELLIS_IO": {"available": 365, "used": 161},
    },
}
needs_nextpnr = pytest.mark.skipif(
    not (ecp5.program() or os.environ.get("CI")), reason="no nextpnr-ecp5 installed"
)


def test_cells_and_clock_are_read(tmp_path: Path) -> None:
    path = tmp_path / "nextpnr.json"
    path.write_text(json.dumps(REPORT))
    assert ecp5.read_report(path, 4, 2, "phi alone") == Resources(
        tool="nextpnr on Lattice ECP5-85 (40 nm): phi alone",
        lut=7553,
        ff=1632,
        dsp=2,
        bram=0,
        pipeline_stages=4,
        initiation_interval=2,
        clock_mhz=98.9,
    )


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        json.dumps(REPORT)[:-40],
        json.dumps(REPORT | {"fmax": {}}),
        json.dumps(REPORT | {"fmax": {"clk": {"achieved": "fast"}}}),
        json.dumps(REPORT | {"utilization": {"TRELLIS_COMB": None}}),
    ],
)
def test_another_report_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "nextpnr.json"
    path.write_text(content)
    with pytest.raises(ExportError, match=r"nextpnr\.json is no report of nextpnr .*Cure: "):
        ecp5.read_report(path, 4, 1, "phi alone")


def _project(directory: Path, delay: float = 5.0) -> tuple[Path, Circuit]:
    encoder = random_encoder(1, ports=2, phi=(3,), input_bits=4)
    circuit = phi_alone.trace(encoder, delay)
    rtl.write(circuit, directory, "xcvu13p-flga2577-2-e", 2.5)
    return directory / "verilog", circuit


@needs_nextpnr
def test_a_small_phi_is_routed_without_a_multiplier(tmp_path: Path) -> None:
    project, circuit = _project(tmp_path)
    before = {path.name for path in (project / "src").iterdir()}
    found = ecp5.route(project, circuit, 2.5, "phi alone")
    assert found.clock_mhz is not None
    # no logic of 40 nm is faster, and a few adders are not slower
    assert 50 < found.clock_mhz < 1000
    # between two registers of each bit: as many as alkaid counts
    assert found.ff == circuit.estimate.ff
    assert 0 < found.lut < 6 * circuit.estimate.lut
    assert (found.dsp, found.bram) == (0, 0)
    assert found.pipeline_stages == circuit.latency
    # the project is left as it was, and the report beside it
    assert {path.name for path in (project / "src").iterdir()} == before
    assert json.loads((project / "nextpnr.json").read_text())["fmax"]


def _tool(path: Path, script: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def fake_tools(directory: Path, monkeypatch: pytest.MonkeyPatch, *reports: dict[str, Any]) -> None:
    """yosys and nextpnr that write nothing but these reports, one at each call."""
    for number, report in enumerate(reports):
        (directory / f"report{number}.json").write_text(json.dumps(report))
    _tool(directory / "bin" / "yosys", "echo > netlist.json")
    _tool(
        directory / "bin" / "nextpnr-ecp5",
        f"echo $* >> {directory}/asked\n"
        f"number=$(($(/usr/bin/wc -l < {directory}/asked) - 1))\n"
        f"/bin/cp {directory}/report$number.json nextpnr.json",
    )
    monkeypatch.setenv("PATH", str(directory / "bin"))


def test_the_largest_and_fastest_device_is_asked_for_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, circuit = _project(tmp_path / "project")
    fake_tools(tmp_path, monkeypatch, REPORT)
    found = ecp5.route(project, circuit, 2.5, "phi alone")
    assert found.lut == 7553
    asked = (tmp_path / "asked").read_text()
    for option in ("--85k", "--package CABGA756", "--speed 8", "--freq 400", "--timing-allow-fail"):
        assert option in asked


def test_a_design_with_more_pins_than_the_device_has_is_refused(tmp_path: Path) -> None:
    project, circuit = _project(tmp_path)
    # two ports of 4 bits, three channels of at most 5, and the clock
    assert 9 < ecp5.pins(circuit) <= 24
    wide = phi_alone.trace(random_encoder(1, ports=80, phi=(3,), input_bits=8), 5)
    with pytest.raises(ExportError, match=r"phi alone needs .* pins, and .* has 365.*Cure: "):
        ecp5.route(project, wide, 2.5, "phi alone")


def test_without_the_tools_the_cure_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, circuit = _project(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert ecp5.program() is yosys.program() is None
    with pytest.raises(MissingToolError, match=r"Cure: pip install 'anomaly_hep\[routing\]'"):
        ecp5.route(project, circuit, 2.5, "phi alone")


def test_a_failure_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, circuit = _project(tmp_path / "project")
    fake_tools(tmp_path, monkeypatch)
    _tool(tmp_path / "bin" / "nextpnr-ecp5", "echo ERROR: unable to place cell; exit 255")
    with pytest.raises(ExportError, match=r"status 255: ERROR: unable .*nextpnr\.log\. Cure: fpga"):
        ecp5.route(project, circuit, 2.5, "phi alone")
