"""Open files and decoded baskets, kept within bounds.

Reading a file chunk by chunk then neither opens it nor decompresses a basket twice, provided that
chunks of one file are read in order.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anomaly_hep.formats.rootio.basket import Basket
from anomaly_hep.formats.rootio.tree import Tree

MAX_OPEN_FILES = 8
MAX_BASKET_BYTES = 128 * 2**20


class Cache:
    """The trees and baskets used last in this process; safe in threads and after a fork."""

    def __init__(self, max_files: int, max_bytes: int) -> None:
        self._max_files, self._max_bytes = max_files, max_bytes
        self._trees: OrderedDict[tuple[str, str], Tree] = OrderedDict()
        self._baskets: OrderedDict[tuple[Tree, str, int], Basket] = OrderedDict()
        self._bytes = 0
        self._lock = threading.RLock()

    @contextmanager
    def tree(self, path: Path, name: str) -> Iterator[Tree]:
        """Yield the tree, opened once until its size or time on disk changes; holds the lock."""
        with self._lock:
            key = (os.path.realpath(path), name)
            tree = self._trees.pop(key, None)
            if tree is not None and _stamp(path) != tree.stamp:
                self._close(tree)
                tree = None
            self._trees[key] = tree = Tree(path, name) if tree is None else tree
            if len(self._trees) > self._max_files:
                self._close(self._trees.popitem(last=False)[1])
            yield tree

    def basket(self, tree: Tree, name: str, index: int) -> Basket:
        """Return a decoded basket of an open tree; its arrays are not to be written to."""
        key = (tree, name, index)
        basket = self._baskets.pop(key, None)
        if basket is None:
            basket = tree.basket(name, index)
            self._bytes += basket.nbytes
        self._baskets[key] = basket
        while self._bytes > self._max_bytes:
            self._bytes -= self._baskets.popitem(last=False)[1].nbytes
        return basket

    def forget(self) -> None:
        """Start anew, as a forked child must: it would share file positions with its parent."""
        # The parent's handles are dropped, not closed; another of its threads may hold the lock.
        self._trees.clear()
        self._baskets.clear()
        self._bytes = 0
        self._lock = threading.RLock()

    def _close(self, tree: Tree) -> None:
        for key in [key for key in self._baskets if key[0] is tree]:
            self._bytes -= self._baskets.pop(key).nbytes
        tree.close()


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


CACHE = Cache(MAX_OPEN_FILES, MAX_BASKET_BYTES)
os.register_at_fork(after_in_child=CACHE.forget)
