"""Tables of runs with groups of signals: means, published rows beside, supervised models."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.evaluate.fake_image_run import GROUPS, PAPER, image_results, image_scores
from tests.evaluate.test_tables import keys, printed

from anomaly_hep.evaluate.cells import Cell, plain
from anomaly_hep.evaluate.metrics import signal_efficiency_at
from anomaly_hep.evaluate.render import to_markdown
from anomaly_hep.evaluate.tables import reconstruction_table, result_table

PUBLISHED = PAPER.published({"model": {"name": "codae"}})


@pytest.fixture(scope="module")
def results():
    return image_results(image_scores())


@pytest.fixture(scope="module")
def table(results):
    return result_table(results, published=PUBLISHED)


def test_both_tables_of_the_paper_with_means(table):
    assert table.title == "Area under the ROC curve in %"
    assert [other.title for other in table.also] == [
        "Background that passes in % where 40 % of the signal does"
    ]
    for part in (table, *table.also):
        columns = [*GROUPS["SUEP"], "mean SUEP", *GROUPS["SVJ"], "mean SVJ"]
        assert keys(part) == columns


def test_published_rows_stand_below_the_same_score(table):
    names = [row.name for row in table.rows]
    place = names.index("SAE")
    assert table.rows[place].chosen
    assert (names[place + 1], table.rows[place + 1].beside) == ("  paper Table 10", True)
    assert table.rows[place + 1].cells["mean SUEP"] == Cell("97.1", "")
    assert not table.rows[names.index("BCE") + 1].beside
    assert names[names.index("tracks") + 1] == "  paper Table 4"
    assert names[names.index("hit pixels") + 1] == "  paper T10 (inferred)"
    assert names[-1] == "paper Table 4: Supervised CCT"
    rates = table.also[0]
    sae = next(i for i, row in enumerate(rates.rows) if row.name == "SAE")
    assert rates.rows[sae + 1].cells["SUEP125"] == Cell("7.292", "")
    assert "SUEP1000" not in rates.rows[sae + 1].cells


def test_the_trap_of_the_papers_bce_is_said(table):
    remarks = " ".join(table.remarks)
    assert "The row that the paper calls BCE is its sum of absolute errors" in remarks
    assert "inferred" in remarks
    assert "jets" not in remarks
    assert "This is one training" in remarks


def test_other_metrics_have_no_means_and_no_published_rows(results):
    table = result_table(results, metric=signal_efficiency_at(10), published=PUBLISHED)
    assert keys(table) == [*GROUPS["SUEP"], *GROUPS["SVJ"]]
    assert not any(row.section == "published" for row in table.rows)


@pytest.mark.parametrize("width", [60, 100, 140])
def test_no_terminal_cuts_a_number(table, width):
    text = printed(table, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for part in (table, *table.also):
        for row in part.rows:
            assert all(cell.short in text for cell in row.cells.values())


def test_a_hundred_columns_hold_each_group_at_once(table):
    lines = printed(table, 100).splitlines()
    assert sum(" SUEP     SUEP" in line for line in lines) == 2
    assert sum("2.1 TeV" in line for line in lines) == 2


def test_markdown_has_both_tables(table):
    lines = to_markdown(table).splitlines()
    assert sum(line.startswith("| **SAE** |") for line in lines) == 2
    assert lines[2].split("|")[2:5] == [" SUEP 125 GeV ", " SUEP 200 GeV ", " SUEP 300 GeV "]


@pytest.mark.parametrize(
    ("cell", "short"),
    [
        (Cell("79.2", "+1.6 −1.8"), "79.2(18)"),
        (Cell("57", "±6"), "57(6)"),
        (Cell("0.000", "+0.006 −0.000"), "0.000(6)"),
        (Cell("100.0", "+0.0 −0.0"), "100.0(0)"),
        (Cell("99.98", ""), "99.98"),
    ],
)
def test_numbers_in_one_word(cell, short):
    assert cell.short == short


def test_small_rates_keep_their_digits():
    assert plain(0.0712, 0.0671, 0.0753) == Cell("0.071", "±0.004")
    assert plain(0.0038, 0.0035, 0.0042) == Cell("0.0038", "+0.0004 −0.0003")


def test_a_supervised_model_is_stamped(results):
    model = replace(results.model, supervised=True)
    remarks = result_table(replace(results, model=model)).remarks
    assert any(remark.startswith("SUPERVISED: ") for remark in remarks)
    assert not any("SUPERVISED" in remark for remark in result_table(results).remarks)


def test_reconstruction_beside_table_8(results):
    table = reconstruction_table(results, PUBLISHED)
    assert [row.name for row in table.rows[:3]] == ["QCD", "  paper Table 8", "SUEP 125 GeV"]
    assert table.rows[1].cells["mse"] == Cell("12.14", "")
    assert table.rows[1].cells["ssim_std"] == Cell("0.03", "")
    value, low, high = results.reconstruction["QCD"]["mse"].mean
    assert table.rows[0].cells["mse"] == plain(value, low, high)
    assert reconstruction_table(replace(results, reconstruction=None)) is None
