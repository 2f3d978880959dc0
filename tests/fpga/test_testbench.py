"""The files of the test bench: words that hold every field, and benches of both languages."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga import testbench
from anomaly_hep.fpga.circuit import Signal
from anomaly_hep.fpga.fixedpoint import FixedPoint
from tests.fpga.benches import written


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
    for words in (text, short):
        columns = testbench.unpacked(signals, words, Path("outputs.hex"))
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


@pytest.mark.parametrize("cutoff", [1.5, 5.0])
def test_the_bench_waits_as_long_as_the_pipeline_takes(tmp_path: Path, cutoff: float) -> None:
    made = written(tmp_path, "squared", cutoff)
    text = (made.bench / "trigger_bench.v").read_text()
    assert f"parameter LATENCY = {made.circuit.latency};" in text
    assert "parameter EVENTS = 200;" in text
    vhdl = (made.bench / "trigger_bench.vhd").read_text()
    assert f"constant LATENCY : positive := {made.circuit.latency};" in vhdl
    # two halves of 2.5 ns
    assert "always #1.25 clk = ~clk;" in text
    # from the first register that alkaid wrote to its last
    top = (tmp_path / "verilog" / "src" / "trigger.v").read_text()
    registers = set(re.findall(r"reg \[\d+:0\] (\w+)", top))
    assert len(registers) - 1 == made.circuit.latency


def test_the_files_hold_the_events_and_their_answers(tmp_path: Path) -> None:
    made = written(tmp_path, "squared", 5)
    where = made.bench / "any"
    inputs = testbench.unpacked(made.circuit.inputs, (made.bench / "inputs.hex").read_text(), where)
    for name, column in inputs.items():
        constituent, port = name.split(".p")
        np.testing.assert_array_equal(column, made.inputs[:, int(constituent), int(port)])
    answers = (made.bench / "expected.hex").read_text()
    for name, column in testbench.unpacked(made.circuit.outputs, answers, where).items():
        np.testing.assert_array_equal(column, made.expected[name])


@given(events=st.integers(1, 400), latency=st.integers(1, 400))
def test_idle_clocks_are_none_some_and_as_many_as_empty_the_pipeline(
    events: int, latency: int
) -> None:
    found = testbench.idle_clocks(events, latency)
    assert found == testbench.idle_clocks(events, latency)
    # two hexadecimal digits in idle.hex
    longest = min(latency + 2, 255)
    assert len(found) == events
    assert set(found) <= {0, 1, 2, 3, longest}
    if events > 300:
        assert {0, 1, longest} <= set(found)


def test_words_of_an_event_in_parts_follow_one_another(tmp_path: Path) -> None:
    made = written(tmp_path, "squared", 5, cycles=2)
    text = (made.bench / "inputs.hex").read_text()
    assert len(text.split()) == 400
    words = testbench.unpacked(made.circuit.inputs, text, made.bench)
    for name, column in words.items():
        _, port = name.split(".p")
        np.testing.assert_array_equal(column.reshape(200, 2), made.inputs[:, :, int(port)])
