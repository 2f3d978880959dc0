"""Samples as a data set's yaml lists them, and the events of each file that belong to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import MaxLen, MinLen
from jaxtyping import Int64

from anomaly_hep.bounds import Share
from anomaly_hep.data.inspection import event_hashes
from anomaly_hep.data.selection import Cut, Selection
from anomaly_hep.errors import BadFileError, ConfigError
from anomaly_hep.formats.files import format_of
from anomaly_hep.formats.judging import bad_rows, check, findings, reasons
from anomaly_hep.types import Events, FileDescription, Sample

SPLITS = ("train", "val", "test")
_BLOCK_ENTRIES = 4096  # read at once, also where only some of them are needed


@dataclass(frozen=True, kw_only=True)
class SampleKeys:
    """The keys of one entry of `data.samples`."""

    files: str | Sequence[str]
    where: Mapping[str, Cut] = field(default_factory=dict)
    entries: Annotated[Sequence[Share], MinLen(2), MaxLen(2)] = (0.0, 1.0)
    weight: str | None = None
    optional: bool = False


@dataclass
class LeftOut:
    """The number of impossible events left out, and how many violate which condition."""

    events: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, events: int, reasons: Mapping[str, int]) -> None:
        """Add events of another part of a file."""
        self.events += events
        self.reasons.update(reasons)


@dataclass(frozen=True, eq=False)
class SampleFile:
    """The events of one file that belong to a sample.

    entries: their positions in the file, ascending; None for all events. has_weight: whether any
    event of the file has a weight above 0. negative: the number of events with a weight below 0.
    total_weight: the sum of all weights, where the sample has any.
    """

    description: FileDescription
    sample: Sample
    entries: Int64[np.ndarray, " event"] | None = None
    has_weight: bool = True
    left_out: LeftOut = field(default_factory=LeftOut)
    negative: int = 0
    total_weight: float = 0.0

    def __len__(self) -> int:
        return self.description.entries if self.entries is None else len(self.entries)

    @staticmethod
    def whole(description: FileDescription) -> SampleFile:
        """Return all events of a file, without a sample."""
        return SampleFile(description, Sample("", ()))

    @property
    def path(self) -> Path:
        """The file's path."""
        return self.description.path

    def overlaps(self, other: SampleFile) -> bool:
        """Return whether an event belongs to both, which are of one file."""
        one, two = (file.numbers(0, len(file)) for file in (self, other))
        return bool(np.intersect1d(one, two, assume_unique=True).size)

    def numbers(self, start: int, stop: int) -> Int64[np.ndarray, " event"]:
        """Return the positions in the file of the events `start` to `stop`."""
        return np.arange(start, stop) if self.entries is None else self.entries[start:stop]

    def read(self, start: int, stop: int, columns: Sequence[str]) -> Events:
        """Return the events `start` to `stop` with exactly the `columns`.

        Raises BadFileError for one that is impossible.
        """
        events = self.read_unjudged(start, stop, columns)
        check(format_of(self.path).LAYOUT, self.path, events, self.numbers(start, stop))
        return events

    def read_unjudged(self, start: int, stop: int, columns: Sequence[str]) -> Events:
        """Return the events `start` to `stop`, impossible ones too."""
        read = format_of(self.path).read
        if self.entries is None or start == stop:
            return read(self.path, start, stop, columns)
        chosen = self.entries[start:stop]
        # block by block: sparse events must not cost the memory of all events between them
        groups = np.split(chosen, np.flatnonzero(np.diff(chosen // _BLOCK_ENTRIES)) + 1)
        parts = []
        for group in groups:
            first, last = int(group[0]), int(group[-1]) + 1
            events = read(self.path, first, last, columns)
            whole = len(group) == last - first
            parts.append(events if whole else events.take(group - first))
        return Events.concatenate(parts)


def samples_of(
    listed: Mapping[str, Mapping[str, Mapping[str, Any]]], weight: str | None
) -> dict[str, dict[str, Sample]]:
    """Return the samples of each split by label, as `data.samples` lists them.

    `weight` is the column with the weights of samples that name none. Raises ConfigError for
    unknown splits or keys and for invalid values.
    """
    for split in listed:
        if split not in SPLITS:
            raise ConfigError(
                f"data.samples.{split} does not exist. Cure: the splits are {', '.join(SPLITS)}"
            )
    return {
        split: {
            label: _sample(f"data.samples.{split}.{label}", label, {"weight": weight, **keys})
            for label, keys in listed.get(split, {}).items()
        }
        for split in SPLITS
    }


def _sample(place: str, label: str, keys: Mapping[str, Any]) -> Sample:
    known = [f.name for f in fields(Sample) if f.name != "label"]
    for key in keys:
        if key not in known:
            raise ConfigError(
                f"{place}.{key} does not exist. Cure: a sample has {', '.join(known)}"
            )
    files = keys.get("files", ())
    patterns = (files,) if isinstance(files, str) else tuple(files)
    if not patterns or not all(isinstance(pattern, str) for pattern in patterns):
        raise ConfigError(f"{place}.files={files}. Cure: give a pattern, or a list of them")
    edges = tuple(keys.get("entries") or (0.0, 1.0))
    if len(edges) != 2 or not 0 <= edges[0] < edges[1] <= 1:
        raise ConfigError(
            f"{place}.entries={list(edges)}. Cure: give two shares of the events, rising from 0 to "
            "1"
        )
    where = keys.get("where") or {}
    Selection(where, f"{place}.where")  # refuses invalid bounds
    share, optional = (float(edges[0]), float(edges[1])), bool(keys.get("optional"))
    return Sample(label, patterns, where, share, keys["weight"], optional)


def sample_file(
    described: FileDescription, sample: Sample, judged: Sequence[str] | None = None
) -> SampleFile:
    """Return the events of a file that lie within the sample's bounds.

    Where `judged` names columns, events that are impossible by these are left out and counted; by
    default such events are refused where they are read. Raises BadFileError if an event within the
    bounds has a weight that is not finite.
    """
    own = [*sample.where, *([sample.weight] if sample.weight else [])]
    if not own and judged is None:
        return SampleFile(described, sample)
    bounds, layout = Selection(sample.where), format_of(described.path).LAYOUT
    entries, left_out, negative, total = [np.zeros(0, np.int64)], LeftOut(), 0, 0.0
    has_weight = sample.weight is None
    for start, events in _blocks(described, [*dict.fromkeys([*own, *(judged or ())])], own):
        if judged is None:
            check(layout, described.path, events, np.arange(start, start + len(events)))
        found = findings(layout, events)
        bad = bad_rows(found, len(events))
        left_out.add(int(bad.sum()), reasons(found))
        passed = bounds.passed(events) & ~bad
        if sample.weight:
            weight = events.events[sample.weight]
            has_weight |= bool((passed & (weight > 0)).any())
            negative += int((passed & (weight < 0)).sum())
            total += float(weight[passed].sum())
        entries.append(start + np.flatnonzero(passed))
    restricted = sample.where or left_out.events
    chosen = np.concatenate(entries) if restricted else None
    return SampleFile(described, sample, chosen, has_weight, left_out, negative, total)


def share_of(
    files: Sequence[SampleFile], edges: tuple[float, float], order: str = "file"
) -> list[SampleFile]:
    """Return the events between two fractions of all events of the files.

    The fractions count events in file order, or, with the order 'hash', by a number between 0 and 1
    that follows from each event's own values: so processes that follow each other in a file are
    mixed. Files without any of these events are left out.
    """
    if order == "hash" and edges != (0.0, 1.0):
        return [part for file in files if len(part := _hashed(file, edges))]
    total = sum(map(len, files))
    begin, end = (round(edge * total) for edge in edges)
    kept, before = [], 0
    for file in files:
        start, stop = max(begin - before, 0), min(end - before, len(file))
        before += len(file)
        if edges == (0.0, 1.0) or (start == 0 and stop == len(file)):
            kept.append(file)
        elif start < stop:
            kept.append(replace(file, entries=file.numbers(start, stop)))
    return kept


def _hashed(file: SampleFile, edges: tuple[float, float]) -> SampleFile:
    """Return the events of a file whose hash lies between two fractions of all hashes."""
    layout = format_of(file.path).LAYOUT
    names = [
        name
        for name in layout.measured(file.description.columns or layout.names)
        if layout[name].dtype.kind != "U"
    ]
    chosen = [np.zeros(0, np.int64)]
    for start in range(0, len(file), _BLOCK_ENTRIES):
        events = file.read_unjudged(start, min(start + _BLOCK_ENTRIES, len(file)), names)
        place = event_hashes(events) / 2.0**64
        chosen.append(start + np.flatnonzero((place >= edges[0]) & (place < edges[1])))
    rows = np.concatenate(chosen)
    return replace(file, entries=rows if file.entries is None else file.entries[rows])


def _blocks(
    described: FileDescription, columns: list[str], of_events: list[str]
) -> Iterator[tuple[int, Events]]:
    """Yield columns of a whole file block by block, with the position of each block's start."""
    path = described.path
    for start in range(0, described.entries, _BLOCK_ENTRIES):
        stop = min(start + _BLOCK_ENTRIES, described.entries)
        events = format_of(path).read(path, start, stop, columns)
        for name in of_events:
            if name not in events.events:
                cure = "name a column with one number per event"
                raise BadFileError(path, "it holds a list per event", branch=name, cure=cure)
        yield start, events
