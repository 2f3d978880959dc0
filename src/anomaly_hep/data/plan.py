"""Which events make up which batch: computed from seed and epoch alone, without reading files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from anomaly_hep.data.samples import SampleFile


@dataclass(frozen=True)
class Slice:
    """Events `start` to `stop` of a `SampleFile`; `first` is the first one's number in the data."""

    file: SampleFile
    start: int
    stop: int
    first: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def path(self) -> Path:
        """The file's path."""
        return self.file.path


def place_of(pieces: Sequence[Slice], number: int) -> tuple[Path, int]:
    """Return the file, and the entry there, of event `number` of slices laid end to end."""
    for piece in pieces:
        if number < len(piece):
            return piece.path, int(piece.file.numbers(piece.start, piece.stop)[number])
        number -= len(piece)
    raise IndexError(number)


def portion(files: Sequence[SampleFile], begin: int, end: int) -> list[Slice]:
    """Return the events `begin` to `end` (exclusive) of files laid end to end."""
    parts, first = [], 0
    for file in files:
        start, stop = max(begin - first, 0), min(end - first, len(file))
        if start < stop:
            parts.append(Slice(file, start, stop, first + start))
        first += len(file)
    return parts


@dataclass(frozen=True)
class Plan:
    """The order of the events of an epoch for one of `ranks` processes.

    The `files`, in the data set's order, are cut into chunks of `chunk_events`; the chunks of all
    files are shuffled and laid end to end. Each rank takes an equal share of this sequence and cuts
    it into batches of equal size (both to within one event), as many as the longest share needs.
    So every event occurs exactly once an epoch, all ranks make the same number of steps, and no
    batch is a small remainder. `pool_batches` consecutive batches are read and shuffled together.
    """

    files: Sequence[Slice]
    batch_size: int
    chunk_events: int
    pool_batches: int
    seed: int
    shuffle: bool
    rank: int = 0
    ranks: int = 1

    @property
    def events(self) -> int:
        """The number of events in all files."""
        return sum(map(len, self.files))

    @property
    def batches(self) -> int:
        """The number of batches per epoch and rank."""
        return math.ceil(math.ceil(self.events / self.ranks) / self.batch_size)

    @property
    def pools(self) -> int:
        """The number of pools per epoch and rank."""
        return math.ceil(self.batches / self.pool_batches)

    def batch_edges(self) -> Int64[np.ndarray, " edge"]:
        """Return the edges of this rank's batches in the sequence of events."""
        begin = self.events * self.rank // self.ranks
        share = self.events * (self.rank + 1) // self.ranks - begin
        return begin + share * np.arange(self.batches + 1, dtype=np.int64) // max(self.batches, 1)

    def chunks(self, epoch: int) -> list[Slice]:
        """Return the chunks of all files in the order of `epoch`."""
        chunks = []
        for file in self.files:
            for start in range(file.start, file.stop, self.chunk_events):
                stop = min(start + self.chunk_events, file.stop)
                chunks.append(Slice(file.file, start, stop, file.first + start - file.start))
        if self.shuffle:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(chunks))
            chunks = [chunks[i] for i in order]
        return chunks

    def pool(self, epoch: int, number: int) -> tuple[list[Slice], Int64[np.ndarray, " batch"]]:
        """Return the slices that pool `number` reads, and the number of events of each batch."""
        chunks = self.chunks(epoch)
        ends = np.cumsum([len(chunk) for chunk in chunks])
        edges = self.batch_edges()[number * self.pool_batches :][: self.pool_batches + 1]
        slices = []
        position = int(edges[0])
        while position < edges[-1]:
            index = int(np.searchsorted(ends, position, side="right"))
            chunk = chunks[index]
            offset = position - (int(ends[index]) - len(chunk))
            taken = min(len(chunk) - offset, int(edges[-1]) - position)
            start = chunk.start + offset
            slices.append(Slice(chunk.file, start, start + taken, chunk.first + offset))
            position += taken
        return slices, np.diff(edges)

    def mixing(self, epoch: int, number: int, events: int) -> Int64[np.ndarray, " event"]:
        """Return the order in which the events of a pool are distributed over its batches."""
        if not self.shuffle:
            return np.arange(events)
        # the rank is part of the seed, so that ranks shuffle differently
        return np.random.default_rng([self.seed, epoch, self.rank, number]).permutation(events)

    def rng(self, epoch: int, number: int) -> np.random.Generator:
        """Return the random number generator for the augmentation of a pool."""
        return np.random.default_rng([self.seed, epoch, self.rank, number, 1])
