"""Tables of a firmware run: no console and no pipe breaks a word or loses a number."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from anomaly_hep.evaluate.resulttable import to_ascii
from anomaly_hep.fpga.proof_tables import (
    budget,
    decorrelation,
    efficiencies,
    proof,
    rate,
    resources,
)
from tests.fpga.summaries import (
    FLOATS,
    INTEGERS,
    make_budget,
    make_decorrelation,
    make_summary,
)

SIGNALS = ("Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
SUMMARY = make_summary(signals=SIGNALS)


def _printed(width: int) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width)
    console.print(proof(SUMMARY))
    console.print(resources(SUMMARY))
    return out.getvalue()


def _words(text: str) -> set[str]:
    return set(to_ascii(text).split())


@pytest.mark.parametrize("width", [40, 50, 60, 72, 80, 100, 160])
def test_no_word_is_broken_at_any_width(width: int) -> None:
    text = _printed(width)
    assert max(map(len, text.splitlines())) <= width
    said = _words(text)
    for table in (proof(SUMMARY), resources(SUMMARY)):
        for column in table.columns:
            assert _words(column.text) <= said
        for row in table.rows:
            assert _words(row.name) <= said
            for cell in row.cells.values():
                assert _words(str(cell)) <= said


def test_eighty_columns_hold_each_table_at_once() -> None:
    # the headings, once each
    tables = _printed(80).replace("Resources and latency", "").split("Float rows")
    for word in ("events", "exactly", "decisions", "efficiency"):
        assert len(re.findall(rf"\b{word}\b(?!:)", tables[0])) == 1, word
    for word in ("LUT", "interval", "clocks"):
        assert len(re.findall(rf"\b{word}\b", tables[1].split("Estimates")[0])) == 1, word


def test_implementations_are_shown_once_where_their_efficiencies_are_equal() -> None:
    table = efficiencies(SUMMARY)
    # all integers have those of the first
    assert [row.name for row in table.rows] == [n.split(": ")[0] for n in (*FLOATS, INTEGERS[0])]
    assert [column.text for column in table.columns][:2] == ["H → 4q", "H → bb"]


def test_one_threshold_is_beside_those_by_mass() -> None:
    one, by_mass = decorrelation(make_decorrelation()).rows
    assert (one.name, by_mass.name) == ("one threshold", "thresholds by mass")
    shown = {head: (one.cells[head].value, by_mass.cells[head].value) for head in one.cells}
    assert shown == {
        "fires [%]": ("1.0", "1.0"),
        "least in a bin [%]": ("0.10", "1.0"),
        "most in a bin [%]": ("3.0", "1.0"),
        "relative entropy [nats]": ("0.345", "0.0123"),
        "by chance [nats]": ("0.011", "0.011"),
        "mean efficiency [%]": ("31.0", "–"),
    }


def test_the_rate_is_beside_the_wanted_one() -> None:
    summary = make_summary(by_mass=True).rate
    assert summary is not None
    (row,) = rate(summary).rows
    assert [cell.value for cell in row.cells.values()] == ["1000", "1010"]


def test_the_latency_is_clocks_times_the_period() -> None:
    table = resources(SUMMARY)
    times = [row.cells["time at 2.5 ns"].value for row in table.rows]
    assert times == ["22.5 ns", "22.5 ns", "2,170 ns"]
    assert table.rows[2].cells["FF"].value == "–"
    assert "the timing is not closed" in " ".join(_printed(80).split())


def test_designs_for_a_budget_have_their_mean_and_spread_over_starts() -> None:
    table = budget(make_budget())
    rows = {row.name: {name: str(cell) for name, cell in row.cells.items()} for row in table.rows}
    assert list(rows) == [
        "float model", "fixed widths, start 1", "fixed widths, start 2",
        "fixed widths, mean and spread", "learned widths, start 1, chosen",
        "learned widths, start 2", "learned widths, mean and spread",
    ]  # fmt: skip
    assert rows["learned widths, start 1, chosen"]["LUT"] == "24,000"
    spread = rows["learned widths, mean and spread"]
    # by hand: 24,000 and 23,000; 11 and 9 %
    assert spread["LUT"] == "23,500 ±707"
    assert spread["at rejection 100 [%]"] == "10.0 ±1.4"
    assert spread["at rejection 1000 [%]"] == "–"
    assert "1 of 3 starts with fixed widths are left out" in "".join(table.remarks)
    assert "2.0 ±0.2 % of the test events are decided otherwise" in "".join(table.remarks)
