"""Semi-supervised permutation invariant particle-level anomaly detection (arXiv:2408.17409).

The paper prints no number: areas and curves are in its figures alone, so there are no published
rows. What it claims in words is measured in docs/results/lhc-olympics.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from anomaly_hep.evaluate import figures
from anomaly_hep.evaluate.general import ONE_TRAINING
from anomaly_hep.evaluate.headline import best_and_worst_area
from anomaly_hep.evaluate.metrics import (
    AREA,
    background_at_largest,
    largest_improvement,
    signal_efficiency_at,
)
from anomaly_hep.evaluate.paper import Baseline, Paper, PublishedRow, Signal
from anomaly_hep.evaluate.results import Results

SOURCE = "arXiv:2408.17409"


def remarks(results: Results, rows: Sequence[PublishedRow]) -> Iterator[str]:
    """Yield what the events are."""
    del rows  # there are none
    if results.data.origin == "simulated":
        yield (
            "Black boxes are simulated ones, with the masses and decays of the published; their "
            "share of signal is not, see docs/how-to/simulate.md."
        )


PAPER = Paper(
    source=SOURCE,
    headlines=(AREA, largest_improvement()),
    metrics=(
        AREA,
        largest_improvement(),
        background_at_largest(),
        signal_efficiency_at(20),  # the published code's cut
        signal_efficiency_at(100),
    ),
    sentence=best_and_worst_area,
    # section 3
    signals=(
        Signal("two_prong", "2-prong", "R&D, 2-prong", colour="red"),
        Signal("three_prong", "3-prong", "R&D, 3-prong", colour="orange"),
        Signal("BlackBox1", "Black Box 1", colour="violet"),
        Signal("BlackBox2", "Black Box 2 (background)", "Black Box 2", colour="grey"),
        Signal("BlackBox3_dijet", "Black Box 3, 2 jets", colour="blue"),
        Signal("BlackBox3_trijet", "Black Box 3, 3 jets", colour="blue", line="--"),
    ),
    baselines=(
        Baseline(
            "jet_masses", "mass of both jets", "GeV", ("mj1", "mj2"), lambda one, two: one + two,
            optional=True,
        ),
        Baseline("mjj", "dijet mass", "GeV", ("mjj",), optional=True),
    ),
    remarks=remarks,
    one_training=ONE_TRAINING,
    plots=(
        figures.ROC_OF_SCORES,
        figures.IMPROVEMENTS,
        figures.HISTOGRAMS,
        figures.ROC,
        figures.ALL_HISTOGRAMS,
        figures.LOSSES,
    ),
)  # fmt: skip
