"""Read entries of a ROOT tree as Events."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped

from anomaly_hep.formats.checks import check_lengths, check_range
from anomaly_hep.formats.kept import Kept
from anomaly_hep.formats.layout import Layout
from anomaly_hep.formats.rootio.basket import Basket, Branch
from anomaly_hep.formats.rootio.tree import MissingTreeError, Tree
from anomaly_hep.types import Events

# An open tree takes 1 MB and 10 ms to make; a class of the published training set has 100 files.
_trees = Kept[Tree](limit=128, close=Tree.close)
# Bytes. A basket that a chunk uses in part is needed again by the next chunk; baskets of files
# written by ROOT may have more than 10 000 jets.
_baskets = Kept[Basket](limit=64 * 2**20, size=lambda basket: basket.nbytes)


def holds(path: Path, tree: str) -> bool:
    """Return whether the file has a TTree of this name; raises BadFileError if it is damaged."""
    try:
        with _trees.use(path, tree, make=lambda: Tree(path, tree)):
            return True
    except MissingTreeError:
        return False


def describe(path: Path, tree: str, key: str) -> tuple[int, dict[str, Any] | None, tuple[str, ...]]:
    """Return the number of entries, the JSON object stored under `key`, and all branch names."""
    with _trees.use(path, tree, make=lambda: Tree(path, tree)) as opened:
        return opened.entries, opened.json_object(key), tuple(opened.names)


def read_events(
    path: Path, tree: str, start: int, stop: int, columns: Sequence[str], layout: Layout
) -> Events:
    """Return entries `start` to `stop` of the branches `columns`, in the types of `layout`.

    Raises BadFileError with the branch and the absolute entry for any content that fails a check.
    """
    particles: dict[str, Shaped[np.ndarray, " particle"]] = {}
    events: dict[str, Shaped[np.ndarray, " event"]] = {}
    lengths: dict[str, Int64[np.ndarray, " event"]] = {}
    with _trees.use(path, tree, make=lambda: Tree(path, tree)) as opened:
        check_range(path, start, stop, opened.entries)
        for branch in opened.branches([*columns, *_for_lengths(opened, columns, layout)]):
            layout.check_shape(path, branch.name, branch.jagged)
            values, own_lengths = _read_branch(opened, branch, start, stop)
            values = layout.convert(path, branch.name, values)
            if own_lengths is None:
                events[branch.name] = values
            else:
                lengths[branch.name] = own_lengths
                particles |= {branch.name: values} if branch.name in columns else {}
    check_lengths(path, lengths, start)
    return Events(next(iter(lengths.values())), particles, events)


def stored(
    path: Path, tree: str, start: int, stop: int, columns: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return entries of those branches that have one number or text per entry, as stored."""
    with _trees.use(path, tree, make=lambda: Tree(path, tree)) as opened:
        numbers, texts = opened.one_each(columns)
        found = {name: opened.texts(name, start, stop) for name in texts}
        for branch in opened.branches(numbers):
            found[branch.name], _ = _read_branch(opened, branch, start, stop)
    return {name: found[name] for name in columns if name in found}


def _for_lengths(tree: Tree, columns: Sequence[str], layout: Layout) -> list[str]:
    """Return a jagged branch to read for the lengths of the events, if no column is jagged."""
    lists = list(layout.particles)
    if any(branch.jagged for branch in tree.branches(columns)):
        return []
    return [next((name for name in lists if name in tree.names), lists[0])]


def _read_branch(
    tree: Tree, branch: Branch, start: int, stop: int
) -> tuple[Shaped[np.ndarray, " value"], Int64[np.ndarray, " event"] | None]:
    values, lengths = [np.empty(0, branch.dtype)], [np.empty(0, np.int64)]
    index = int(np.searchsorted(branch.edges, start, side="right")) - 1
    while index < len(branch.edges) - 1 and branch.edges[index] < stop:
        first, last = branch.edges[index], branch.edges[index + 1]
        low, high = int(max(start - first, 0)), int(min(stop, last) - first)
        make = partial(tree.basket, branch, index)
        with _baskets.use(tree.path, tree.identity, branch.name, index, make=make) as basket:
            if basket.lengths is None:
                values.append(basket.values[low:high])
            else:
                begin, taken = int(basket.lengths[:low].sum()), basket.lengths[low:high]
                values.append(basket.values[begin : begin + int(taken.sum())])
                lengths.append(taken)
        index += 1
    # concatenate copies, so that callers may change the arrays without changing the cache
    return np.concatenate(values), np.concatenate(lengths) if branch.jagged else None
