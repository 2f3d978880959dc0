"""One basket of a ROOT branch (a compressed run of entries) as flat numpy arrays.

uproot decompresses and decodes it. This module adds counted arrays whose offsets ROOT left out of
the file, and checks of the decoded lists.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uproot
from jaxtyping import Int64, Shaped

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats.checks import FETCH_AGAIN, refusing

_NUMPY = uproot.interpretation.library.NumPy()
VECTOR_HEADER_BYTES = 10  # before each list: byte count (4), version (2), size (4)


@dataclass(frozen=True, eq=False)
class Basket:
    """The values of a run of entries, and for a jagged branch the length of each entry's list."""

    values: Shaped[np.ndarray, " value"]
    lengths: Int64[np.ndarray, " entry"] | None

    @property
    def checksum(self) -> int:
        """CRC-32 of the values, then of the lengths."""
        return checksum(self.values, self.lengths)

    @property
    def nbytes(self) -> int:
        """Memory of the arrays in bytes."""
        return self.values.nbytes + (0 if self.lengths is None else self.lengths.nbytes)


def checksum(
    values: Shaped[np.ndarray, " value"], lengths: Int64[np.ndarray, " entry"] | None
) -> int:
    """Return the CRC-32 of the values' bytes, then of the lengths' if there are any."""
    crc = zlib.crc32(np.ascontiguousarray(values).data.cast("B") if values.size else b"")
    if lengths is not None and lengths.size:
        crc = zlib.crc32(np.ascontiguousarray(lengths).data.cast("B"), crc)
    return crc


class Branch:
    """A branch with a number or a list of numbers per entry; other types are refused."""

    def __init__(self, path: Path, branch: Any) -> None:
        self.path, self.name, self._branch = path, str(branch.name), branch
        with refusing(path, "the branch cannot be read", branch=self.name, cure=FETCH_AGAIN):
            self._interpretation = interpretation = branch.interpretation
            self.edges = np.asarray(branch.entry_offsets, np.int64)
        self.jagged = isinstance(interpretation, uproot.AsJagged)
        content = interpretation.content if self.jagged else interpretation
        if (
            not isinstance(content, uproot.AsDtype)
            or content.from_dtype.kind not in "biuf"
            or content.inner_shape
            or (self.jagged and interpretation.header_bytes not in {0, VECTOR_HEADER_BYTES})
        ):
            raise BadFileError(
                path,
                f"its type is {branch.typename}, which is neither a number nor a list of numbers",
                branch=self.name,
                cure="store float, int or bool, or a std::vector of them",
            )
        self.dtype = content.from_dtype.newbyteorder("=")
        if self.edges[0] != 0 or np.any(np.diff(self.edges) < 0):
            raise self._damaged("its entries are out of order")

    def basket(self, index: int) -> Basket:
        """Read and decode basket `index`; raises BadFileError if it is damaged."""
        with refusing(self.path, f"basket {index} is damaged", branch=self.name, cure=FETCH_AGAIN):
            raw = self._branch.basket(index)
            byte_edges = raw.byte_offsets
            if self.jagged and byte_edges is None:
                byte_edges = self._edges_from_counter(index)
            decoded = self._interpretation.basket_array(
                raw.data, byte_edges, raw, self._branch, self._branch.context, 0, _NUMPY, {}
            )
        values = decoded.content if self.jagged else decoded
        lengths = np.diff(decoded.offsets).astype(np.int64) if self.jagged else None
        entries = int(self.edges[index + 1] - self.edges[index])
        stored = len(values) if lengths is None else len(lengths)
        if stored != entries:
            raise self._damaged(f"basket {index} holds {stored} entries instead of {entries}")
        if lengths is not None and ((lengths < 0).any() or lengths.sum() != len(values)):
            raise self._damaged("the lengths of the lists do not fit the data")
        return Basket(values.astype(self.dtype), lengths)

    def _edges_from_counter(self, index: int) -> Int64[np.ndarray, " edge"]:
        # uproot 5.7 would use the counter's basket of the same index, which may hold other entries
        counts = self._branch.count_branch.array(
            entry_start=int(self.edges[index]), entry_stop=int(self.edges[index + 1]), library="np"
        )
        return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]) * self.dtype.itemsize

    def _damaged(self, problem: str) -> BadFileError:
        return BadFileError(self.path, problem, branch=self.name, cure=FETCH_AGAIN)
