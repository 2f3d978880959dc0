"""What was made of files last, kept so that reading one chunk by chunk does not begin anew."""

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
    """Open files, or what was decoded of them: those used last by this process.

    `size` says how much of `limit` one takes: by default 1, so that the limit is their number.
    What is dropped is closed by `close`. Safe in threads and forks: a child begins with none.
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
        self.size = 0  # of all that are kept
        _everywhere.add(self)

    @contextmanager
    def use(self, path: Path, *what: Hashable, make: Callable[[], Thing]) -> Iterator[Thing]:
        """Yield `what` of a file to one thread at a time; `make` gives it where it is not kept.

        It is made anew when the file on disk has become another. Where the block fails it is
        dropped: it may have stopped half-way through something.
        """
        with self._lock:
            key, now = (path, *what), _stamp(path)
            if key in self._kept and self._kept[key][0] != now:
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
            self._kept[key] = (now, thing)
            self.size += self._size_of(thing)
            # what is larger than the limit drives out nothing but itself
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


_everywhere: weakref.WeakSet[Kept[Any]] = weakref.WeakSet()


def _forget_everywhere() -> None:
    for kept in list(_everywhere):
        kept.forget()


# A forked child would share file positions with its parent, and might inherit a lock held for ever.
os.register_at_fork(after_in_child=_forget_everywhere)


def _stamp(path: Path) -> _Stamp | None:
    """Return what changes when a file on disk becomes another; None where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
