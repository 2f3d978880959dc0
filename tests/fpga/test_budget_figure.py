"""What the figure of a training to a budget shows."""

from __future__ import annotations

import pytest

from anomaly_hep.fpga.budget_figure import budget, published
from tests.fpga.summaries import make_budget


def test_each_start_is_drawn_with_the_one_in_the_budget_filled() -> None:
    (axes,) = budget(make_budget(), 80.0).axes
    points = {c.get_label(): c.lines[0].get_xydata().tolist() for c in axes.containers}
    assert points["learned widths, start 1"] == [[24000, 11], [60000, pytest.approx(13)]]
    assert points["fixed widths, start 2"] == [[48000, 12]]
    filled = [line.get_xydata().tolist() for line in axes.lines if line.get_markersize() == 7]
    assert filled == [[[24000, 11]], [[23000, 9]]]
    assert axes.get_ylabel() == "mean signal efficiency at rejection 100 [%]"


def test_published_designs_are_lines_with_their_source() -> None:
    figure = budget(make_budget(), 100.0)
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    for _, row in published().iterrows():
        assert any(row["design"] in text for text in texts)
        assert "arXiv:" in row["source"]
    assert published()["lut"].tolist() == [37675, 98760]
