"""Stages become shorter until phi meets the clock, or the report says that it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anomaly_hep.checking import settings_of
from anomaly_hep.configuration import compose
from anomaly_hep.fpga import phi_alone, routing
from anomaly_hep.fpga.routing import Fitted
from tests.fpga.benches import written
from tests.fpga.encoders import hard_inputs, random_encoder, without_mass
from tests.fpga.test_ecp5 import REPORT, fake_tools


def _reached(*clocks: float) -> list[dict[str, Any]]:
    return [REPORT | {"fmax": {"clk": {"achieved": clock}}} for clock in clocks]


def _fit(
    directory: Path, monkeypatch: pytest.MonkeyPatch, *clocks: float, clock_ns: float = 5.0
) -> Fitted:
    """Fit a phi with faked tools that reach these clocks, in MHz, one after the other."""
    fake_tools(directory, monkeypatch, *_reached(*clocks))
    encoder = random_encoder(1, ports=6, phi=(6, 5), weight_bits=6)
    composed = compose("fpga", ["fpga=rtl", f"fpga.clock_ns={clock_ns}"])
    settings = settings_of("fpga", composed).fpga
    events = without_mass(hard_inputs(encoder, 20))
    return routing.fit(encoder, events, settings, 5.0, directory / "ecp5")


def test_stages_that_meet_the_clock_at_once_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _fit(tmp_path, monkeypatch, 201.0)
    assert found.delay == 5
    (row,) = found.rows
    assert row.clock_mhz == 201
    assert "phi alone, delay_per_stage 5" in row.tool
    assert "meets 200 MHz on a Lattice ECP5-85 with delay_per_stage 5, as it was" in found.remark


def test_stages_become_shorter_until_the_clock_is_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _fit(tmp_path, monkeypatch, 100.0, 200.0)
    # half the clock, so half the delay
    assert found.delay == 2.5
    first, second = found.rows
    assert first.pipeline_stages < second.pipeline_stages
    assert "delay_per_stage 2.5, not 5; so is the whole design" in found.remark
    # what was routed lies there
    for row in found.rows:
        project = tmp_path / "ecp5" / f"stages{row.pipeline_stages}" / "verilog"
        assert (project / "nextpnr.json").exists()


def test_a_clock_that_no_try_meets_leaves_the_design_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _fit(tmp_path, monkeypatch, 100.0, 150.0, 130.0)
    assert found.delay == 5
    assert [row.clock_mhz for row in found.rows] == [100, 150, 130]
    stages = [row.pipeline_stages for row in found.rows]
    assert stages == sorted(set(stages))
    assert "does not meet 200 MHz" in found.remark
    assert "150.0 MHz at best in 3 tries" in found.remark
    assert "delay_per_stage 5, and its clock stays to be shown" in found.remark


def test_tries_end_where_stages_cannot_be_shorter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _fit(tmp_path, monkeypatch, 2.0, 2.0, 2.0, clock_ns=1)
    # the second try had stages of one adder
    assert len(found.rows) == 2
    assert "in 2 tries" in found.remark


def test_another_logic_ends_the_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(phi_alone, "check", lambda *given: asked.append(given))
    _fit(tmp_path, monkeypatch, 100.0, 200.0)
    assert len(asked) == 2


def test_a_design_in_several_clocks_is_routed_as_it_is_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = written(tmp_path / "made", "squared", 5, cycles=2)
    fake_tools(tmp_path, monkeypatch, REPORT)
    found = routing.whole(made.directory / "verilog", made.circuit, 2.5)
    (row,) = found.rows
    assert "the whole design in 2 clocks" in row.tool
    assert (row.pipeline_stages, row.initiation_interval) == (made.circuit.latency, 2)
    assert row.clock_mhz == 98.9


@pytest.mark.parametrize("limit", ["PINS", "CELLS"])
def test_a_design_that_does_not_fit_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    made = written(tmp_path, "squared", 5, cycles=2)
    monkeypatch.setattr(f"anomaly_hep.fpga.ecp5.{limit}", 20)
    found = routing.whole(made.directory / "verilog", made.circuit, 2.5)
    assert not found.rows
    assert "so only phi was placed and routed" in found.remark
