"""Which signal events enter a training: none, an unlabelled share, or labelled classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from anomaly_hep.data.plan import Slice
from anomaly_hep.data.samples import SampleFile
from anomaly_hep.errors import ConfigError, MissingDataError

SignalGroups = Mapping[str, Sequence[str]]  # labels by the name of their group
EVERY = "*"  # among the labels of a phase: all classes


def check_share(share: Any) -> float:
    """Return data.signal_in_training as a float; raises ConfigError unless it is a share."""
    if not isinstance(share, int | float) or isinstance(share, bool) or not 0 <= share <= 1:
        raise ConfigError(
            f"data.signal_in_training={share} is no share. Cure: choose 0 (none), or a share of "
            "the training background such as 0.01. Signals with their labels are for phases that "
            "ask for them: model.phases.NAME.labels"
        )
    return float(share)


def labelled_classes(
    labels: Sequence[str], classes: Sequence[str], background: str
) -> tuple[str, ...]:
    """Return the signal classes that `labels` of a phase stand for, in the data set's order."""
    for label in labels:
        if label not in (EVERY, *classes):
            raise ConfigError(
                f"`labels` of a phase in model.phases names {label}, which is no class. Cure: "
                f"choose among {', '.join(classes)}, or '{EVERY}' for all"
            )
    return tuple(c for c in classes if c != background and (EVERY in labels or c in labels))


def class_numbers(
    signals: Sequence[str], classes: Sequence[str], background: str, groups: SignalGroups | None
) -> dict[str, int]:
    """Return the class numbers for a classifier: 0 for the background, then one per group.

    Without groups each signal has its own number.
    """
    numbers = {background: 0}
    if not groups:
        return numbers | {label: number for number, label in enumerate(signals, start=1)}
    for number, (group, members) in enumerate(groups.items(), start=1):
        for label in members:
            if label not in classes:
                raise ConfigError(
                    f"data.groups.{group} names {label}, which is no class. Cure: choose among "
                    f"{', '.join(classes)}"
                )
            if label in numbers:
                raise ConfigError(
                    f"data.groups.{group} names {label}, which is the background or in another "
                    "group too. Cure: name each signal once"
                )
            numbers[label] = number
    if ungrouped := [label for label in signals if label not in numbers]:
        raise ConfigError(
            f"{', '.join(ungrouped)} are in none of data.groups, so they have no class to learn. "
            "Cure: add them to a group, or leave them out of model.phases.NAME.labels"
        )
    return numbers


def drawn(
    share: float,
    background: int,
    groups: SignalGroups | None,
    files: Callable[[str], list[SampleFile]],
    first: int,
) -> list[Slice]:
    """Return `share` times `background` events of each group, the first ones of its classes.

    The classes of a group give equal parts, to within one event. Events are numbered from `first`.
    Raises MissingDataError if there are too few.
    """
    if not groups:
        raise ConfigError(
            f"data.signal_in_training={share:g} needs data.groups: each group gets this share. "
            "Cure: list the signals in data.groups, or set data.signal_in_training=0"
        )
    parts: list[Slice] = []
    for members in groups.values():
        total = round(share * background)
        for place, label in enumerate(members):
            wanted = total // len(members) + (place < total % len(members))
            for part in _first(files(label), wanted, label):
                parts.append(replace(part, first=first))
                first += part.stop
    return parts


def _first(files: Sequence[SampleFile], wanted: int, label: str) -> list[Slice]:
    """Return the first `wanted` events of the files."""
    parts, left = [], wanted
    for file in files:
        taken = min(left, len(file))
        if taken:
            parts.append(Slice(file, 0, taken, 0))
        left -= taken
    if left:
        raise MissingDataError(
            f"data.signal_in_training asks for {wanted} training events of {label}, but there are "
            f"{wanted - left}. Cure: a smaller share, or more in data.simulation.sizes.train"
        )
    return parts
