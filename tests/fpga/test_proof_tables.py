"""Tables of a firmware run: no console and no pipe breaks a word or loses a number."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from anomaly_hep.fpga.proof_tables import console_tables, efficiencies, proof, resources
from tests.fpga.summaries import FLOATS, INTEGERS, make_summary

SIGNALS = ("Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
SUMMARY = make_summary(signals=SIGNALS)


def _printed(width: int) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width)
    for part in console_tables(SUMMARY, width):
        console.print(part)
    return out.getvalue()


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\s─]+", text))


@pytest.mark.parametrize("width", [40, 50, 60, 72, 80, 100, 160])
def test_no_word_is_broken_at_any_width(width: int) -> None:
    text = _printed(width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    said = _words(text)
    for grid in (proof(SUMMARY), resources(SUMMARY)):
        for row in (grid.heads, *grid.rows):
            for cell in row:
                assert _words(str(cell)) <= said


def test_eighty_columns_hold_each_table_at_once() -> None:
    # the headings, once each
    text = _printed(80)
    for word in ("implementation", "exactly", "decisions", "LUT", "interval"):
        assert len(re.findall(rf"\b{word}\b", text.split("Resources are")[0])) == 1, word


def test_a_pipe_gets_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert Console(file=io.StringIO()).width == 80


def test_stages_are_shown_once_where_their_efficiencies_are_equal() -> None:
    names = [row[0] for row in efficiencies(SUMMARY).rows]
    # all integers have those of the first
    assert names == [name.split(": ")[0] for name in (*FLOATS, INTEGERS[0])]
    assert efficiencies(SUMMARY).heads[1:3] == ["H → 4q", "H → bb"]


def test_the_latency_is_clocks_times_the_period() -> None:
    grid = resources(SUMMARY)
    assert [row[-1] for row in grid.rows] == ["22.5 ns", "22.5 ns", "2,170 ns"]
    assert "time at 2.5 ns" in grid.heads
    assert grid.rows[2][2] == "–"
    assert "timing is not closed" in " ".join(_printed(80).split())
