"""Vectors of events that a frozen part of a network computed once, as a stream of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from anomaly_hep.data.batch import JaggedBatch, VectorBatch
from anomaly_hep.data.reading import Counts, drawn_by_weight
from anomaly_hep.data.stream import EventStream


@dataclass(frozen=True, eq=False)
class Stage:
    """What embeds events, and the context in which it computes, such as autocast."""

    embed: Callable[[Any], Float32[Tensor, "event component"]]
    context: Callable[[], AbstractContextManager[Any]]

    def __call__(self, batch: JaggedBatch) -> VectorBatch:
        """Return the vectors of a batch's events, without those that pad it."""
        with torch.no_grad(), self.context():
            vectors = self.embed(batch).float()
        events = batch.events
        return VectorBatch(
            lengths=torch.zeros_like(batch.lengths[:events]),
            index=batch.index[:events],
            weight=batch.weight[:events],
            label=None if batch.label is None else batch.label[:events],
            vectors=vectors[:events].clone(),
        )


class EmbeddedStream:
    """Iterate over batches of embedded events, one epoch per iteration; state_dict resumes.

    The events of `source` are read and embedded before the first batch, and their vectors stay in
    memory, on the device: 0.26 GB for a million events of 64 components. `shuffle`: each epoch has
    an order of its own, over all events; without, each iteration begins at the first event.
    `resampled`: the events of each epoch are drawn by their weights.
    """

    def __init__(
        self, source: EventStream, stage: Stage, *, shuffle: bool, resampled: bool
    ) -> None:
        self.source, self.stage = source, stage
        self.shuffle, self.resampled = shuffle, resampled
        self.epoch, self.batch = 0, 0
        self._events: VectorBatch | None = None

    def __len__(self) -> int:
        return len(self.source)

    @property
    def counts(self) -> Counts:
        """What was read, and what was lost on the way."""
        return self.source.counts

    def __iter__(self) -> Iterator[VectorBatch]:
        if not self.shuffle:
            self.batch = 0
        elif self.batch >= len(self):
            self.epoch, self.batch = self.epoch + 1, 0
        feed, events = self.source.feed, self._embedded()
        if events is None:
            return
        if self.shuffle:
            events = self._in_order(events)
        edges = len(events) * np.arange(len(self) + 1) // len(self)
        for start, stop in zip(edges[self.batch :], edges[self.batch + 1 :], strict=False):
            # advanced before the batch is yielded, as in EventStream
            self.batch += 1
            if stop > start:
                piece = events.part(int(start), int(stop), 0, 0)
                yield piece.slotted(feed.events, 1) if feed.slotted else piece

    def _embedded(self) -> VectorBatch | None:
        """Return all events, embedded the first time; None if none passes the selection."""
        if self._events is None:
            parts = [self.stage(batch) for batch in self.source]
            self._events = VectorBatch.joined(parts) if parts else None
        return self._events

    def _in_order(self, events: VectorBatch) -> VectorBatch:
        """Return the events in the order of this epoch, or those that are drawn for it."""
        plan = self.source.plan
        rng = np.random.default_rng([plan.seed, self.epoch, plan.rank])
        weight = events.weight
        if not self.resampled or not bool((weight > 0).any()):
            return events.take(torch.from_numpy(rng.permutation(len(events))).to(weight.device))
        chosen = torch.from_numpy(drawn_by_weight(weight.cpu().numpy(), rng)).to(weight.device)
        return replace(events.take(chosen), weight=torch.full_like(weight, float(weight.mean())))

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, the number of its batches yielded, and of the pools counted."""
        counted = self.source.state_dict()["counted"]
        return {"epoch": self.epoch, "batch": self.batch, "counted": counted}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue after the batch at which `state` was taken; the events are embedded again."""
        self.epoch, self.batch = state["epoch"], state["batch"]
        self.source.load_state_dict({"epoch": 0, "batch": 0, "counted": state["counted"]})
