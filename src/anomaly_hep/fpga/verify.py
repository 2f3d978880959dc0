"""The proof: every implementation beside the quantised model, event by event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from anomaly_hep.errors import ExportError
from anomaly_hep.evaluate.intervals import (
    Interval,
    efficiency_interval,
    mean_efficiency_interval,
)
from anomaly_hep.evaluate.roc import ScoreDistribution


@dataclass(frozen=True, eq=False)
class Stage:
    """What one implementation gave for the first events: scores, decisions, integers if it has any.

    `integers` are those of each output, in units of its last bit.
    """

    implementation: str
    scores: Shaped[np.ndarray, " event"]
    fires: Bool[np.ndarray, " event"]
    integers: Mapping[str, Int64[np.ndarray, "event ..."]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Comparison:
    """How a stage compares with the quantised model, in integers of the same outputs.

    Of a stage that is not in integers the decisions alone are compared, with the stage before it.
    What was not compared is None. `efficiency` is by signal, at the rejection that was asked for;
    signals that cannot be measured are left out.
    """

    implementation: str
    events: int
    equal: int | None
    max_difference_lsb: int | None
    decision_flips: int | None
    efficiency: Mapping[str, Interval]
    mean_efficiency: Interval | None

    @property
    def exact(self) -> bool:
        """Whether nothing differs that had to be equal."""
        return self.equal is None or (self.equal == self.events and not self.decision_flips)


def compare(
    stages: Sequence[Stage],
    labels: Shaped[np.ndarray, " event"],
    background: str,
    rejection: float,
) -> list[Comparison]:
    """Return the comparison of each stage; the first one in integers is the reference."""
    reference = next((stage for stage in stages if stage.integers), None)
    found: list[Comparison] = []
    before: Stage | None = None
    for stage in stages:
        equal = worst = None
        other = before
        if reference is not None and stage is not reference and stage.integers:
            other = reference
            differences = _differences(reference, stage)
            equal, worst = int((differences == 0).sum()), int(differences.max())
        flips = None if other is None else _flips(other, stage)
        measured = _efficiencies(stage, labels[: len(stage)], background, rejection)
        found.append(Comparison(stage.implementation, len(stage), equal, worst, flips, *measured))
        before = stage
    return found


def _flips(one: Stage, other: Stage) -> int:
    count = min(len(one), len(other))
    return int((one.fires[:count] != other.fires[:count]).sum())


def _differences(reference: Stage, stage: Stage) -> Int64[np.ndarray, " event"]:
    """Return the largest difference of any output that both have, by event."""
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
    return np.concatenate(differences, axis=1).max(axis=1)


def _efficiencies(
    stage: Stage, labels: Shaped[np.ndarray, " event"], background: str, rejection: float
) -> tuple[dict[str, Interval], Interval | None]:
    """Return each signal's efficiency from the stage's own ROC curve, and their mean."""
    samples = {
        str(label): ScoreDistribution.of(stage.scores[labels == label], name=stage.implementation)
        for label in dict.fromkeys(labels.tolist())
    }
    tail = samples.pop(background, None)
    if tail is None:
        return {}, None
    found = {label: efficiency_interval(tail, s, rejection) for label, s in samples.items()}
    known = {label: interval for label, interval in found.items() if interval is not None}
    return known, mean_efficiency_interval(tail, list(samples.values()), rejection)


def refuse_differences(comparisons: Sequence[Comparison]) -> None:
    """Raise ExportError that names every implementation that does not equal the model."""
    wrong = [
        f"{c.implementation}: {c.events - (c.equal or 0):,} of {c.events:,} events differ, by up "
        f"to {c.max_difference_lsb} LSB, {c.decision_flips} decisions"
        for c in comparisons
        if not c.exact
    ]
    if wrong:
        raise ExportError(
            f"{'; '.join(wrong)}. The export does not compute what the model computes. Cure: do "
            "not use it; report it with the run directory"
        )
