"""ROOT trees of jagged and scalar branches to flat arrays and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from anomaly_hep.types import Events


class Tree:
    """An open tree."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.file = uproot.open(path)
        self.tree = self.file[name]
        self.entries = int(self.tree.num_entries)


@contextmanager
def opened(path: Path, name: str) -> Iterator[Tree]:
    """Yield the tree `name` of the file `path`."""
    yield Tree(path, name)


def text_object(tree: Tree, key: str) -> Mapping[str, Any] | None:
    """Return the JSON object stored as a string under `key`, or None when there is none."""
    if key not in tree.file:
        return None
    content: Mapping[str, Any] = json.loads(str(tree.file[key]))
    return content


def read_events(
    tree: Tree,
    start: int,
    stop: int,
    columns: Sequence[str],
    branches: Mapping[str, np.dtype[Any]],
    jagged: Mapping[str, np.dtype[Any]],
) -> Events:
    """Return the entries `start` to `stop` of the branches `columns`."""
    particles, events = {}, {}
    lengths = None
    for name in columns:
        array = tree.tree[name].array(entry_start=start, entry_stop=stop)
        if name in jagged:
            lengths = np.asarray(ak.num(array), np.int64)
            particles[name] = np.asarray(ak.flatten(array)).astype(branches[name], copy=False)
        else:
            events[name] = np.asarray(array).astype(branches[name], copy=False)
    if lengths is None:
        array = tree.tree["part_px"].array(entry_start=start, entry_stop=stop)
        lengths = np.asarray(ak.num(array), np.int64)
    return Events(lengths, particles, events)


def write_tree(
    path: Path,
    name: str,
    parts: Iterable[Events],
    jagged: Mapping[str, np.dtype[Any]],
    scalar: Mapping[str, np.dtype[Any]],
    texts: Mapping[str, Mapping[str, Any]],
) -> int:
    """Write one basket per branch and part; return the number of entries.

    Jagged branches share their name up to the first '_' and one counter branch (part_px: npart).
    """
    prefix = next(iter(jagged)).partition("_")[0]
    fields = {branch.removeprefix(prefix + "_"): branch for branch in jagged}
    record = ", ".join(f'"{field}": {jagged[branch]}' for field, branch in fields.items())
    types: dict[str, Any] = {prefix: f"var * {{{record}}}"}
    types |= {branch: dtype for branch, dtype in scalar.items()}
    written = 0
    with uproot.recreate(path, compression=uproot.LZ4(4)) as file:
        for key, content in texts.items():
            file[key] = json.dumps(content, sort_keys=True)
        tree = file.mktree(name, types)
        for part in parts:
            contents = [
                ak.contents.NumpyArray(part.particles[branch].astype(jagged[branch]))
                for branch in fields.values()
            ]
            offsets = ak.index.Index64(part.offsets)
            records = ak.contents.RecordArray(contents, list(fields))
            data: dict[str, Any] = {prefix: ak.Array(ak.contents.ListOffsetArray(offsets, records))}
            data |= {branch: part.events[branch].astype(t) for branch, t in scalar.items()}
            tree.extend(data)
            written += len(part)
    return written
