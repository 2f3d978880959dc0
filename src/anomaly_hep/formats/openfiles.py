"""Files kept open between reads, so that reading one chunk by chunk does not parse it each time."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar


class _Closable(Protocol):
    def close(self) -> None: ...


File = TypeVar("File", bound=_Closable)


class OpenFiles(Generic[File]):
    """The files used last by this process, at most `limit`; safe in threads and forks."""

    def __init__(self, open_file: Callable[..., File], limit: int) -> None:
        self._open_file, self._limit = open_file, limit
        self._files: OrderedDict[Hashable, tuple[tuple[int, int] | None, File]] = OrderedDict()
        self._lock = threading.RLock()
        _everywhere.add(self)

    @contextmanager
    def use(self, path: Path, *what: Hashable) -> Iterator[File]:
        """Yield `open_file(path, *what)`, for one thread at a time.

        It is opened anew only when the file's size or time on disk has changed.
        """
        with self._lock:
            key, now = (os.path.realpath(path), *what), stamp(path)
            kept = self._files.pop(key, None)
            if kept is not None and kept[0] != now:
                kept[1].close()
                kept = None
            file = self._open_file(path, *what) if kept is None else kept[1]
            try:
                yield file
            except BaseException:
                file.close()  # it may have stopped half-way through something
                raise
            self._files[key] = (now, file)
            if len(self._files) > self._limit:
                self._files.popitem(last=False)[1][1].close()

    def forget(self) -> None:
        """Drop all files without closing them."""
        self._files.clear()
        self._lock = threading.RLock()


_everywhere: weakref.WeakSet[OpenFiles[Any]] = weakref.WeakSet()


def _forget_everywhere() -> None:
    for files in list(_everywhere):
        files.forget()


# A forked child would share file positions with its parent, and might inherit a lock held for ever.
os.register_at_fork(after_in_child=_forget_everywhere)


def stamp(path: Path) -> tuple[int, int] | None:
    """Return size and time of a file on disk: when they change, it is another; None for no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
