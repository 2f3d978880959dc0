"""A cache of open or decoded files, so that reading chunk by chunk does not start over."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

Thing = TypeVar("Thing")
_Stamp = tuple[int, int, int, int]


class Kept(Generic[Thing]):
    """The most recently used open files, or decoded contents, of this process.

    `size` says how much of `limit` one item takes: by default 1, so that the limit is their number.
    Dropped items are closed by `close`. Safe with threads and forks: a child starts empty.
    """

    def __init__(
        self,
        limit: int,
        *,
        size: Callable[[Thing], int] = lambda _: 1,
        close: Callable[[Thing], object] = lambda _: None,
    ) -> None:
        self._limit, self._size_of, self._close = limit, size, close
        self._kept: OrderedDict[Hashable, tuple[_Stamp | None, Thing]] = OrderedDict()
        self._lock = threading.RLock()
        self.size = 0  # of all items
        _instances.add(self)

    @contextmanager
    def use(self, path: Path, *what: Hashable, make: Callable[[], Thing]) -> Iterator[Thing]:
        """Yield the item `what` of a file, to one thread at a time; `make` creates a missing one.

        It is made anew if the file on disk has changed, and dropped if the with-block fails, since
        its state is then unknown.
        """
        with self._lock:
            key, stamp = (path, *what), _stamp(path)
            if key in self._kept and self._kept[key][0] != stamp:
                self._drop(key)
            if key in self._kept:
                _, thing = self._kept.pop(key)
                self.size -= self._size_of(thing)
            else:
                thing = make()
            try:
                yield thing
            except BaseException:
                self._close(thing)
                raise
            self._kept[key] = (stamp, thing)
            self.size += self._size_of(thing)
            # an item larger than the limit is dropped itself, not the others
            fits = self._size_of(thing) <= self._limit
            while self.size > self._limit:
                self._drop(next(iter(self._kept)) if fits else key)

    def _drop(self, key: Hashable) -> None:
        _, thing = self._kept.pop(key)
        self.size -= self._size_of(thing)
        self._close(thing)

    def forget(self) -> None:
        """Drop everything without closing it."""
        self._kept.clear()
        self._lock = threading.RLock()
        self.size = 0


_instances: weakref.WeakSet[Kept[Any]] = weakref.WeakSet()


def _forget_all() -> None:
    for kept in list(_instances):
        kept.forget()


# A forked child would share file positions with its parent, and might inherit a lock held for ever.
os.register_at_fork(after_in_child=_forget_all)


def _stamp(path: Path) -> _Stamp | None:
    """Return a stamp that changes if the file on disk changes; None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
