"""What became of the events that Pythia was asked for, and how many to ask for next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@runtime_checkable
class Source(Protocol):
    """What generator.Generator counts."""

    generated: int

    @property
    def skipped(self) -> int:
        """Events that Pythia could not generate."""

    @property
    def vetoed(self) -> int:
        """Events that the veto dropped."""


@dataclass
class EventCounts:
    """Numbers of events before the selection; simulations add what they select."""

    events_vetoed: int = 0
    events_generated: int = 0
    events_skipped: int = 0

    def follow(self, source: Source) -> None:
        """Take the numbers of the one generator that makes these events."""
        self.events_vetoed = source.vetoed
        self.events_generated = source.generated
        self.events_skipped = source.skipped


def in_words(counts: Mapping[str, int]) -> str:
    """Return the numbers of EventCounts as text."""
    return (
        f"events: {counts['events_vetoed']:,} vetoed early, {counts['events_generated']:,} "
        f"generated, {counts['events_skipped']} skipped by Pythia"
    )


def next_batch(batch: int, wanted: int, generated: int, selected: int) -> int:
    """Return how many events to generate: `batch`, or no more than the `wanted` ones need.

    `selected` of the `generated` ones were selected so far.
    """
    needed = -(-wanted * generated // max(selected, 1)) or batch
    return min(batch, needed)
