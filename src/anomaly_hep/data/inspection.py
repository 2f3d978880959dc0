"""Look at the first events of a file: do they obey their format's rules, and which are they?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt64

from anomaly_hep.errors import BadFileError, ConfigError
from anomaly_hep.formats.checks import missing_branch
from anomaly_hep.formats.files import format_of
from anomaly_hep.formats.judging import check
from anomaly_hep.formats.layout import Layout, Rule
from anomaly_hep.types import Events, FileDescription

FIRST_EVENTS = 500
_COMMON = 5  # events that two files share, at least, if one repeats the other
_DISTINCT = 0.99  # share of events that no other event equals, at least


def rule_columns(described: FileDescription) -> list[str]:
    """Return the columns of a file that its format's rules need; rules without theirs are void."""
    rules = format_of(described.path).LAYOUT.rules
    return list(dict.fromkeys(name for rule in _usable(rules, described) for name in rule.needs))


def check_columns(described: FileDescription, needed: Sequence[str]) -> None:
    """Raise BadFileError for a needed column that a file lacks, as far as it says what it has."""
    for name in needed if described.columns else ():
        if name not in described.columns:
            raise missing_branch(described.path, name, described.columns)


def inspect(described: FileDescription, *, refuse: bool = True) -> frozenset[int]:
    """Apply the format's rules to the first events of a file; return what identifies these events.

    All rules are applied here, whatever columns a network needs: a file in other units than its
    format's is found before it is used. A column that is itself unreadable makes its rules void.
    Raises BadFileError for the first event that breaks one, if such are refused.
    """
    layout = format_of(described.path).LAYOUT
    rules = _usable(layout.rules, described)
    events = _first(described, rules)
    if refuse and events is not None:
        _apply(layout, rules, described, events)
    elif refuse:
        for rule in rules:
            _apply(layout, [rule], described, _first(described, [rule]))
    if events is None:
        return frozenset()
    found = _identities(events)
    middle = _first(described, rules, start=max(described.entries // 2, FIRST_EVENTS))
    both = found | (_identities(middle) if middle is not None else frozenset())
    expected = len(events) + (len(middle) if middle is not None else 0)
    if refuse and found and len(both) < _DISTINCT * expected:
        repeated = expected - len(both)
        raise BadFileError(
            described.path,
            f"of {expected} events at its start and from its middle on, {repeated} occur twice",
            cure="write each event once (a file added to itself?)",
        )
    return both


def _usable(rules: Sequence[Rule], described: FileDescription) -> list[Rule]:
    return [rule for rule in rules if {*rule.needs} <= {*described.columns}]


def _first(described: FileDescription, rules: Sequence[Rule], start: int = 0) -> Events | None:
    """Return the columns of rules of some events; None where they are unreadable or not there.

    None, too, where the file ends before `start`.
    """
    columns = list(dict.fromkeys(name for rule in rules for name in rule.needs))
    stop = min(described.entries, start + FIRST_EVENTS)
    try:
        read = format_of(described.path).read
        return read(described.path, start, stop, columns) if columns and stop > start else None
    except BadFileError:
        return None


def _apply(
    layout: Layout, rules: Sequence[Rule], described: FileDescription, events: Events | None
) -> None:
    if events is None:
        return
    columns = {**events.particles, **events.events}
    unusable = {name for name, values in columns.items() if not np.isfinite(values).all()}
    usable = tuple(rule for rule in rules if not unusable & {*rule.needs})
    # bounds of other columns, which perhaps nothing reads, are nobody's business
    needed = {name for rule in usable for name in rule.needs}
    relations = Layout(
        {name: column for name, column in layout.particles.items() if name in needed},
        {name: column for name, column in layout.events.items() if name in needed},
        rules=usable,
        stored=layout.stored,
    )
    known = Events(
        events.lengths,
        {name: values for name, values in events.particles.items() if name in needed},
        {name: values for name, values in events.events.items() if name in needed},
    )
    check(relations, described.path, known, np.arange(len(events)))


def _identities(events: Events) -> frozenset[int]:
    """Return a number for each event, which another event has by accident only."""
    if not events.events:
        return frozenset()
    return frozenset(event_hashes(events).tolist())


def event_hashes(events: Events) -> UInt64[np.ndarray, " event"]:
    """Return a number for each event that follows from its event columns, evenly distributed."""
    numbers = events.lengths.astype(np.uint64)
    for values in events.events.values():
        column = np.asarray(values, np.float32).view(np.uint32).astype(np.uint64)
        # SplitMix64's finaliser: each bit of the values changes all bits of the number
        numbers = (numbers ^ column) + np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
        numbers ^= numbers >> np.uint64(31)
    return numbers


class SeenEvents:
    """The first events of the files opened so far, to find those that two files hold."""

    def __init__(self) -> None:
        self._owners: dict[tuple[str, int | str], Path] = {}

    def add(self, label: str, path: Path, identities: Iterable[int | str]) -> Path | None:
        """Note a file of a class; return another one of the class that has some of its events.

        A copy, a link, and the same events in another format are found, also among other events.
        Single events may agree by accident in the few numbers that they are known by.
        """
        shared: Counter[Path] = Counter()
        numbers = list(identities)
        for identity in numbers:
            owner = self._owners.setdefault((label, identity), path)
            if owner.absolute() != path.absolute():
                if isinstance(identity, str):  # a checksum of the whole file
                    return owner
                shared[owner] += 1
        fewest = min(_COMMON, sum(isinstance(number, int) for number in numbers))
        return next((owner for owner, events in shared.items() if events >= fewest), None)

    def check(self, label: str, path: Path, identities: Iterable[int | str]) -> None:
        """Note a file of a class; raises ConfigError if another one has some of its events."""
        if other := self.add(label, path, identities):
            raise ConfigError(
                f"{path} and {other} hold the same events of {label}, which would count twice. "
                "Cure: remove one of them"
            )
