"""What the report says first: whose data, whether supervised, and what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anomaly_hep.evaluate.cells import percent
from anomaly_hep.evaluate.groups import groups_of
from anomaly_hep.evaluate.labels import decay, events_name, mean_of, score_name
from anomaly_hep.evaluate.metrics import GAIN_KEY, REFERENCE
from anomaly_hep.evaluate.remarks import SUPERVISED, is_supervised, signal_in_training
from anomaly_hep.evaluate.tables import HEADLINE, metric_cells


def banners(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return title and text of notes that nobody should miss: simulated data, supervised model."""
    found = []
    for said in (SUPERVISED if is_supervised(metrics) else "", signal_in_training(metrics)):
        if said:
            first, _, rest = said.partition(": ")
            found.append((first, rest[0].upper() + rest[1:]))
    if metrics["data"]["origin"] == "simulated":
        generator = metrics["data"].get("generator") or "our own simulation"
        text = (
            f"These {events_name(metrics)} were made by {generator} for this project; they are not "
            "the published data set, and numbers may differ from published ones for that reason "
            "alone."
        )
        found.append(("Simulated data", text))
    return found


def headline(metrics: Mapping[str, Any]) -> str:
    """Say in a sentence or two what the default score finds, and whether a baseline does better."""
    return _of_groups(metrics) if groups_of(metrics) else _of_signals(metrics)


def _of_groups(metrics: Mapping[str, Any]) -> str:
    background, name = metrics["data"]["background"], metrics["default_score"]
    areas, rates = (metric_cells(metrics, "scores", name, key) for key in ("auc", "fpr_at_tpr_40"))
    parts = []
    for group, labels in groups_of(metrics).items():
        mean = mean_of(group)
        text = f"{_inline(areas[mean])} for {group}"
        if len(labels) > 1:
            text += f" (mean over {len(labels)} masses)"
        if mean in rates:
            text += f", where {_inline(rates[mean])} of {background} passes with 40 % of the signal"
        parts.append(text)
    text = (
        f"The {score_name(name)} separates signals from {background} with an area under the ROC "
        f"curve of {'; and of '.join(parts)}."
    )
    if REFERENCE in metrics["baselines"]:
        known = metric_cells(metrics, "baselines", REFERENCE, "auc")
        areas_of = [f"{_inline(known[mean_of(group)])} for {group}" for group in groups_of(metrics)]
        text += f" Counting {score_name(REFERENCE)} alone reaches {' and '.join(areas_of)}."
        gains = metrics["means"][name]
        of_groups = [f"{_points(gains[group][GAIN_KEY])} for {group}" for group in gains]
        text += f" On the same events the score is ahead by {' and '.join(of_groups)}."
    return text


def _of_signals(metrics: Mapping[str, Any]) -> str:
    background, name = metrics["data"]["background"], metrics["default_score"]
    found = {s: m[HEADLINE] for s, m in metrics["scores"][name].items() if m[HEADLINE]}
    if not found:
        return "There are too few events to measure an efficiency."
    best = max(found, key=lambda signal: float(found[signal][0]))
    worst = min(found, key=lambda signal: float(found[signal][0]))
    text = (
        f"A cut on the {score_name(name)} that lets 1 in 100 {background} events pass keeps "
        f"{_inline(found[best])} of {decay(best)} and {_inline(found[worst])} of {decay(worst)}, "
        "the signals it finds best and worst."
    )
    reference = metrics["baselines"].get("n_subjettiness", {})
    compared = [s for s in found if s in reference and reference[s][HEADLINE]]
    ahead = sum(found[s][1] > reference[s][HEADLINE][2] for s in compared)
    behind = sum(found[s][2] < reference[s][HEADLINE][1] for s in compared)
    if compared:
        text += (
            f" Compared with N-subjettiness it keeps more of {ahead} signals and less of {behind}; "
            f"for {len(compared) - ahead - behind} the intervals overlap."
        )
    return text


def _points(interval: Sequence[float]) -> str:
    """Return a difference of two areas, in points of a percent."""
    value, low, high = (100 * number for number in interval)
    return f"{value:+.2f} ± {(high - low) / 2:.2f} points"


def _inline(interval: Sequence[float]) -> str:
    cell = percent(*interval)
    return f"{cell.value} {f'({cell.spread})' if ' ' in cell.spread else cell.spread} %"
