"""Write Events to a ROOT tree."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import awkward as ak
import uproot

from anomaly_hep.formats.layout import Layout
from anomaly_hep.formats.rootio.basket import checksum
from anomaly_hep.formats.rootio.tree import CHECKSUMS
from anomaly_hep.types import Events


def write_tree(
    path: Path, name: str, parts: Iterable[Events], layout: Layout, texts: Mapping[str, str]
) -> int:
    """Write each part as one basket per branch, and `texts` as TObjStrings; return the entries.

    Particle branches share the prefix of their names up to the first '_' and one counter branch
    (part_px: npart). LZ4 stores data that it cannot shrink, such as most floats, without a
    checksum; so the file contains a CRC-32 of each basket and text, which reading verifies.
    """
    prefix = next(iter(layout.particles)).partition("_")[0]
    fields = {branch.removeprefix(f"{prefix}_"): branch for branch in layout.particles}
    record = ", ".join(f'"{field}": {layout[b].dtype}' for field, b in fields.items())
    checksums: dict[str, list[int]] = {b: [] for b in layout.names}
    entries = 0
    with uproot.recreate(path, compression=uproot.LZ4(4)) as file:
        for key, text in texts.items():
            file[key] = text
        scalars = {name: column.dtype for name, column in layout.events.items()}
        tree = file.mktree(name, {prefix: f"var * {{{record}}}", **scalars})
        for part in parts:
            particles = {b: part.particles[b].astype(c.dtype) for b, c in layout.particles.items()}
            events = {b: part.events[b].astype(c.dtype) for b, c in layout.events.items()}
            records = ak.contents.RecordArray(
                [ak.contents.NumpyArray(particles[b]) for b in fields.values()], list(fields)
            )
            edges = ak.index.Index64(part.offsets)
            tree.extend({prefix: ak.Array(ak.contents.ListOffsetArray(edges, records)), **events})
            for branch, values in particles.items():
                checksums[branch].append(checksum(values, part.lengths))
            for branch, values in events.items():
                checksums[branch].append(checksum(values, None))
            entries += len(part)
        file[CHECKSUMS] = json.dumps(
            {
                "entries": entries,
                "baskets": checksums,
                "texts": {key: zlib.crc32(text.encode()) for key, text in texts.items()},
            }
        )
    return entries
