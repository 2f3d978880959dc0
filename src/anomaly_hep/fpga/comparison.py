"""The designs that were trained to a budget, measured on test events."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped

from anomaly_hep.evaluate.intervals import Interval, binomial
from anomaly_hep.fpga.alternatives import Alternative
from anomaly_hep.fpga.chipscore import ChipScore
from anomaly_hep.fpga.design import Design, chip_scores
from anomaly_hep.fpga.design_settings import DesignSettings, ScoreName
from anomaly_hep.fpga.efficiencies import by_label, mean_efficiency
from anomaly_hep.fpga.source import Timed
from anomaly_hep.fpga.summary import BudgetSummary, DesignPoint, EfficiencyAt
from anomaly_hep.fpga.trigger_inputs import Jets

# background events per one that passes, at which designs are compared
REJECTIONS = (10.0, 100.0, 1000.0)


def compared(
    design: Design, settings: DesignSettings, jets: Jets, background: str, timed: Timed
) -> BudgetSummary | None:
    """Return how the designs on the way to the budget do on test events; None without a budget."""
    if settings.target_lut is None:
        return None
    model = _at_rejections("the model", jets.score, jets.labels, background)
    with timed("designs on test events"):
        points = tuple(
            _point(alternative, design.score.name, jets, background)
            for alternative in design.alternatives
        )
    flips = None
    if settings.order_aware:
        flips = _flips(design, jets)
    starts = settings.learned.starts
    return BudgetSummary(settings.target_lut, starts, settings.order_aware, model, points, flips)


def _point(alternative: Alternative, score: ScoreName, jets: Jets, background: str) -> DesignPoint:
    encoder, candidate = alternative.integers, alternative.candidate
    chip = ChipScore(score, encoder.head.output, len(encoder.head.weight))
    scores = chip_scores(encoder, chip, jets)
    return DesignPoint(
        learned=alternative.learned,
        start=alternative.start,
        step=candidate.step,
        ebops=candidate.ebops,
        lut=candidate.lut,
        agreement=candidate.agreement,
        in_budget=alternative.in_budget,
        chosen=alternative.chosen,
        efficiencies=_at_rejections("a design", scores, jets.labels, background),
    )


def _at_rejections(
    name: str,
    scores: Shaped[np.ndarray, " event"],
    labels: Shaped[np.ndarray, " event"],
    background: str,
) -> tuple[EfficiencyAt, ...]:
    """Return the mean efficiency over the signals at each rejection; nothing without signals."""
    samples = by_label(scores, labels, name)
    if set(samples) <= {background}:
        return ()
    return tuple(
        EfficiencyAt(rejection, mean_efficiency(samples, background, rejection))
        for rejection in REJECTIONS
    )


def _flips(design: Design, jets: Jets) -> Interval:
    """Return the share of test events that are decided otherwise in another order."""
    rng = np.random.default_rng(0)
    inputs, _ = design.integers.quantize(jets.inputs)
    context, _ = design.integers.quantize_context(jets.context)
    masses = np.zeros(len(jets), np.int64)
    if design.table is not None:
        masses, _ = design.table.quantize(jets.mass)
    shuffled = rng.permuted(np.broadcast_to(np.arange(inputs.shape[1]), inputs.shape[:2]), axis=1)
    other = np.take_along_axis(inputs, shuffled[..., None], axis=1)
    decisions = []
    for values in (inputs, other):
        scores = design.score(design.integers(values, context))
        decisions.append(design.decide(scores, masses)["decision"])
    changed = decisions[0] != decisions[1]
    return binomial(int(changed.sum()), len(changed))
