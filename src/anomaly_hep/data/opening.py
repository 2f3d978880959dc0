"""Find and open the files of each class in each split, and note what was left out of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from anomaly_hep.data.inspection import SeenEvents, check_columns, inspect, rule_columns
from anomaly_hep.data.plan import Slice
from anomaly_hep.data.reading import Reading
from anomaly_hep.data.samples import SampleFile, sample_file, share_of
from anomaly_hep.errors import BadFileError, MissingDataError
from anomaly_hep.formats.files import find_files, format_of
from anomaly_hep.formats.ledger import Ledger, file_sha256
from anomaly_hep.types import Sample


@dataclass
class SampleFiles:
    """The files of `samples`, each opened when it is first asked for.

    directory, test_directory: where the files of training and validation, and those of the tests,
    are; directories: {split: [its possible places below them]}. The other fields are those of
    `EventDataModule`.
    """

    samples: Mapping[str, Mapping[str, Sample]]
    reading: Reading
    directory: Path
    test_directory: Path
    directories: Mapping[str, Sequence[str]]
    order: Literal["file", "hash"]
    on_bad_file: Literal["refuse", "skip"]
    on_bad_event: Literal["refuse", "skip"]
    max_bad_fraction: float
    chunk_events: int
    ledger: Ledger = field(default_factory=Ledger)
    _seen: SeenEvents = field(default_factory=SeenEvents)
    _opened: dict[tuple[str, str], list[SampleFile]] = field(default_factory=dict)

    def files(self, split: str, label: str) -> list[SampleFile]:
        """Return the files of one class in 'train', 'val' or 'test', in order."""
        key = (split, label)
        if key not in self._opened:
            sample = self._sample(split, label)
            usable = [self._open(path, sample) for path in self.paths(split, label)]
            files = share_of(
                [file for file in usable if file is not None], sample.entries, self.order
            )
            for file in files:
                self.ledger.accept(file.description, events=len(file))
            self.ledger.check(self.max_bad_fraction)
            self._opened[key] = files
        return self._opened[key]

    def paths(self, split: str, label: str) -> list[Path]:
        """Return where the files of a class are; raises MissingDataError where there are none."""
        directory = self.test_directory if split == "test" else self.directory
        places = [directory / place for place in self.directories.get(split, ["."])]
        return find_files(places, self._sample(split, label).files)

    def present(self, split: str, label: str) -> bool:
        """Return whether there are files of a class; they are not opened."""
        try:
            return bool(self.paths(split, label))
        except MissingDataError:
            return False

    def _sample(self, split: str, label: str) -> Sample:
        if label not in self.samples[split]:
            problem = f"data.samples.{split} has no {label}. Cure: list its files there"
            raise MissingDataError(problem)
        return self.samples[split][label]

    def _open(self, path: Path, sample: Sample) -> SampleFile | None:
        try:
            described = format_of(path).describe(path)
            check_columns(described, self.reading.columns)
            skip = self.on_bad_event == "skip"
            identities = inspect(described, refuse=not skip)
            judged = [*self.reading.columns, *rule_columns(described)] if skip else None
            file = sample_file(described, sample, judged)
            if self.on_bad_file == "skip":
                # the plan of the batches needs to know which files are good, so all are read first
                for start in range(0, len(file), self.chunk_events):
                    piece = Slice(file, start, min(start + self.chunk_events, len(file)), start)
                    events = self.reading.read(piece)
                    self.reading.batch(events, np.arange(len(events)), path)
        except BadFileError as error:
            if self.on_bad_file == "refuse":
                raise
            self.ledger.refuse(error)
            return None
        self._seen.check(sample.label, path, [file_sha256(path), *identities])
        self.ledger.leave_out(described, file.left_out.events, file.left_out.reasons)
        return file
