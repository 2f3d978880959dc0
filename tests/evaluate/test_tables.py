"""Tables: numbers with the digits that they deserve, rows and columns in their order."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console
from rich.text import Text
from tests.evaluate.fake_run import DATA, PAPER, jet_results, score_table

from anomaly_hep.evaluate.cells import Cell, percent
from anomaly_hep.evaluate.metrics import AREA, signal_efficiency_at
from anomaly_hep.evaluate.render import to_markdown
from anomaly_hep.evaluate.tables import published_table, result_table

PUBLISHED = PAPER.published(
    {"model": {"name": "clipvae", "encoder": {"kind": "deepset"}, "use_pid": True}}
)


@pytest.fixture(scope="module")
def results():
    return jet_results(score_table())


def printed(table, width, *, terminal=True):
    console = Console(width=width, file=io.StringIO(), force_terminal=terminal, no_color=True)
    console.print(table)
    return Text.from_ansi(console.file.getvalue()).plain


@pytest.mark.parametrize(
    ("interval", "cell"),
    [
        ((0.181, 0.172, 0.190), ("18.1", "±0.9")),
        ((0.57, 0.51, 0.63), ("57", "±6")),
        ((0.006, 0.004, 0.0094), ("0.6", "+0.3 −0.2")),
        ((0.1234, 0.1231, 0.1238), ("12.34", "+0.04 −0.03")),
        ((0.0, 0.0, 0.02), ("0.0", "+2.0 −0.0")),
    ],
)
def test_digits_follow_the_interval(interval, cell):
    assert percent(*interval) == Cell(*cell)


def keys(table):
    return [column.key for column in table.columns]


def test_columns_and_rows_are_in_the_papers_order(results):
    table = result_table(results, published=PUBLISHED)
    assert keys(table) == ["H4q", "Hbb", "Hcc", "Hgg", "Hqql", "Wqq", "Zqq", "Tbl", "Tbqq"]
    assert [column.text for column in table.columns][:2] == ["H → 4q", "H → bb"]
    assert [row.name for row in table.rows] == [
        "KL divergence", "  paper Table 2", "Chamfer loss", "total loss",
        "N-subjettiness", "  paper Table 2", "soft-drop mass", "multiplicity",
    ]  # fmt: skip
    assert [row.chosen for row in table.rows] == [True] + [False] * 7
    assert table.rows[1].cells["Tbqq"] == Cell("22", "±5")
    assert table.rows[5].cells["Tbl"] == Cell("31", "")


def test_simulated_data_event_counts_and_the_spread_of_trainings_are_said(results):
    remarks = " ".join(result_table(results, published=PUBLISHED).remarks)
    counts = results.data.events
    assert "JetClass (simulated)" in remarks
    assert f"{counts['QCD']:,} QCD" in remarks
    assert f"{3000 - counts['QCD']:,} signal events" in remarks
    assert "own simulation" in remarks
    assert "This is one training. Another seed, or the same seed on another processor" in remarks


def test_published_rows_only_stand_beside_what_was_published(results):
    table = result_table(results, metric=AREA, published=PUBLISHED)
    assert not any(row.section == "published" for row in table.rows)


def test_a_published_table_is_whole():
    table = published_table(PAPER, 1)
    assert table.title == (
        "arXiv:2311.17162 Table 1: signal efficiency in % at background rejection 100"
    )
    assert keys(table) == [signal.label for signal in PAPER.signals]
    assert [row.name for row in table.rows][-1] == "paper Table 1: N-subjettiness"
    assert len(table.rows) == 5


def test_jets_in_groups_keep_the_table_of_jets():
    data = replace(DATA, groups={"Higgs": ["Hbb", "Hcc"], "top": ["Tbl", "Tbqq"]})
    table = result_table(jet_results(score_table(), data=data), published=PUBLISHED)
    assert table.title == "Signal efficiency in % at background rejection 100"
    assert not table.also
    assert keys(table)[:3] == ["Hbb", "Hcc", "mean Higgs"]
    assert table.blocks[-1][0].key == "H4q"
    assert "mean Higgs" in table.rows[0].cells
    assert table.rows[1].cells["Hbb"] == Cell("5.1", "±1.2")


def test_a_metric_that_is_null_is_a_dash():
    results = jet_results(score_table(300))
    table = result_table(results, metric=signal_efficiency_at(1000))
    assert "| **KL divergence** | – |" in to_markdown(table)
    assert any("rejection 1000" in remark for remark in table.remarks)


@pytest.mark.parametrize("width", [50, 60, 80, 100, 140])
def test_no_terminal_cuts_a_number(results, width):
    table = result_table(results, published=PUBLISHED)
    text = printed(table, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for row in table.rows:
        for cell in row.cells.values():
            assert re.search(rf"(?<![\d.]){re.escape(cell.value)}(?![\d.])", text)
            assert cell.spread in text


def test_markdown_has_all_numbers(results):
    table = result_table(results, published=PUBLISHED)
    lines = to_markdown(table).splitlines()
    assert lines[2].count("|") == lines[3].count("|") == 11
    row = next(line for line in lines if line.startswith("| **KL divergence**"))
    assert row.split("|")[2].strip() == str(table.rows[0].cells["H4q"])
