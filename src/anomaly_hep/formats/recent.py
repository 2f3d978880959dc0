"""What was made of files last, kept in memory up to a number of bytes."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path

from anomaly_hep.formats.openfiles import stamp
from anomaly_hep.types import Events

_Key = tuple[Hashable, ...]


class Recent:
    """Events used last by this process, at most `limit` bytes of them; safe in threads and forks.

    Events larger than the limit are never kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[_Key, tuple[tuple[int, int] | None, Events, int]] = OrderedDict()
        self._lock = threading.RLock()
        _everywhere.add(self)

    @property
    def size(self) -> int:
        """Bytes kept."""
        return sum(size for _, _, size in self._kept.values())

    def get(self, path: Path, what: _Key, make: Callable[[], Events]) -> Events:
        """Return what `make()` gave for this file, made anew when the file on disk has changed."""
        with self._lock:
            key, now = (os.path.realpath(path), *what), stamp(path)
            kept = self._kept.pop(key, None)
            if kept is None or kept[0] != now:
                events = make()
                kept = (now, events, nbytes(events))
            if kept[2] <= self._limit:
                self._kept[key] = kept
            while self.size > self._limit:
                self._kept.popitem(last=False)
            return kept[1]

    def forget(self) -> None:
        """Drop everything."""
        self._kept.clear()
        self._lock = threading.RLock()


def nbytes(events: Events) -> int:
    """Return the memory that events take."""
    columns = (events.lengths, *events.particles.values(), *events.events.values())
    return sum(column.nbytes for column in columns)


_everywhere: weakref.WeakSet[Recent] = weakref.WeakSet()


def _unlock_everywhere() -> None:
    for recent in list(_everywhere):
        recent.forget()


# a forked child might inherit a lock that is held for ever
os.register_at_fork(after_in_child=_unlock_everywhere)
