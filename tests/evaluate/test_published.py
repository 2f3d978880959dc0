"""The published tables, against numbers typed a second time from the paper's text."""

from __future__ import annotations

import pytest
from anomaly_hep.evaluate.published import PUBLISHED, SIGNALS, published_row

from anomaly_hep.errors import ConfigError

# signal, table, row, mean, spread: cells picked from both tables, corners included
CELLS = [
    ("H4q", 1, "DeepSet w/ PID", 5.9, 0.3),
    ("Tbqq", 1, "DeepSet w/ PID", 18.1, 0.9),
    ("Tbl", 1, "DeepSet w/ PID", 77, 9),
    ("Hgg", 1, "DeepSet w/o PID", 0.4, 0.2),
    ("Tbqq", 1, "DeepSet w/o PID", 9.1, 3.4),
    ("Hqql", 1, "Transformer w/ PID", 42, 3),
    ("H4q", 1, "Transformer w/o PID", 3.0, 1.1),
    ("Tbqq", 1, "Transformer w/o PID", 4.4, 0.1),
    ("Hqql", 2, "DeepSet w/ PID", 35, 3),
    ("Tbqq", 2, "DeepSet w/ PID", 22, 5),
    ("Hcc", 2, "DeepSet w/o PID", 6.3, 0.5),
    ("Tbl", 2, "DeepSet w/o PID", 49, 2),
    ("H4q", 2, "Transformer w/ PID", 6.5, 0.8),
    ("Zqq", 2, "Transformer w/ PID", 3.3, 0.3),
    ("Wqq", 2, "Transformer w/o PID", 5.6, 0.9),
    ("Tbqq", 2, "Transformer w/o PID", 11, 1),
]


@pytest.mark.parametrize(("signal", "table", "row", "mean", "spread"), CELLS)
def test_cells(signal, table, row, mean, spread):
    found = published_row(table, row)
    assert (found.values[signal], found.spread[signal]) == (mean, spread)


def test_both_tables_are_whole_and_share_their_baseline():
    assert SIGNALS == ("H4q", "Hbb", "Hcc", "Hgg", "Hqql", "Wqq", "Zqq", "Tbl", "Tbqq")
    assert len(PUBLISHED) == 10
    assert all(tuple(row.values) == SIGNALS for row in PUBLISHED.values())
    baselines = [published_row(table, "N-subjettiness") for table in (1, 2)]
    assert baselines[0].values == baselines[1].values
    assert list(baselines[0].values.values()) == [0.6, 1.9, 5.0, 0.2, 19, 4.1, 3.5, 31, 8.8]
    assert not baselines[0].spread


def test_profiles():
    assert published_row(1, "DeepSet w/ PID").parameters == "205K"
    assert published_row(1, "Transformer w/ PID").flops == "171M"
    assert published_row(2, "DeepSet w/ PID").flops == "6.95M"
    assert published_row(2, "Transformer w/ PID").parameters == "952K"


def test_an_unknown_row_is_refused_with_the_list():
    with pytest.raises(ConfigError, match=r"no published table 3.*table 1, row 'DeepSet w/ PID'"):
        published_row(3, "DeepSet w/ PID")
