"""Write frames in pandas' table format as pytables does, as far as readers look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def pickled(names: Sequence[str], *, python: int = 3) -> bytes:
    """Return the text of a pickle of protocol 0 of a list of texts."""
    one = "V{}\np{}\na" if python == 3 else "S'{}'\np{}\na"
    return ("(lp0\n" + "".join(one.format(n, i + 1) for i, n in enumerate(names)) + ".").encode()


def write_table(
    path: Path,
    blocks: Mapping[str, tuple[Sequence[str], np.ndarray]],
    *,
    key: str = "table",
    python: int = 3,
    chunk: int = 40,
) -> Path:
    """Write a frame whose fields are the blocks: names of columns, and values (rows, columns)."""
    rows = len(next(iter(blocks.values()))[1])
    fields: list[tuple[Any, ...]] = [("index", np.int64)]
    for field, (names, values) in blocks.items():
        scalar = not field.startswith("values_block")
        fields.append((field, values.dtype) if scalar else (field, values.dtype, (len(names),)))
    table = np.zeros(rows, fields)
    table["index"] = np.arange(rows)
    with h5py.File(path, "w") as file:
        group = file.create_group(key)
        group.attrs["pandas_type"] = np.bytes_(b"frame_table")
        for field, (_, values) in blocks.items():
            table[field] = values if table[field].ndim == 2 else values[:, 0]
        dataset = group.create_dataset("table", data=table, chunks=(chunk,), maxshape=(None,))
        for field, (names, _) in blocks.items():
            dataset.attrs[f"{field}_kind"] = np.bytes_(pickled(names, python=python))
    return path
