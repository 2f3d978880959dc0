"""Curves of the significance improvement, eps_S / sqrt(eps_B), against the signal efficiency."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from anomaly_hep.evaluate.figures.roccurves import Distributions
from anomaly_hep.evaluate.figures.style import house_style, legend_below, signal_lines, stamp
from anomaly_hep.evaluate.intervals import efficiency_interval
from anomaly_hep.evaluate.metrics import improvement_cuts
from anomaly_hep.evaluate.results import Results

FEWEST = 10  # background events above the cut where a curve ends


def improvement_of_score(name: str, samples: Distributions, results: Results) -> Figure:
    """Return the significance improvement of cuts on one score for every signal, with bands.

    Curves end where fewer than `FEWEST` background events pass. arXiv:2408.17409 Fig. 6.
    """
    background = samples[results.data.background]
    with house_style():
        figure = Figure(figsize=(6.4, 5.4))
        axes = figure.subplots()
        for signal, line in signal_lines(set(samples) - {results.data.background}, results).items():
            points = [
                (interval.value, *(number * rejection**0.5 for number in interval))
                for rejection in improvement_cuts(background, FEWEST)
                if (interval := efficiency_interval(background, samples[signal], rejection))
            ]
            if not points:
                continue
            efficiency, value, low, high = np.array(points).T
            axes.plot(efficiency, value, label=results.paper.math(signal), **line)
            axes.fill_between(efficiency, low, high, color=line["color"], alpha=0.2, linewidth=0)
        share = np.linspace(0.0, 1.0, 200)
        axes.plot(share, share**0.5, color="0.5", linestyle=":", linewidth=1.0, label="random cut")
        axes.set_xlim(0.0, 1.0)
        axes.set_ylim(bottom=0.0)
        axes.set_xlabel(f"signal efficiency, cut on {results.title(name)}")
        axes.set_ylabel(r"significance improvement $\epsilon_S / \sqrt{\epsilon_B}$")
        legend_below(figure, axes.get_legend_handles_labels()[0])
        stamp(axes, results, right=results.data.counts)
    return figure
