"""Both languages, simulated: equal to the integers in every run, and red where a bench is wrong."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from anomaly_hep.errors import ExportError, MissingToolError
from anomaly_hep.fpga import rtl, testbench
from anomaly_hep.fpga.chipscore import ChipScore
from anomaly_hep.fpga.simulators import GHDL, RUNS, VERILATOR, Simulator
from anomaly_hep.fpga.verify import Stage, compare, refuse_differences
from tests.fpga.benches import CLOCK, EVENTS, PART, Written, written
from tests.fpga.encoders import (
    SCORES,
    events,
    random_encoder,
    random_table,
    with_latents,
    with_masses,
)

BOTH = [VERILATOR, GHDL]
QUARTER = EVENTS // 4
# kind of score, delay between registers, clocks in which an event arrives
DESIGNS = [("squared", 1.5, 1), ("kl", 5.0, 1), ("squared", 5.0, 2)]


def _needed(simulator: Simulator) -> None:
    """Skip where a Debian program is not installed; CI installs it, and fails without it."""
    if not (simulator.installed or os.environ.get("CI")):
        pytest.skip(f"no {simulator.program} on PATH")


def _simulate(simulator: Simulator, made: Written) -> dict[str, dict[str, np.ndarray]]:
    project = made.directory / simulator.folder
    return simulator.simulate(made.circuit, project, made.bench, EVENTS)


@pytest.fixture(scope="module", params=DESIGNS, ids=str)
def design(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Written]:
    made = written(tmp_path_factory.mktemp("design"), *request.param)
    yield made
    shutil.rmtree(made.directory)


@pytest.mark.parametrize("simulator", BOTH, ids=lambda s: s.name)
def test_each_run_equals_the_integers(simulator: Simulator, design: Written) -> None:
    _needed(simulator)
    found = _simulate(simulator, design)
    assert list(found) == list(RUNS)
    assert [len(integers["score"]) for integers in found.values()] == [EVENTS, QUARTER, QUARTER]
    for integers in found.values():
        assert list(integers) == ["decision", "score"]
        for name, values in integers.items():
            np.testing.assert_array_equal(values, design.expected[name][: len(values)])
            assert len(np.unique(values)) > 1
    assert not (design.bench / "build").exists()


def _wrong_clock(made: Written, simulator: Simulator, late: int) -> None:
    """Make the bench of a language read results so many clocks too late."""
    ending = {"Verilog": "v", "VHDL": "vhd"}[simulator.language]
    path = made.bench / f"trigger_bench.{ending}"
    latency = made.circuit.latency
    text, count = re.subn(
        rf"(LATENCY (: positive :)?= ){latency};", rf"\g<1>{latency + late};", path.read_text()
    )
    assert count == 1
    path.write_text(text)


@pytest.mark.parametrize("late", [-1, 1])
def test_vhdl_read_in_the_wrong_clock_is_undefined_after_a_restart(
    tmp_path: Path, late: int
) -> None:
    _needed(GHDL)
    made = written(tmp_path, "squared", 1.5)
    _wrong_clock(made, GHDL, late)
    with pytest.raises(ExportError, match=r"outputs_vhdl_2\.hex holds bits that are neither 0 nor"):
        _simulate(GHDL, made)
    for number in range(2):
        path = made.bench / f"outputs_vhdl_{number}.hex"
        found = testbench.unpacked(made.circuit.outputs, path.read_text(), path)
        right = made.expected["score"][: len(found["score"])]
        assert (found["score"] != right).mean() > 0.5


def test_verilog_read_in_the_wrong_clock_is_another_event(tmp_path: Path) -> None:
    _needed(VERILATOR)
    made = written(tmp_path, "squared", 1.5)
    _wrong_clock(made, VERILATOR, 1)
    right = Stage("integers", made.expected["score"], made.expected["decision"] > 0, made.expected)
    stages = [right]
    for run, found in _simulate(VERILATOR, made).items():
        stages.append(Stage(run, found["score"], found["decision"] > 0, found))
    labels = np.array(["QCD"] * EVENTS)
    rows = compare(stages, labels, "QCD", 10)
    assert [row.exact for row in rows] == [True, False, False, False]
    with pytest.raises(ExportError, match=r"back to back: .* differ.*with gaps: .*after a restart"):
        refuse_differences(rows)


def test_a_design_that_does_not_answer_every_event_is_refused(tmp_path: Path) -> None:
    _needed(GHDL)
    made = written(tmp_path, "squared", 5.0, cycles=2)
    top = made.directory / "vhdl" / "src" / "trigger.vhd"
    # the first register of the chain takes the reset, and no event ever begins
    text, count = re.subn(r"(start0[^\n]*<= )start", r"\1rst", top.read_text())
    assert count
    top.write_text(text)
    with pytest.raises(ExportError, match=r"holds 0 results of 200 events.*Cure: report this"):
        _simulate(GHDL, made)


@pytest.mark.parametrize("simulator", BOTH, ids=lambda s: s.name)
def test_the_script_prints_what_each_run_found(tmp_path: Path, simulator: Simulator) -> None:
    _needed(simulator)
    made = written(tmp_path, "kl", 5.0)
    answers = made.bench / "expected.hex"
    lines = answers.read_text().splitlines()
    # one bit each of three events that are in every run
    for place in (0, 27, 49):
        lines[place] = f"{int(lines[place], 16) ^ 2:0{len(lines[place])}x}"
    answers.write_text("\n".join(lines) + "\n")
    simulator.write_script(tmp_path / simulator.folder, made.bench, EVENTS)
    done = subprocess.run(
        ["sh", made.bench / simulator.script], text=True, capture_output=True, check=True
    )
    for run, count in zip(RUNS, (EVENTS, QUARTER, QUARTER), strict=True):
        assert f"{run}: 3 of {count} events differ" in done.stdout


@pytest.mark.parametrize("simulator", BOTH, ids=lambda s: s.name)
def test_thresholds_by_mass_equal_the_integers(tmp_path: Path, simulator: Simulator) -> None:
    _needed(simulator)
    encoder = random_encoder(1, constituents=2, ports=2, phi=(3,), rho=(), input_bits=4)
    encoder = with_latents(encoder, 3)
    score = ChipScore("squared", encoder.head.output, 2)
    inputs = events(encoder, EVENTS)
    scores = score(encoder(inputs))
    table = random_table(scores, bits=5)
    chip = with_masses(inputs, table)
    circuit = rtl.trace(encoder, score, table, ["score", "quantile", "decision"], 3.0)
    rtl.write(circuit, tmp_path, PART, CLOCK)
    quantile = table.quantile(scores, chip.masses)
    decision = (quantile > table.deciding).astype(np.int64)
    expected = {"score": scores, "quantile": quantile, "decision": decision}
    bench = tmp_path / "bench"
    testbench.write(circuit, encoder, bench, chip, expected, CLOCK)
    fields = testbench.unpacked(circuit.inputs, (bench / "inputs.hex").read_text(), bench)
    np.testing.assert_array_equal(fields["mass"], chip.masses)
    found = simulator.simulate(circuit, tmp_path / simulator.folder, bench, EVENTS)
    for integers in found.values():
        for name, values in integers.items():
            np.testing.assert_array_equal(values, expected[name][: len(values)])
            assert len(np.unique(values)) > 1


def test_events_are_shared_over_cores_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = written(tmp_path, "squared", 5.0)
    answers = (made.bench / "expected.hex").read_text().splitlines(keepends=True)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    asked = []

    def answer(_: Simulator, command: list[str], bench: Path) -> None:
        if command[0].startswith("./"):
            run, first, count = (int(text.split("=")[1]) for text in command[-3:])
            asked.append((run, first, count))
            text = "".join(answers[first : first + count])
            (bench / f"outputs_{run}_{first}.hex").write_text(text)

    monkeypatch.setattr(Simulator, "_start", answer)
    monkeypatch.setattr("shutil.which", lambda name, **_: name)
    found = _simulate(replace(VERILATOR, share=20), made)
    for integers in found.values():
        right = made.expected["score"][: len(integers["score"])]
        np.testing.assert_array_equal(integers["score"], right)
    whole = [(0, first, 50) for first in range(0, 200, 50)]
    quarters = [(run, *part) for run in (1, 2) for part in ((0, 20), (20, 20), (40, 10))]
    assert sorted(asked) == whole + quarters


def _tool(path: Path, script: str) -> None:
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("simulator", BOTH, ids=lambda s: s.name)
def test_without_the_simulator_the_cure_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulator: Simulator
) -> None:
    made = written(tmp_path, "squared", 5)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert not simulator.installed
    with pytest.raises(MissingToolError, match=f"Cure: apt-get install {simulator.program}"):
        _simulate(simulator, made)


@pytest.mark.parametrize("simulator", BOTH, ids=lambda s: s.name)
def test_a_failing_program_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulator: Simulator
) -> None:
    made = written(tmp_path, "kl", 5)
    script = "echo long ago; for i in 1 2 3 4; do echo line $i; done; echo no memory >&2; exit 7"
    _tool(tmp_path / "bin" / simulator.program, script)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(
        ExportError,
        match=rf"{simulator.program} in .* status 7: line 1 .*no memory\. Cure: run simulate",
    ) as error:
        _simulate(simulator, made)
    assert "long ago" not in str(error.value)


@pytest.mark.parametrize("kind", SCORES)
def test_only_the_design_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    _tool(tmp_path / "bin" / "verilator", f"echo $* > {tmp_path}/asked; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ExportError, match="status 1"):
        _simulate(VERILATOR, written(tmp_path / kind, kind, 5))
    assert "trigger_wrapper" not in (tmp_path / "asked").read_text()


def test_a_simulation_ends_with_the_process_that_started_it() -> None:
    script = (
        "import os, subprocess; from functools import partial;"
        "from anomaly_hep.fpga import simulators;"
        "begin = partial(simulators._begin, os.getpid());"
        "print(subprocess.Popen(['sleep', '300'], preexec_fn=begin).pid, flush=True); os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True
    )
    process = Path("/proc") / done.stdout.strip() / "stat"
    for _ in range(500):
        # a zombie that nobody has waited for is at its end too
        if not process.exists() or process.read_text().split()[2] in "ZX":
            return
        time.sleep(0.02)
    raise AssertionError("the simulation goes on")
