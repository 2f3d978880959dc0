"""Numbers of events, and how many to ask for next."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import pytest

from anomaly_hep.simulate.counts import EventCounts, in_words, next_batch


@dataclass
class Made:
    generated: int = 1500
    skipped: int = 2
    vetoed: int = 3000


def test_counts_are_the_generators() -> None:
    counts = EventCounts()
    counts.follow(Made())
    said = in_words(asdict(counts))
    assert said == "events: 3,000 vetoed early, 1,500 generated, 2 skipped by Pythia"


@pytest.mark.parametrize(
    ("wanted", "generated", "selected", "size"),
    [(500, 0, 0, 100), (500, 100, 50, 100), (10, 100, 50, 20), (10, 300, 91, 33), (1, 100, 0, 100)],
)
def test_no_more_events_are_asked_for_than_needed(
    wanted: int, generated: int, selected: int, size: int
) -> None:
    assert next_batch(100, wanted, generated, selected) == size
