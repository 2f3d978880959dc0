"""The trade-off of many runs: the estimates of all versions, exact designs alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from anomaly_hep.fpga.resources import ESTIMATES
from anomaly_hep.fpga.tradeoff import write_trade_off
from tests.fpga.summaries import make_summary


def _run(directory: Path, name: str, tool: str, lut: int, wrong: int = 0) -> None:
    summary = make_summary(wrong=wrong)
    row = replace(summary.resources[0], tool=tool, lut=lut)
    (directory / name).mkdir()
    text = replace(summary, resources=(row, *summary.resources[1:])).to_json()
    (directory / name / "fpga.json").write_text(text)


def test_runs_of_both_compilers_are_points_of_one_figure(tmp_path: Path) -> None:
    _run(tmp_path, "new", "alkaid estimate", 49_000)
    _run(tmp_path, "old", "da4ml estimate", 51_498)
    _run(tmp_path, "other", "alkaids estimate", 1)
    _run(tmp_path, "wrong", "alkaid estimate", 2, wrong=1)
    figure = write_trade_off(tmp_path)
    assert figure is not None
    assert figure.exists()
    table = pd.read_csv(tmp_path / "fpga_tradeoff.csv").set_index("run")
    assert dict(table["lut"]) == {"new": 49_000, "old": 51_498}
    # each says whose estimate it is
    assert dict(table["estimate"]) == dict(zip(["new", "old"], ESTIMATES, strict=True))


@pytest.mark.parametrize("tool", ["yosys synth_xilinx -family xcup", "FINN estimate (1.6.1)"])
def test_without_a_compilers_estimate_there_is_no_figure(tmp_path: Path, tool: str) -> None:
    _run(tmp_path, "one", tool, 10)
    assert write_trade_off(tmp_path) is None
