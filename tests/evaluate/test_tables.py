"""Tables: numbers with the digits that they deserve, rows and columns in their order."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console
from tests.evaluate.fake_run import METADATA, score_table

from anomaly_hep.errors import ConfigError
from anomaly_hep.evaluate.cells import Cell, percent
from anomaly_hep.evaluate.metrics import evaluate
from anomaly_hep.evaluate.published import published_row
from anomaly_hep.evaluate.render import to_markdown
from anomaly_hep.evaluate.tables import published_for, result_table


@pytest.fixture(scope="module")
def metrics():
    return evaluate(score_table(), metadata=METADATA)


def printed(table, width):
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(table)
    return console.file.getvalue()


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


def test_columns_and_rows_are_in_the_papers_order(metrics):
    table = result_table(metrics, published=published_for({}))
    assert table.signals == ["H4q", "Hbb", "Hcc", "Hgg", "Hqql", "Wqq", "Zqq", "Tbl", "Tbqq"]
    assert [row.name for row in table.rows] == [
        "KL divergence", "Chamfer loss", "total loss",
        "N-subjettiness", "soft-drop mass", "multiplicity",
        "paper Table 1: DeepSet w/ PID", "paper Table 2: DeepSet w/ PID",
        "paper Table 1: N-subjettiness",
    ]  # fmt: skip
    assert [row.chosen for row in table.rows] == [True] + [False] * 8
    assert table.rows[6].cells["Tbqq"] == Cell("18.1", "±0.9")
    assert table.rows[8].cells["Tbl"] == Cell("31", "")


def test_published_rows_follow_the_configuration():
    config = {"published": {"table": 2, "row": "Transformer w/o PID"}}
    rows = published_for(config)
    assert rows == [published_row(2, "Transformer w/o PID"), published_row(2, "N-subjettiness")]
    assert published_for({"published": None}) == published_for({})
    with pytest.raises(ConfigError, match="there are"):
        published_for({"published": {"table": 2, "row": "DeepSet"}})


def test_simulated_data_and_event_counts_are_said(metrics):
    remarks = " ".join(result_table(metrics, published=published_for({})).remarks)
    counts = metrics["data"]["events"]
    assert "JetClass (simulated)" in remarks
    assert f"{counts['QCD']:,} QCD" in remarks
    assert f"{3000 - counts['QCD']:,} signal events" in remarks
    assert "own simulation" in remarks


def test_published_rows_only_stand_beside_what_was_published(metrics):
    table = result_table(metrics, metric="auc", published=published_for({}))
    assert not any(row.kind == "published" for row in table.rows)


def test_a_metric_that_is_null_is_a_dash():
    metrics = evaluate(score_table(300), metadata=METADATA)
    table = result_table(metrics, metric="efficiency_at_rejection_1000")
    assert "| **KL divergence** | – |" in to_markdown(table)
    assert any("rejection 1000" in remark for remark in table.remarks)


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_no_terminal_cuts_a_number(metrics, width):
    table = result_table(metrics, published=published_for({}))
    text = printed(table, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for row in table.rows:
        for cell in row.cells.values():
            assert re.search(rf"(?<![\d.]){re.escape(cell.value)}(?![\d.])", text)
            assert cell.spread in text


def test_markdown_has_all_numbers(metrics):
    table = result_table(metrics, published=published_for({}))
    lines = to_markdown(table).splitlines()
    assert lines[2].count("|") == lines[3].count("|") == 11
    row = next(line for line in lines if line.startswith("| **KL divergence**"))
    assert row.split("|")[2].strip() == str(table.rows[0].cells["H4q"])
