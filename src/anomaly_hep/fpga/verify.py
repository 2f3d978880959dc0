"""The proof: compare every implementation with the quantised model, event by event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from anomaly_hep.errors import ExportError
from anomaly_hep.evaluate.intervals import Interval, efficiency_interval
from anomaly_hep.fpga.efficiencies import by_label, mean_efficiency


@dataclass(frozen=True, eq=False)
class Stage:
    """Results of one implementation for the first events: scores, decisions, and integers if any.

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

    For a float stage only the decisions are compared, with the stage before it. Numbers that were
    not compared are None. `efficiency` is by signal, at the requested rejection; signals that
    cannot be measured are left out.
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
        """Whether everything is equal that must be equal."""
        return self.equal is None or (self.equal == self.events and not self.decision_flips)


def compare(
    stages: Sequence[Stage],
    labels: Shaped[np.ndarray, " event"],
    background: str,
    rejection: float,
    wide: Stage | None = None,
) -> list[Comparison]:
    """Return the comparison of each stage; the reference is the first integer stage.

    A stage with more events than that is compared with `wide`, which has as many at least. Events
    without a label do not count in efficiencies.
    """
    first = next((stage for stage in stages if stage.integers), None)
    results: list[Comparison] = []
    previous: Stage | None = None
    for stage in stages:
        equal = worst = None
        other = previous
        reference = first if wide is None or first is None or len(stage) <= len(first) else wide
        if reference is not None and stage is not first and stage.integers:
            other = reference
            differences = _differences(reference, stage)
            equal, worst = int((differences == 0).sum()), int(differences.max())
        flips = None if other is None else _flips(other, stage)
        measured = _efficiencies(stage, labels[: len(stage)], background, rejection)
        results.append(Comparison(stage.implementation, len(stage), equal, worst, flips, *measured))
        previous = stage
    return results


def _flips(one: Stage, other: Stage) -> int:
    count = min(len(one), len(other))
    return int((one.fires[:count] != other.fires[:count]).sum())


def _differences(reference: Stage, stage: Stage) -> Int64[np.ndarray, " event"]:
    """Return each event's largest difference over the outputs that both stages have."""
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
    samples = by_label(stage.scores[: len(labels)], labels, stage.implementation)
    mean = mean_efficiency(samples, background, rejection)
    tail = samples.pop(background, None)
    if tail is None:
        return {}, None
    efficiencies = {label: efficiency_interval(tail, s, rejection) for label, s in samples.items()}
    known = {label: interval for label, interval in efficiencies.items() if interval is not None}
    return known, mean


def refuse_differences(comparisons: Sequence[Comparison]) -> None:
    """Raise ExportError, naming every implementation that does not equal the model."""
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
