"""One basket of a ROOT branch as flat numpy arrays, without a detour over awkward.

A basket is what ROOT compresses at once: a run of entries of one branch, big-endian. Jagged
branches are either counted arrays (values only) or std::vector (10 bytes before the values of each
entry: 4 of byte count, 2 of version, 4 of vector size).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uproot
from jaxtyping import Int64, Shaped, UInt8

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats.checks import FETCH_AGAIN, refusing

VECTOR_HEADER_BYTES = 10


@dataclass(frozen=True, eq=False)
class Basket:
    """The values of a run of entries, and for a jagged branch how many each entry has."""

    values: Shaped[np.ndarray, " value"]
    lengths: Int64[np.ndarray, " entry"] | None

    @property
    def checksum(self) -> int:
        """CRC-32 of the values, then of the lengths."""
        return checksum(self.values, self.lengths)


def checksum(
    values: Shaped[np.ndarray, " value"], lengths: Int64[np.ndarray, " entry"] | None
) -> int:
    """Return the CRC-32 of the values' bytes, then of the lengths' if there are any."""
    crc = zlib.crc32(np.ascontiguousarray(values).data.cast("B") if values.size else b"")
    if lengths is not None and lengths.size:
        crc = zlib.crc32(np.ascontiguousarray(lengths).data.cast("B"), crc)
    return crc


class Branch:
    """A branch of numbers, one or a list of them per entry; other types are refused."""

    def __init__(self, path: Path, branch: Any) -> None:
        self.path, self.name, self._branch = path, str(branch.name), branch
        with refusing(path, "the branch cannot be read", branch=self.name, cure=FETCH_AGAIN):
            kind = branch.interpretation
            self.edges = np.asarray(branch.entry_offsets, np.int64)
        self.jagged = isinstance(kind, uproot.AsJagged)
        content = kind.content if self.jagged else kind
        self.header_bytes = kind.header_bytes if self.jagged else 0
        if (
            not isinstance(content, uproot.AsDtype)
            or content.from_dtype.kind not in "biuf"
            or content.inner_shape
            or self.header_bytes not in {0, VECTOR_HEADER_BYTES}
        ):
            raise BadFileError(
                path,
                f"its type is {branch.typename}, which is neither a number nor a list of numbers",
                branch=self.name,
                cure="store float, int or bool, or a std::vector of them",
            )
        self.file_dtype = content.from_dtype
        self.dtype = self.file_dtype.newbyteorder("=")
        if self.edges[0] != 0 or np.any(np.diff(self.edges) < 0):
            raise self._damaged("its entries are out of order")

    def basket(self, index: int) -> Basket:
        """Read and decode basket `index`; raises BadFileError where it is damaged."""
        with refusing(self.path, f"basket {index} is damaged", branch=self.name, cure=FETCH_AGAIN):
            raw = self._branch.basket(index)
            data, byte_edges = raw.data, raw.byte_offsets
            if self.jagged and byte_edges is None:
                byte_edges = self._edges_from_counter(index)
        basket = self._jagged(data, byte_edges) if self.jagged else self._flat(data)
        entries = int(self.edges[index + 1] - self.edges[index])
        held = len(basket.values) if basket.lengths is None else len(basket.lengths)
        if held != entries:
            raise self._damaged(f"basket {index} holds {held} entries instead of {entries}")
        return basket

    def _edges_from_counter(self, index: int) -> Int64[np.ndarray, " edge"]:
        # Not TBasket.counts of uproot 5.7: it takes the counter's basket of the same index, which
        # need not hold the same entries.
        counts = self._branch.count_branch.array(
            entry_start=int(self.edges[index]), entry_stop=int(self.edges[index + 1]), library="np"
        )
        return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]) * self.dtype.itemsize

    def _flat(self, data: UInt8[np.ndarray, " byte"]) -> Basket:
        if len(data) % self.dtype.itemsize:
            raise self._damaged("the data end within a number")
        return Basket(data.view(self.file_dtype).astype(self.dtype), None)

    def _jagged(
        self, data: UInt8[np.ndarray, " byte"], byte_edges: Shaped[np.ndarray, " edge"]
    ) -> Basket:
        lengths, rest = np.divmod(
            np.diff(byte_edges).astype(np.int64) - self.header_bytes, self.dtype.itemsize
        )
        if rest.any() or (lengths < 0).any() or byte_edges[0] != 0 or byte_edges[-1] != len(data):
            raise self._damaged("the lengths of the lists do not fit the data")
        if self.header_bytes:
            data = self._without_headers(data, byte_edges[:-1], lengths)
        return Basket(data.view(self.file_dtype).astype(self.dtype), lengths)

    def _without_headers(
        self,
        data: UInt8[np.ndarray, " byte"],
        starts: Shaped[np.ndarray, " entry"],
        lengths: Int64[np.ndarray, " entry"],
    ) -> UInt8[np.ndarray, " value_byte"]:
        headers = data[starts[:, None] + np.arange(VECTOR_HEADER_BYTES)]  # entry, byte
        said = np.ascontiguousarray(headers[:, 6:]).view(">i4")[:, 0]
        if not np.array_equal(said, lengths):
            raise self._damaged("the sizes of the vectors do not fit the data")
        # ROOT's numbers of two bytes or more keep the whole basket even: half as many masks to set
        word = np.dtype(np.uint8 if self.dtype.itemsize == 1 else np.uint16)
        words = data.view(word)
        kept = np.ones(len(words), np.bool_)
        header_words = np.arange(VECTOR_HEADER_BYTES // word.itemsize)
        kept[(starts[:, None] // word.itemsize + header_words).ravel()] = False
        return words[kept].view(np.uint8)

    def _damaged(self, problem: str) -> BadFileError:
        return BadFileError(self.path, problem, branch=self.name, cure=FETCH_AGAIN)
