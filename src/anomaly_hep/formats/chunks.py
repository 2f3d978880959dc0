"""Parts of any size cut into parts of one size, and the memory that they take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from anomaly_hep.types import Events


def cut(events: Events, start: int, stop: int) -> Events:
    """Return events `start` to `stop` as views: no copy is made."""
    edges = events.offsets
    first, last = int(edges[start]), int(edges[stop])
    return Events(
        events.lengths[start:stop],
        {name: column[first:last] for name, column in events.particles.items()},
        {name: column[start:stop] for name, column in events.events.items()},
    )


def rechunk(parts: Iterable[Events], size: int) -> Iterator[Events]:
    """Yield the same events in parts of `size`, the last one shorter; no empty part."""
    held: list[Events] = []
    count = 0
    for part in parts:
        held.append(part)
        count += len(part)
        if count < size:
            continue
        whole = Events.concatenate(held)
        full = count - count % size
        for start in range(0, full, size):
            yield cut(whole, start, start + size)
        held, count = [cut(whole, full, count)], count - full
    if count:
        yield Events.concatenate(held)


def nbytes(events: Events) -> int:
    """Return the memory that events take."""
    columns = (events.lengths, *events.particles.values(), *events.events.values())
    return sum(column.nbytes for column in columns)
