"""Entries of a ROOT tree as Events."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64, Shaped

from anomaly_hep.formats.checks import check_events, check_lengths, check_range
from anomaly_hep.formats.layout import Layout
from anomaly_hep.formats.rootio.tree import Tree
from anomaly_hep.types import Events


def read_events(
    tree: Tree, start: int, stop: int, columns: Sequence[str], layout: Layout
) -> Events:
    """Return entries `start` to `stop` of the branches `columns`, in the types of `layout`.

    Raises BadFileError with the branch and the absolute entry for whatever cannot be trusted.
    """
    check_range(tree.path, start, stop, tree.entries)
    particles: dict[str, Shaped[np.ndarray, " particle"]] = {}
    events: dict[str, Shaped[np.ndarray, " event"]] = {}
    lengths: dict[str, Int64[np.ndarray, " event"]] = {}
    for name in columns:
        values, own_lengths = _read_branch(tree, name, start, stop, layout)
        if own_lengths is None:
            events[name] = values
        else:
            particles[name], lengths[name] = values, own_lengths
    if not lengths:
        lengths = _lengths_alone(tree, start, stop, layout)
    check_lengths(tree.path, lengths, start)
    result = Events(next(iter(lengths.values())), particles, events)
    check_events(tree.path, result, start)
    return result


def _read_branch(
    tree: Tree, name: str, start: int, stop: int, layout: Layout
) -> tuple[Shaped[np.ndarray, " value"], Int64[np.ndarray, " event"] | None]:
    branch = tree.branch(name)
    layout.check_shape(tree.path, name, branch.jagged)
    values, lengths = [np.empty(0, branch.dtype)], [np.empty(0, np.int64)]
    index = int(np.searchsorted(branch.edges, start, side="right")) - 1
    while index < len(branch.edges) - 1 and branch.edges[index] < stop:
        basket, first = tree.basket(name, index), int(branch.edges[index])
        low, high = max(start - first, 0), min(stop, int(branch.edges[index + 1])) - first
        if basket.lengths is None:
            values.append(basket.values[low:high])
        else:
            begin, taken = int(basket.lengths[:low].sum()), basket.lengths[low:high]
            values.append(basket.values[begin : begin + int(taken.sum())])
            lengths.append(taken)
        index += 1
    # concatenate copies, so that the caller may change what it gets
    flat = layout.convert(tree.path, name, np.concatenate(values))
    return flat, np.concatenate(lengths) if branch.jagged else None


def _lengths_alone(
    tree: Tree, start: int, stop: int, layout: Layout
) -> dict[str, Int64[np.ndarray, " event"]]:
    names = list(layout.particles)
    name = next((name for name in names if name in tree.names), names[0])
    lengths = _read_branch(tree, name, start, stop, layout)[1]
    assert lengths is not None  # check_shape has refused anything else
    return {name: lengths}
