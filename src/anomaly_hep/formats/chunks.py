"""Cut events, and rows of files, into parts, and count their memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from anomaly_hep.types import Events


def cut(events: Events, start: int, stop: int) -> Events:
    """Return events `start` to `stop` as views, without a copy."""
    edges = events.offsets
    first, last = int(edges[start]), int(edges[stop])
    return Events(
        events.lengths[start:stop],
        {name: column[first:last] for name, column in events.particles.items()},
        {name: column[start:stop] for name, column in events.events.items()},
    )


def rechunk(parts: Iterable[Events], size: int) -> Iterator[Events]:
    """Yield the same events in parts of `size`; the last may be shorter, none is empty."""
    pending: list[Events] = []
    count = 0
    for part in parts:
        pending.append(part)
        count += len(part)
        if count < size:
            continue
        whole = Events.concatenate(pending)
        full = count - count % size
        for start in range(0, full, size):
            yield cut(whole, start, start + size)
        pending, count = [cut(whole, full, count)], count - full
    if count:
        yield Events.concatenate(pending)


def whole_chunks(start: int, stop: int, rows: int, chunk: int) -> Iterator[tuple[int, int]]:
    """Yield pieces of `start` to `stop` of about so many rows, cut where chunks of `chunk` end."""
    step = max(rows // chunk, 1) * chunk
    while start < stop:
        end = min(start - start % chunk + step, stop)
        yield start, end
        start = end


def nbytes(events: Events) -> int:
    """Return the memory of events in bytes."""
    columns = (events.lengths, *events.particles.values(), *events.events.values())
    return sum(column.nbytes for column in columns)
