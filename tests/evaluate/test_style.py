"""Legends fit into their figures, and lines of scores tell what belongs together."""

from __future__ import annotations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from tests.evaluate.fake_run import jet_results, score_table

from anomaly_hep.evaluate.figures.style import house_style, legend_below, score_lines


@pytest.mark.parametrize("width", [3.1, 6.4, 12.0])
@pytest.mark.parametrize("lines", [1, 7, 40])
def test_a_legend_fits_and_panels_keep_their_height(width: float, lines: int) -> None:
    heights = []
    with house_style():
        for legend in (False, True):
            figure = Figure(figsize=(width, 4.0))
            axes = figure.subplots()
            handles = [Line2D([], [], label=f"chargino {i}, neutralino") for i in range(lines)]
            if legend:
                legend_below(figure, handles)
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            heights.append(axes.get_window_extent().height)
    box = figure.legends[0].get_window_extent(canvas.get_renderer())
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width
    assert 0 <= box.y0 < box.y1 <= figure.bbox.height
    assert heights[1] == pytest.approx(heights[0], abs=20)
    if width == 12.0 and lines == 40:
        assert box.width > 0.5 * figure.bbox.width


def test_a_decorrelated_score_has_the_colour_of_the_score_and_dots() -> None:
    table = score_table(600)
    for name in ("kl", "total"):
        table[f"score_{name}_decorrelated"] = table[f"score_{name}"]
    plain, both = score_lines(jet_results(score_table(600))), score_lines(jet_results(table))
    for name, line in plain.items():
        assert both[name] == line
    for name in ("kl", "total"):
        companion = both[f"{name}_decorrelated"]
        assert companion["color"] == both[name]["color"]
        assert companion["linestyle"] == ":"
