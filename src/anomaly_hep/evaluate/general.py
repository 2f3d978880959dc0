"""Defaults for data without a paper: the general metrics and figures, no baselines."""

from __future__ import annotations

from anomaly_hep.evaluate.figures import GENERAL_PLOTS
from anomaly_hep.evaluate.headline import best_and_worst_area
from anomaly_hep.evaluate.metrics import AREA
from anomaly_hep.evaluate.paper import Paper

ONE_TRAINING = (
    "This is one training: another seed, or the same seed on another processor, gives other "
    "numbers. Train several seeds, and collect says how much they spread."
)
GENERAL_PAPER = Paper(
    headlines=(AREA,),
    sentence=best_and_worst_area,
    plots=GENERAL_PLOTS,
    one_training=ONE_TRAINING,
)
