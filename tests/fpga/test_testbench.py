"""The test bench: words that hold every field, and a simulation that equals the integers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.errors import ExportError, MissingToolError
from anomaly_hep.fpga import rtl, testbench
from anomaly_hep.fpga.chipscore import ChipScore
from anomaly_hep.fpga.circuit import Circuit, Signal
from anomaly_hep.fpga.fixedpoint import FixedPoint, Integers
from anomaly_hep.fpga.integers import IntegerEncoder
from tests.fpga.encoders import (
    SCORES,
    events,
    random_encoder,
    random_table,
    with_latents,
    with_masses,
    without_mass,
)

PART, CLOCK = "xcvu13p-flga2577-2-e", 2.5
# a Debian program that make setup does not install; CI does, and fails without it
needs_verilator = pytest.mark.skipif(
    not (testbench.has_verilator() or os.environ.get("CI")), reason="no verilator on PATH"
)


@st.composite
def _fields(draw: st.DrawFn) -> tuple[list[Signal], list[list[int]]]:
    """Fields of any width, some without a bit, and events of integers that fit them."""
    kinds = draw(
        st.lists(st.tuples(st.booleans(), st.integers(0, 13)), min_size=1, max_size=6).filter(
            lambda found: any(bits for _, bits in found)
        )
    )
    signals, low = [], 0
    for number, (signed, bits) in enumerate(kinds):
        signals.append(Signal(f"s{number}", low, FixedPoint(signed and bits > 0, bits, 3)))
        low += bits
    ends = [(s.type.lowest, s.type.highest) if s.type.bits else (0, 0) for s in signals]
    event = st.tuples(*(st.integers(*pair) for pair in ends)).map(list)
    return signals, draw(st.lists(event, min_size=1, max_size=5))


@given(_fields())
def test_words_hold_each_field_in_its_bits(found: tuple[list[Signal], list[list[int]]]) -> None:
    signals, rows = found
    text = testbench.packed(signals, np.array(rows))
    width = sum(signal.type.bits for signal in signals)
    for line, row in zip(text.splitlines(), rows, strict=True):
        # the first field in the lowest bits, two's complement where it is signed
        word, low = 0, 0
        for signal, value in zip(signals, row, strict=True):
            word |= value % 2**signal.type.bits << low
            low += signal.type.bits
        assert int(line, 16) == word < 2**width
        assert len(line) == -(-width // 8) * 2


@given(_fields())
def test_unpacked_undoes_packed(found: tuple[list[Signal], list[list[int]]]) -> None:
    signals, rows = found
    text = testbench.packed(signals, np.array(rows))
    # a simulator writes as many digits as the port needs, and lines may end in any way
    digits = -(-sum(s.type.bits for s in signals) // 4)
    short = "\r\n".join(line[-digits:] for line in text.split())
    for written in (text, short):
        columns = testbench.unpacked(signals, written, Path("outputs.hex"))
        assert [list(row) for row in zip(*columns.values(), strict=True)] == rows
        assert list(columns) == [signal.name for signal in signals]


def test_words_by_hand() -> None:
    signals = [Signal("a", 0, FixedPoint(True, 3, 0)), Signal("b", 3, FixedPoint(False, 6, 2))]
    # 5 | 33 << 3 = 269, and 3 | 0 << 3
    assert testbench.packed(signals, np.array([[-3, 33], [3, 0]])) == "010d\n0003\n"


@pytest.mark.parametrize("text", ["0x\n", "zz\n", "0?\n"])
def test_bits_that_are_neither_0_nor_1_are_refused(text: str) -> None:
    with pytest.raises(ExportError, match=r"outputs\.hex holds bits .*Cure: report this"):
        testbench.unpacked([Signal("a", 0, FixedPoint(False, 8, 0))], text, Path("outputs.hex"))


@dataclass(frozen=True, eq=False)
class _Written:
    """A project with its bench, and what must come out of it."""

    encoder: IntegerEncoder
    circuit: Circuit
    inputs: Integers
    expected: dict[str, Integers]
    directory: Path

    @property
    def bench(self) -> Path:
        return self.directory / "bench"

    def simulate(self) -> dict[str, Integers]:
        return testbench.simulate(self.circuit, self.directory / "verilog", self.bench)


def _written(directory: Path, kind: str, cutoff: float) -> _Written:
    encoder = random_encoder(1, constituents=2, ports=2, phi=(3,), rho=(), input_bits=4)
    encoder = with_latents(encoder, 3)
    score = ChipScore(kind, encoder.head.output, 2)
    inputs = events(encoder, 200)
    scores = score(encoder(inputs))
    cut = int(np.sort(scores)[100])
    circuit = rtl.trace(encoder, score, cut, ["decision", "score"], cutoff)
    rtl.write(circuit, directory, PART, CLOCK)
    expected = {"score": scores, "decision": (scores > cut).astype(np.int64)}
    assert circuit.outputs[1].type.fraction == score.fraction
    testbench.write(circuit, encoder, directory / "bench", without_mass(inputs), expected, CLOCK)
    return _Written(encoder, circuit, inputs, expected, directory)


@pytest.mark.parametrize("cutoff", [1.5, 5.0])
def test_the_bench_waits_as_long_as_the_pipeline_takes(tmp_path: Path, cutoff: float) -> None:
    written = _written(tmp_path, "squared", cutoff)
    text = (written.bench / "trigger_bench.v").read_text()
    assert f"parameter LATENCY = {written.circuit.latency};" in text
    assert "parameter EVENTS = 200;" in text
    # two halves of 2.5 ns
    assert "always #1.25 clk = ~clk;" in text
    # from the first register that alkaid wrote to its last
    top = (tmp_path / "verilog" / "src" / "trigger.v").read_text()
    registers = set(re.findall(r"reg \[\d+:0\] (\w+)", top))
    assert len(registers) - 1 == written.circuit.latency


def test_the_files_hold_the_events_and_their_answers(tmp_path: Path) -> None:
    written = _written(tmp_path, "squared", 5)
    where = written.bench / "any"
    inputs = testbench.unpacked(
        written.circuit.inputs, (written.bench / "inputs.hex").read_text(), where
    )
    for name, column in inputs.items():
        constituent, port = name.split(".p")
        np.testing.assert_array_equal(column, written.inputs[:, int(constituent), int(port)])
    answers = (written.bench / "expected.hex").read_text()
    for name, column in testbench.unpacked(written.circuit.outputs, answers, where).items():
        np.testing.assert_array_equal(column, written.expected[name])


@pytest.fixture(scope="module", params=SCORES)
def simulated(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[_Written, dict[str, Integers]]]:
    """A simulation whose program is not removed, by kind of score and with other registers."""
    cutoff = {"squared": 1.5, "kl": 5.0}[request.param]
    written = _written(tmp_path_factory.mktemp(request.param), request.param, cutoff)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(testbench.shutil, "rmtree", lambda _: None)
        found = written.simulate()
    yield written, found
    shutil.rmtree(written.directory)


def _printed(written: _Written) -> str:
    program = written.bench / "build" / "Vtrigger_bench"
    return subprocess.run(
        [program], cwd=written.bench, text=True, capture_output=True, check=True
    ).stdout


@needs_verilator
def test_the_simulation_equals_the_integers(
    simulated: tuple[_Written, dict[str, Integers]],
) -> None:
    written, found = simulated
    assert list(found) == ["decision", "score"]
    for name, values in found.items():
        np.testing.assert_array_equal(values, written.expected[name])
        assert len(np.unique(values)) > 1
    assert "0 of 200 events differ" in _printed(written)


@needs_verilator
def test_the_simulation_of_thresholds_by_mass_equals_the_integers(tmp_path: Path) -> None:
    encoder = random_encoder(1, constituents=2, ports=2, phi=(3,), rho=(), input_bits=4)
    encoder = with_latents(encoder, 3)
    score = ChipScore("squared", encoder.head.output, 2)
    inputs = events(encoder, 200)
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
    found = testbench.simulate(circuit, tmp_path / "verilog", bench)
    for name, values in found.items():
        np.testing.assert_array_equal(values, expected[name])
        assert len(np.unique(values)) > 1


@needs_verilator
def test_the_bench_counts_the_events_that_differ(
    simulated: tuple[_Written, dict[str, Integers]],
) -> None:
    written, _ = simulated
    answers = written.bench / "expected.hex"
    right = answers.read_text()
    lines = right.splitlines()
    # the first, the last and one between: one bit each
    for place in (0, 57, 199):
        lines[place] = f"{int(lines[place], 16) ^ 2:0{len(lines[place])}x}"
    answers.write_text("\n".join(lines) + "\n")
    assert "3 of 200 events differ" in _printed(written)
    answers.write_text(right)
    assert "0 of 200 events differ" in _printed(written)


def _tool(path: Path, script: str) -> None:
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_without_verilator_the_cure_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = _written(tmp_path, "squared", 5)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert not testbench.has_verilator()
    with pytest.raises(MissingToolError, match="Cure: apt-get install verilator"):
        written.simulate()


def test_a_failing_program_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = _written(tmp_path, "kl", 5)
    script = "echo long ago; for i in 1 2 3 4; do echo line $i; done; echo no memory >&2; exit 7"
    _tool(tmp_path / "bin" / "verilator", script)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(
        ExportError,
        match=r"verilator in .* ended with status 7: line 1 .*no memory\. Cure: run simulate\.sh",
    ) as error:
        written.simulate()
    assert "long ago" not in str(error.value)


def test_the_wrapper_is_not_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tool(tmp_path / "bin" / "verilator", f"echo $* > {tmp_path}/asked; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for kind in SCORES:
        written = _written(tmp_path / kind, kind, 5)
        with pytest.raises(ExportError, match="status 1"):
            written.simulate()
        asked = (tmp_path / "asked").read_text()
        # the exponential is a table of its own file
        assert ("trigger_tables.v" in asked) == (kind == "kl")
        assert "trigger_wrapper" not in asked
