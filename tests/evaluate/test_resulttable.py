"""Tables on narrow terminals and in pipes: whole words, and nothing but ASCII where asked for."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluate.fake_image_run import image_results, image_scores
from tests.evaluate.fake_run import jet_results, score_table
from tests.evaluate.test_tables import PUBLISHED, printed

from anomaly_hep.evaluate.cells import Cell
from anomaly_hep.evaluate.resulttable import Column, ResultTable, Row, to_ascii
from anomaly_hep.evaluate.tables import result_table

LONG = "CLIP-VAE in sweep/2026-11-27/beta_0.08,clip_fraction_0.75/seed1: KL divergence (3 seeds)"


@pytest.fixture(scope="module")
def tables():
    return [
        result_table(jet_results(score_table(400)), published=PUBLISHED),
        result_table(image_results(image_scores())),
    ]


def _table(name: str, columns: int = 3) -> ResultTable:
    keys = [f"s{i}" for i in range(columns)]
    row = Row(name, "scores", {key: Cell("18.1", "+1.1 −0.9") for key in keys})
    return ResultTable("title", [[Column(key, key, f"Signal\n{key}") for key in keys]], [row], [])


@pytest.mark.parametrize("width", [60, 80])
def test_in_a_pipe_a_table_is_plain_ascii(tables, width):
    for table in tables:
        text = printed(table, width, terminal=False)
        assert text.isascii()
        assert max(map(len, text.splitlines())) <= width
    assert "H -> cc" in printed(tables[0], 80, terminal=False)
    assert re.search(r"\+\d\S* -\d", printed(tables[0], 80, terminal=False))


@pytest.mark.parametrize("width", [50, 80, 120])
def test_no_word_of_a_name_is_broken(tables, width):
    for table in (*tables, _table(LONG)):
        words = {word for row in table.rows for word in row.name.split() if len(word) < width - 12}
        text = printed(table, width)
        assert words <= set(text.split())


def test_a_path_is_cut_behind_a_slash_alone():
    lines = printed(_table(LONG), 50).splitlines()
    assert max(map(len, lines)) <= 50
    pieces = re.findall(r"[^/=_,]+[/=_,]*", LONG.split()[2])
    assert all(any(piece in line for line in lines) for piece in pieces)


@settings(max_examples=40)
@given(st.lists(st.text("abcdefghij", min_size=1, max_size=20), min_size=1, max_size=6),
       st.integers(1, 12), st.integers(45, 130))  # fmt: skip
def test_any_table_fits_and_is_whole(words, columns, width):
    text = printed(_table(" ".join(words), columns), width)
    assert max(map(len, text.splitlines())) <= width
    assert set(words) <= set(text.split())
    assert text.count("18.1") == columns
    assert {f"s{i}" for i in range(columns)} <= set(text.split())


def test_signs_of_physics_have_their_spelling_in_ascii():
    assert to_ascii("H → ℓνqq′ 18.1 ±0.9 +1.1 −0.9, ≤ 2 × 3 – η") == (
        "H -> lnuqq' 18.1 +-0.9 +1.1 -0.9, <= 2 x 3 - ?"
    )
