"""Tables 1 and 2 of arXiv:2311.17162 against numbers typed a second time, and its baseline."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml

from anomaly_hep.evaluate.cells import Cell
from anomaly_hep.papers.liu2023 import PAPER, n_subjettiness

CONF = Path(__file__).resolve().parents[2] / "conf"
SIGNALS = ["H4q", "Hbb", "Hcc", "Hgg", "Hqql", "Wqq", "Zqq", "Tbl", "Tbqq"]

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


def published(table: int, name: str):
    (row,) = (r for r in PAPER.rows if (r.table, r.row) == (table, name))
    return row


@pytest.mark.parametrize(("signal", "table", "row", "mean", "spread"), CELLS)
def test_cells(signal, table, row, mean, spread):
    found = published(table, row)
    assert (found.values[signal], found.spread[signal]) == (mean, spread)
    assert found.cells[signal] == Cell(str(mean), f"±{spread}")


def test_both_tables_are_whole_and_share_their_baseline():
    assert [signal.label for signal in PAPER.signals] == SIGNALS
    assert len(PAPER.rows) == 10
    for row in PAPER.rows:
        assert list(row.values) == SIGNALS
        assert row.metric == "efficiency_at_rejection_100"
        assert row.score == {1: "chamfer", 2: "kl"}[row.table] or not row.choices
    baselines = [published(table, "N-subjettiness") for table in (1, 2)]
    assert baselines[0].values == baselines[1].values
    assert list(baselines[0].values.values()) == [0.6, 1.9, 5.0, 0.2, 19, 4.1, 3.5, 31, 8.8]
    assert not baselines[0].spread


@pytest.mark.parametrize(
    ("model", "encoder", "pid"),
    list(product(("setvae", "clipvae"), ("deepset", "transformer"), (True, False))),
)
def test_a_run_stands_beside_the_row_of_its_choices_and_that_tables_baseline(model, encoder, pid):
    # the values that the shipped yaml files give these keys
    kind = yaml.safe_load((CONF / "model" / "encoder" / f"{encoder}.yaml").read_text())["kind"]
    config = {"model": {"name": model, "encoder": {"kind": kind}, "use_pid": pid}}
    own, baseline = PAPER.published(config)
    assert own.table == baseline.table == {"setvae": 1, "clipvae": 2}[model]
    assert own.row.lower().startswith(encoder)
    assert ("w/ PID" in own.row) == pid
    assert baseline.score == "n_subjettiness"


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"model": None},
        {"model": {"name": "newvae", "encoder": {"kind": "deepset"}, "use_pid": True}},
        {"model": {"name": "clipvae", "encoder": {"kind": "trigger"}, "use_pid": True}},
    ],
)
def test_a_run_that_the_paper_did_not_make_has_no_rows(config):
    assert PAPER.published(config) == []


def test_n_subjettiness_by_hand():
    # tau21 = 1/2, tau32 = 1/2, tau42 = 1/4: 9.9 - 3.6 - 1.65 - 0.85 = 3.8
    found = n_subjettiness(*(np.array([tau]) for tau in (0.4, 0.2, 0.1, 0.05)))
    assert found[0] == pytest.approx(1 / (1 + math.exp(-3.8)), rel=1e-6)


def test_a_jet_without_substructure_gives_a_number():
    # two particles: every tau from the second on is zero, and so is every ratio
    found = n_subjettiness(np.array([0.2, 0.0]), *np.zeros((3, 2)))
    np.testing.assert_allclose(found, 1 / (1 + math.exp(-9.9)))


def test_two_prongs_score_above_one_and_four_below():
    one, two, four = np.array(
        [[0.3, 0.27, 0.25, 0.22], [0.3, 0.06, 0.05, 0.04], [0.3, 0.2, 0.1, 0.02]]
    )
    scores = [n_subjettiness(*(np.array([tau]) for tau in jet))[0] for jet in (one, two, four)]
    assert scores[1] > scores[2] > scores[0]


def test_the_table_of_scores_holds_what_the_baselines_need():
    taus = {f"jet_tau{i}" for i in (1, 2, 3, 4)}
    assert set(PAPER.event_columns) == taus | {"jet_sdmass", "jet_nparticles"}
