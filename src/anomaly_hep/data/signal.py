"""Which signal events enter a training: none, a share of the background's number, or all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from anomaly_hep.data.plan import Slice
from anomaly_hep.errors import ConfigError, MissingDataError
from anomaly_hep.types import FileDescription

ALL = "all"
Groups = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class SignalInTraining:
    """The setting data.signal_in_training: 0, a share up to 1, or 'all'; refuses any other."""

    value: float | str

    def __post_init__(self) -> None:
        given = self.value
        known = given == ALL if isinstance(given, str) else 0 <= given <= 1
        if not known:
            raise ConfigError(
                f"data.signal_in_training={given} does not exist. Cure: choose 0 (none), a share "
                "of the training background such as 0.01, or all (for supervised models)"
            )

    @property
    def labelled(self) -> bool:
        """Whether all signal events train, with their labels."""
        return self.value == ALL

    @property
    def share(self) -> float:
        """Events of each group per background event; 0 where all train."""
        return 0.0 if isinstance(self.value, str) else float(self.value)

    def check(self, model: Any) -> None:
        """Refuse a model and a setting that do not belong together."""
        supervised = bool(getattr(model, "supervised", False))
        name = type(model).__name__
        if supervised and not self.labelled:
            raise ConfigError(
                f"{name} is supervised: it learns from labelled signal events, but "
                f"data.signal_in_training={self.value}. Cure: set data.signal_in_training=all, or "
                "choose an unsupervised model"
            )
        if self.labelled and not supervised:
            raise ConfigError(
                f"data.signal_in_training=all gives the training every signal event and its label, "
                f"but {name} learns without labels. Cure: set it to 0, or to a share such as 0.01; "
                "all is for supervised models such as model=cct"
            )


def class_numbers(classes: Sequence[str], background: str, groups: Groups | None) -> dict[str, int]:
    """Return the number of each class for a classifier: 0 the background, then group by group."""
    numbers = {background: 0}
    for number, (group, members) in enumerate((groups or {}).items(), start=1):
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
    return numbers


def check_all_grouped(classes: Sequence[str], numbers: Mapping[str, int]) -> None:
    """Refuse signals that are in no group: a classifier would not know what they are."""
    without = [label for label in classes if label not in numbers]
    if without:
        raise ConfigError(
            f"{', '.join(without)} are in none of data.groups, so they have no class to learn. "
            "Cure: add them to a group, or take them out of data.classes"
        )


def drawn(
    share: float,
    background: int,
    groups: Groups | None,
    files: Callable[[str], list[FileDescription]],
    first: int,
) -> list[Slice]:
    """Return the first events of the groups' classes, `share` times `background` of each group.

    The classes of a group give equal parts, to within one event. Events are numbered on from
    `first`. Raises MissingDataError where there are too few.
    """
    if not groups:
        raise ConfigError(
            f"data.signal_in_training={share:g} needs data.groups, which say what the share is of. "
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


def _first(files: Sequence[FileDescription], wanted: int, label: str) -> list[Slice]:
    """Return the first `wanted` events of files."""
    parts, left = [], wanted
    for file in files:
        taken = min(left, file.entries)
        if taken:
            parts.append(Slice(file.path, 0, taken, 0))
        left -= taken
    if left:
        raise MissingDataError(
            f"data.signal_in_training asks for {wanted} training events of {label}, but there are "
            f"{wanted - left}. Cure: a smaller share, or more in data.simulation.sizes.train"
        )
    return parts
