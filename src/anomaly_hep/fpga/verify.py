"""The proof: every implementation beside the quantised model, event by event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from anomaly_hep.errors import ExportError
from anomaly_hep.evaluate.curves import Sample
from anomaly_hep.evaluate.intervals import (
    Interval,
    efficiency_interval,
    mean_efficiency_interval,
)


@dataclass(frozen=True, eq=False)
class Stage:
    """What one implementation gave for the first events: scores, decisions, integers if it has any.

    `integers` holds, by the name of an output, integers in units of that output's last bit.
    """

    implementation: str
    scores: Shaped[np.ndarray, " event"]
    fires: Bool[np.ndarray, " event"]
    integers: Mapping[str, Int64[np.ndarray, "event ..."]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Comparison:
    """How a stage compares: with the quantised model where both are integers, else with the row
    above it, whose decisions alone can be compared.
    """

    stage: Stage
    equal: int | None
    max_difference_lsb: int | None
    decision_flips: int | None

    @property
    def exact(self) -> bool:
        """Whether nothing differs that had to be equal."""
        return self.equal is None or (self.equal == len(self.stage) and not self.decision_flips)


def compare(stages: Sequence[Stage]) -> list[Comparison]:
    """Return the comparison of each stage; the first with integers is the reference."""
    reference = next((stage for stage in stages if stage.integers), None)
    found: list[Comparison] = []
    before: Stage | None = None
    for stage in stages:
        if reference is None or stage is reference or not stage.integers:
            flips = None if before is None else _flips(before, stage)
            found.append(Comparison(stage, None, None, flips))
        else:
            found.append(_integers(reference, stage))
        before = stage
    return found


def _flips(one: Stage, other: Stage) -> int:
    count = min(len(one), len(other))
    return int((one.fires[:count] != other.fires[:count]).sum())


def _integers(reference: Stage, stage: Stage) -> Comparison:
    shared = [name for name in stage.integers if name in reference.integers]
    if not shared:
        raise ExportError(
            f"{stage.implementation} has no output that {reference.implementation} has. Cure: "
            "export the score or the latent vector"
        )
    count = len(stage)
    if not count:
        raise ExportError(
            f"{stage.implementation} has no events to compare. Cure: at least one in "
            "fpga.test_events and fpga.rtl.simulated_events"
        )
    differences = [
        np.abs(stage.integers[name] - reference.integers[name][:count]).reshape(count, -1)
        for name in shared
    ]
    worst = np.concatenate(differences, axis=1).max(axis=1)
    return Comparison(stage, int((worst == 0).sum()), int(worst.max()), _flips(reference, stage))


def refuse_differences(comparisons: Sequence[Comparison]) -> None:
    """Raise ExportError that names every stage which does not equal the quantised model."""
    wrong = [
        f"{c.stage.implementation}: {len(c.stage) - (c.equal or 0):,} of {len(c.stage):,} events "
        f"differ, by up to {c.max_difference_lsb} LSB, {c.decision_flips} decisions"
        for c in comparisons
        if not c.exact
    ]
    if wrong:
        raise ExportError(
            f"{'; '.join(wrong)}. The export does not compute what the model computes. Cure: do "
            "not use it; report it with the run directory"
        )


def efficiencies(
    stage: Stage, labels: Shaped[np.ndarray, " event"], background: str, rejection: float
) -> dict[str, Interval]:
    """Return each signal's efficiency at a rejection, from the stage's own ROC curve.

    Signals whose efficiency the compared background is too small for are left out.
    """
    samples = _samples(stage, labels)
    tail = samples.pop(background, None)
    if tail is None:
        return {}
    found = {label: efficiency_interval(tail, s, rejection) for label, s in samples.items()}
    return {label: interval for label, interval in found.items() if interval is not None}


def mean_efficiency(
    stage: Stage, labels: Shaped[np.ndarray, " event"], background: str, rejection: float
) -> Interval | None:
    """Return the mean over the signals of their efficiencies at a rejection."""
    samples = _samples(stage, labels)
    tail = samples.pop(background, None)
    if tail is None:
        return None
    return mean_efficiency_interval(tail, list(samples.values()), rejection)


def _samples(stage: Stage, labels: Shaped[np.ndarray, " event"]) -> dict[str, Sample]:
    labels = labels[: len(stage)]
    return {
        str(label): Sample.of(stage.scores[labels == label], name=stage.implementation)
        for label in dict.fromkeys(labels.tolist())
    }


def as_json(comparison: Comparison, efficiency: Mapping[str, Interval]) -> dict[str, Any]:
    """Return a comparison as fpga.json has it."""
    return {
        "implementation": comparison.stage.implementation,
        "events": len(comparison.stage),
        "equal": comparison.equal,
        "max_difference_lsb": comparison.max_difference_lsb,
        "decision_flips": comparison.decision_flips,
        "efficiency": {label: list(interval) for label, interval in efficiency.items()},
    }
