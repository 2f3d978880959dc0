"""A sharded, shuffled stream of batches from files larger than memory, resumable mid-epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import parent_process
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch.utils.data import DataLoader, Dataset, Sampler

from anomaly_hep.data.batch import JaggedBatch
from anomaly_hep.data.feed import Feed
from anomaly_hep.data.plan import Plan, place_of
from anomaly_hep.data.reading import Counts, Labels, Reading
from anomaly_hep.errors import AnomalyHepError, BadFileError
from anomaly_hep.lifeline import end_with_parent
from anomaly_hep.types import Events


@dataclass(frozen=True, eq=False)
class _Pool:
    inputs: JaggedBatch
    sizes: Int64[np.ndarray, " batch"]
    counts: Counts


class _Pools(Dataset[_Pool | AnomalyHepError]):
    """Pools by (epoch, number), as a worker process reads them."""

    def __init__(
        self, plan: Plan, reading: Reading, labels: Labels | None, resampled: bool
    ) -> None:
        self.plan, self.reading, self.labels = plan, reading, labels
        self.resampled = resampled

    def __getitem__(self, key: tuple[int, int]) -> _Pool | AnomalyHepError:
        try:
            return self._pool(*key)
        except AnomalyHepError as error:
            # returned, since torch would wrap it in a RuntimeError, which hides its type
            return error

    def _pool(self, epoch: int, number: int) -> _Pool:
        slices, sizes = self.plan.pool(epoch, number)
        events = Events.concatenate(
            [self.reading.read(piece, labels=self.labels) for piece in slices]
        )
        index = np.concatenate(
            [np.arange(p.first, p.first + len(p), dtype=np.int64) for p in slices]
        )
        order = self.plan.mixing(epoch, number, len(events))
        passed = self.reading.cuts.passed(events)[order]
        sizes = _sizes_after(passed, sizes)
        order = order[passed]
        events = events.take(order)
        if self.resampled:
            events, chosen = self.reading.resample(events, self.plan.rng(epoch, number))
            order = order[chosen]
        if self.plan.shuffle:
            events = self.reading.augment(events, self.plan.rng(epoch, number))
        try:
            inputs, counts = self.reading.batch(events, index[order], slices[0].path)
        except BadFileError as error:
            if error.entry is None:
                raise
            raise error.at(*place_of(slices, int(order[error.entry]))) from error
        counts.add(Counts(len(passed), int((~passed).sum())))
        return _Pool(inputs, sizes, counts)


def _sizes_after(
    passed: Bool[np.ndarray, " event"], sizes: Int64[np.ndarray, " batch"]
) -> Int64[np.ndarray, " batch"]:
    return np.add.reduceat(passed, np.cumsum(sizes) - sizes, dtype=np.int64)


class _Order(Sampler[tuple[int, int]]):
    """The remaining pools of the stream's epoch, from the current one on."""

    def __init__(self, stream: EventStream) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[tuple[int, int]]:
        first = self.stream.batch // self.stream.plan.pool_batches
        return iter([(self.stream.epoch, n) for n in range(first, self.stream.plan.pools)])


def _begin(number: int) -> None:
    """Have a reading process end with the one that started it."""
    del number  # torch numbers them
    if parent := parent_process():
        end_with_parent(parent.pid or 0)


class EventStream:
    """Iterate over the batches, one epoch per iteration; state_dict resumes mid-epoch.

    Worker processes read pools, which arrive in order, so any number of workers gives the same
    batches. Memory holds `pool_batches` batches per worker, and two more pools that wait. A batch
    that the selection leaves empty is skipped. An iteration that was left early is continued by the
    next one; with `restart` each begins at the first event. `resampled`: the events of each pool
    are drawn by their weights. `counts` are those of the first epoch, as later ones read the same
    events again. `feed` brings batches to the device.
    """

    def __init__(
        self,
        plan: Plan,
        reading: Reading,
        *,
        workers: int = 0,
        restart: bool = False,
        labels: Labels | None = None,
        resampled: bool = False,
        counts: Counts | None = None,
        feed: Feed | None = None,
    ) -> None:
        self.plan, self.reading, self.restart = plan, reading, restart
        self.feed = feed or Feed()
        self.epoch, self.batch = 0, 0
        self.counts = Counts() if counts is None else counts
        self._counted = 0  # pools whose counts are in `counts`
        self._loader = DataLoader(
            _Pools(plan, reading, labels, resampled),
            batch_size=None,
            sampler=_Order(self),
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=_begin,
        )

    def __len__(self) -> int:
        return self.plan.batches

    def __iter__(self) -> Iterator[JaggedBatch]:
        # a consumer that knows the length stops at the last batch without asking for one more
        if self.restart:
            self.batch = 0
        elif self.batch >= len(self):
            self.epoch, self.batch = self.epoch + 1, 0
        for piece in self.feed.ahead(self._pieces()):
            # advanced before the batch is yielded: a checkpoint made after this batch's step must
            # say that the batch is done
            self.batch += 1
            if piece.events:
                yield piece

    def _pieces(self) -> Iterator[JaggedBatch]:
        """Yield the remaining batches of the epoch, including empty ones."""
        done, size = self.batch, self.plan.pool_batches
        for pool in self._loader:
            if isinstance(pool, AnomalyHepError):
                raise pool
            if self.epoch == 0 and done // size == self._counted:
                self.counts.add(pool.counts)
                self._counted += 1
            pieces = list(_split(pool))[done % size :]
            done += len(pieces)
            yield from pieces

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, the number of its batches yielded, and of the pools counted."""
        return {"epoch": self.epoch, "batch": self.batch, "counted": self._counted}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue after the batch at which `state` was taken."""
        self.epoch, self.batch, self._counted = state["epoch"], state["batch"], state["counted"]


@runtime_checkable
class Stream(Protocol):
    """Batches of one epoch per iteration; one that was left early is continued by the next."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[JaggedBatch]: ...

    def state_dict(self) -> dict[str, int]:
        """Return the position."""

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue after the batch at which `state` was taken."""


class WholeEpochs:
    """A stream for Lightning's Trainer: every iteration has as many batches as an epoch.

    One that begins in the middle of an epoch of the stream, as with limit_train_batches, continues
    into the next: a Trainer whose epoch ends early does not validate.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.state_dict, self.load_state_dict = stream.state_dict, stream.load_state_dict

    def __len__(self) -> int:
        return len(self.stream)

    def __iter__(self) -> Iterator[JaggedBatch]:
        left = len(self)
        while left:
            before = left
            for batch in self.stream:
                left -= 1
                yield batch
                if not left:
                    return
            if left == before:
                return  # no event passes the selection


def _split(pool: _Pool) -> Iterator[JaggedBatch]:
    edges = np.concatenate([np.zeros(1, np.int64), np.cumsum(pool.sizes)])
    offsets = torch.cat([pool.inputs.lengths.new_zeros(1), pool.inputs.lengths.cumsum(0)])
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        yield pool.inputs.part(start, stop, int(offsets[start]), int(offsets[stop]))
