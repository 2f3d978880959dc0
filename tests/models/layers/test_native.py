"""Compiling kernels.cpp: once for all processes, never in the way of a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from anomaly_hep.errors import ConfigError
from anomaly_hep.models.layers import native

# says which path runs, and that it runs
SCRIPT = """
import torch
from anomaly_hep.models.layers import kernels
y = kernels.upsample(torch.ones(1, 1, 2, 2))
assert torch.equal(y, torch.ones(1, 1, 4, 4))
print("compiled" if kernels.compiled(y) else "plain")
"""


def _start(**environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _said(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, error = process.communicate(timeout=600)
    assert process.returncode == 0, error
    return out.strip(), error


def test_processes_that_start_at_once_share_one_library(tmp_path: Path) -> None:
    # what a process leaves that is killed while it builds: torch would wait for its lock for ever
    unfinished = tmp_path / "anomaly_hep" / native.library().with_suffix(".build").name
    unfinished.mkdir(parents=True)
    (unfinished / "lock").touch()
    processes = [_start(XDG_CACHE_HOME=str(tmp_path)) for _ in range(3)]
    assert [_said(process) for process in processes] == 3 * [("compiled", "")]
    left = sorted(path.name for path in (tmp_path / "anomaly_hep").iterdir())
    assert left == [native.library().with_suffix(s).name for s in (".lock", ".so")]


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"CXX": "no-such-compiler"}, "there is no compiler no-such-compiler"),
        ({"CXX": "/bin/false"}, "/bin/false"),
        ({"XDG_CACHE_HOME": "/proc/no"}, "/proc/no"),
    ],
)
def test_without_a_library_one_warning_says_the_cure(
    environment: dict[str, str], reason: str, tmp_path: Path
) -> None:
    said, warned = _said(_start(**{"XDG_CACHE_HOME": str(tmp_path)} | environment))
    assert said == "plain"
    assert warned.count("several times slower. Cure: g++") == 1
    assert reason in warned
    assert not list(tmp_path.glob("*/*.build"))


def test_the_switch_needs_no_compiler_and_warns_of_nothing(tmp_path: Path) -> None:
    environment = {native.SWITCH: "off", "CXX": "/bin/false", "XDG_CACHE_HOME": str(tmp_path)}
    assert _said(_start(**environment)) == ("plain", "")
    assert not list(tmp_path.iterdir())


def test_another_position_of_the_switch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    native.load.cache_clear()
    monkeypatch.setenv(native.SWITCH, "on")
    try:
        with pytest.raises(ConfigError, match=r"ANOMALY_HEP_KERNELS=on\. Cure: .*auto, off"):
            native.load()
    finally:
        native.load.cache_clear()


def test_the_library_is_anothers_on_another_processor_or_compiler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = native.library()
    monkeypatch.setenv("CXX", "clang++")
    with_clang = native.library()
    monkeypatch.setattr(native, "FLAGS", [*native.FLAGS, "-g"])
    assert len({before, with_clang, native.library()}) == 3
