"""Entries of a ROOT tree as Events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats.checks import check_events, check_lengths, check_range
from anomaly_hep.formats.rootio.cache import CACHE
from anomaly_hep.formats.rootio.tree import Tree
from anomaly_hep.types import Events


@dataclass(frozen=True)
class Layout:
    """The branches of a format and their types: lists of one value per particle, and scalars."""

    particles: Mapping[str, np.dtype[Any]]
    events: Mapping[str, np.dtype[Any]]


def read_events(
    tree: Tree, start: int, stop: int, columns: Sequence[str], layout: Layout
) -> Events:
    """Return entries `start` to `stop` of the branches `columns`, in the types of `layout`.

    A branch that `layout` does not know keeps the type it has in the file. Raises BadFileError.
    """
    check_range(tree.path, start, stop, tree.entries)
    particles: dict[str, Shaped[np.ndarray, " particle"]] = {}
    events: dict[str, Shaped[np.ndarray, " event"]] = {}
    lengths: dict[str, Int64[np.ndarray, " event"]] = {}
    for name in columns:
        values, own_lengths = _read_branch(tree, name, start, stop)
        _check_shape(tree, name, own_lengths is not None, layout)
        if own_lengths is None:
            events[name] = _as_type(tree, name, values, layout.events.get(name))
            continue
        particles[name] = _as_type(tree, name, values, layout.particles.get(name))
        lengths[name] = own_lengths
    check_lengths(tree.path, lengths, start)
    multiplicity = next(iter(lengths.values()), None)
    if multiplicity is None:
        multiplicity = _lengths_alone(tree, start, stop, layout)
    result = Events(multiplicity, particles, events)
    check_events(tree.path, result, start)
    return result


def _read_branch(
    tree: Tree, name: str, start: int, stop: int
) -> tuple[Shaped[np.ndarray, " value"], Int64[np.ndarray, " event"] | None]:
    branch = tree.branch(name)
    values, lengths = [np.empty(0, branch.dtype)], [np.empty(0, np.int64)]
    index = int(np.searchsorted(branch.edges, start, side="right")) - 1
    while index < len(branch.edges) - 1 and branch.edges[index] < stop:
        basket, first = CACHE.basket(tree, name, index), int(branch.edges[index])
        low, high = max(start - first, 0), min(stop, int(branch.edges[index + 1])) - first
        if basket.lengths is None:
            values.append(basket.values[low:high])
        else:
            begin, taken = int(basket.lengths[:low].sum()), basket.lengths[low:high]
            values.append(basket.values[begin : begin + int(taken.sum())])
            lengths.append(taken)
        index += 1
    # concatenate copies, so that the caller may change what it gets
    return np.concatenate(values), np.concatenate(lengths) if branch.jagged else None


def _lengths_alone(
    tree: Tree, start: int, stop: int, layout: Layout
) -> Int64[np.ndarray, " event"]:
    held = [name for name in layout.particles if name in tree.names]
    name = next(iter(held or layout.particles))
    lengths = _read_branch(tree, name, start, stop)[1]
    _check_shape(tree, name, lengths is not None, layout)
    assert lengths is not None
    return lengths


def _check_shape(tree: Tree, name: str, jagged: bool, layout: Layout) -> None:
    if jagged and name in layout.events:
        problem, cure = "it holds a list, not one number per jet", "store one number per entry"
    elif not jagged and name in layout.particles:
        problem, cure = "it holds one number per jet, not a list", "store a list per entry"
    else:
        return
    raise BadFileError(tree.path, problem, branch=name, cure=cure)


def _as_type(
    tree: Tree, name: str, values: Shaped[np.ndarray, " value"], wanted: np.dtype[Any] | None
) -> Shaped[np.ndarray, " value"]:
    if wanted is None or values.dtype == wanted:
        return values
    if wanted.kind == "f":
        return values.astype(wanted)
    with np.errstate(invalid="ignore"):
        converted = values.astype(wanted)
    if not np.array_equal(converted, values):
        problem = f"the values are {values.dtype} and do not fit {wanted}"
        raise BadFileError(tree.path, problem, branch=name, cure=f"store whole numbers ({wanted})")
    return converted
