"""The scripts in benchmarks/ run, and print a rate for everything that they measure."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def printed(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    """Return what a script prints, which is the first of the arguments."""
    path = SCRIPTS / request.param[0]
    monkeypatch.setattr(sys, "argv", [str(path), *request.param[1:]])
    runpy.run_path(str(path), run_name="__main__")
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "printed",
    [("emd.py", "--events", "50", "--repeats", "1", "--threads", "1", "--only", "ours")],
    indirect=True,
)
def test_the_distances_are_timed_and_averaged(printed: str) -> None:
    assert re.search(r"anomaly_hep, threads: 1 +\d+ /s +\d+ per cpu second", printed)
    assert re.search(r"ours: mean 0\.\d+", printed)


@pytest.mark.parametrize(
    "printed",
    [("plain_lightning.py", "--jets", "500", "--epochs", "1", "--threads", "1")],
    indirect=True,
)
def test_the_yardstick_has_the_network_of_the_paper_and_three_phases(printed: str) -> None:
    assert printed.startswith("125796 parameters, batches of 100")
    assert len(re.findall(r"phase \d, .* \d+ jets/s, +\d+ per cpu second", printed)) == 3
