"""What any paper gives: names, order, rows by choices; and data that no paper is about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from anomaly_hep import plugins
from anomaly_hep.errors import ConfigError
from anomaly_hep.evaluate.cells import Cell
from anomaly_hep.evaluate.metrics import GENERAL
from anomaly_hep.evaluate.paper import Baseline, Paper, Signal, load_paper, paper_of, read_rows
from anomaly_hep.evaluate.results import Results

CONF = Path(__file__).resolve().parents[2] / "conf"
TABLE = """table,row,choices,metric,score,signal,value,spread,inferred
3,Net,model.name=net model.depth=2 model.wide=true,auc,loss,X,61.0,0.5,
3,Net,model.name=net model.depth=2 model.wide=true,auc,loss,mean all,60,,
3,Cut,,auc,cut,X,55,,
4,Cut,,auc,cut,X,55,,
4,Big net,model.name=big,auc,,X,70,,inferred
"""


@pytest.fixture
def paper(tmp_path) -> Paper:
    path = tmp_path / "table.csv"
    path.write_text(TABLE)

    def sentence(results: Results) -> str:
        return results.default_score

    return Paper(
        headlines=(GENERAL[0],),
        sentence=sentence,
        plots=(),
        one_training="",
        signals=(Signal("B20", "B", mass=20), Signal("A", "A → x", r"$A \\to x$")),
        rows=read_rows(path),
        shown_with_all=("Big net",),
    )


def test_rows_are_read_as_they_are_printed(paper):
    net = paper.rows[0]
    assert net.choices == {"model.name": "net", "model.depth": 2, "model.wide": True}
    assert net.cells == {"X": Cell("61.0", "±0.5"), "mean all": Cell("60", "")}
    assert (net.values["X"], net.spread) == (61.0, {"X": 0.5})
    assert paper.rows[-1].inferred
    assert not net.inferred


def test_a_run_has_its_own_rows_the_baselines_of_its_table_and_what_stands_with_all(paper):
    config = {"model": {"name": "net", "depth": 2, "wide": True}}
    rows = [(row.table, row.row) for row in paper.published(config)]
    assert rows == [(3, "Net"), (3, "Cut"), (4, "Big net")]
    assert [row.table for row in paper.published({"model": {"name": "big"}})] == [4, 4]


@pytest.mark.parametrize(
    "model", [{"name": "other"}, {"name": "net", "depth": 3, "wide": True}, {"name": "net"}]
)
def test_another_run_has_none(paper, model):
    assert paper.published({"model": model}) == []


def test_known_signals_come_first_in_the_papers_order_and_others_by_number(paper):
    assert paper.ordered(["z10", "A", "z9", "B20"]) == ["B20", "A", "z9", "z10"]


def test_signals_have_their_names_and_unknown_ones_are_shown_as_they_are(paper):
    assert (paper.text("B20"), paper.short("B20"), paper.math("B20")) == (
        "B 20 GeV",
        "20 GeV",
        "B 20 GeV",
    )
    assert (paper.text("A"), paper.short("A")) == ("A → x", r"$A \\to x$")
    assert paper.text("new") == paper.math("new") == paper.signal("new").heading == "new"


def test_a_baseline_is_a_column_or_a_function_of_columns():
    table = pd.DataFrame({"a": [1, 2], "b": [3, 5]})
    np.testing.assert_array_equal(Baseline("x", "x", "GeV", ("b",))(table), [3.0, 5.0])
    difference = Baseline("x", "x", "GeV", ("b", "a"), lambda b, a: b - a)
    np.testing.assert_array_equal(difference(table), [2.0, 3.0])


def test_without_a_paper_there_are_general_metrics_and_nothing_else():
    paper = load_paper(None)
    assert paper.metrics == GENERAL
    assert (*paper.signals, *paper.baselines, *paper.rows, *paper.event_columns) == ()
    assert paper.published({"model": {"name": "clipvae"}}) == []
    assert paper.text("Tbl") == "Tbl"


@pytest.mark.parametrize("name", ["my-jetclass", "jetclass", "nothing"])
def test_an_unknown_paper_is_refused_with_those_there_are(name):
    with pytest.raises(ConfigError, match=f"no module '{name}' among the papers.*liu2023"):
        load_paper(name)


def test_a_configuration_without_a_paper_is_refused_with_a_cure():
    with pytest.raises(
        ConfigError,
        match=r"data\.paper.*Cure: add it to data.*matos2024, ostdiek2022 or null",
    ):
        paper_of({"data": {"name": "jetclass"}})
    assert paper_of({"data": {"name": "my-jetclass", "paper": None}}) is load_paper(None)


def test_every_data_set_names_a_paper_that_there_is():
    for path in (CONF / "data").glob("*.yaml"):
        load_paper(yaml.safe_load(path.read_text())["paper"])


@pytest.mark.parametrize("name", sorted(plugins.modules("papers")))
def test_every_paper_is_consistent(name):
    paper = load_paper(name)
    assert set(paper.headlines) <= set(paper.metrics)
    names = [baseline.name for baseline in paper.baselines]
    assert len(set(names)) == len(names)
    assert paper.reference is None or paper.reference in names
    rows = {row.row for row in paper.rows}
    assert set(paper.shown_with_all) <= rows
    keys = {metric.key for metric in paper.metrics} | {"mse", "ssim"}
    assert {row.metric for row in paper.rows} <= keys
    assert len({plot.name for plot in paper.plots}) == len(paper.plots)
