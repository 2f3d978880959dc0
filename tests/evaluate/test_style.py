"""A legend fits into its figure, and takes no room from the panels."""

from __future__ import annotations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from anomaly_hep.evaluate.figures.style import house_style, legend_below


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
