"""The LightningDataModule of every data set; data sets differ by yaml, not by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch

from anomaly_hep.bounds import Count, Natural, Seed, Share
from anomaly_hep.data.feed import Feed
from anomaly_hep.data.plan import Plan, Slice
from anomaly_hep.data.reading import Counts, Reading, reading_of
from anomaly_hep.data.signal import Groups, check_share, class_numbers, drawn, labelled_classes
from anomaly_hep.data.stream import EventStream, WholeEpochs
from anomaly_hep.errors import BadFileError, ConfigError, MissingDataError
from anomaly_hep.formats.files import find_files, format_of
from anomaly_hep.formats.ledger import Ledger
from anomaly_hep.types import FileDescription

ON_BAD_FILE = ("refuse", "skip")
_BETWEEN_PHASES = 1_000_003  # keeps the seeds of phases apart from the next seeds of a user


class EventDataModule(lightning.LightningDataModule):
    """Background events to train and validate on; which files hold which class for the tests.

    signal_in_training: the events of each of `groups` that train among the background, as a share
    of its number, without labels. What a phase of the training sees with labels `begin` says.
    test_directory: where the test files are if elsewhere, say published ones of a network that
    trains on simulated ones. kind: 'jets' or 'images', with the settings in `inputs` that its
    reading takes. classes: {label: file prefix}; only files of `background`, and of the signals
    that train, are opened for training and validation. validation_fraction: the last part of the
    training events that validates where the data set has no files for it; None refuses such a data
    set. on_bad_file: 'refuse' stops at the first bad file, 'skip' reads every file once beforehand,
    leaves bad ones out and counts them, up to `max_bad_fraction` of the files.
    """

    def __init__(
        self,
        *,
        directory: str,
        test_directory: str | None,
        background: str,
        classes: Mapping[str, str],
        kind: str,
        selection: Mapping[str, Mapping[str, float]],
        validation_fraction: float | None,
        batch_size: Count,
        chunk_events: Count,
        pool_batches: Count,
        num_workers: Natural,
        on_bad_file: str,
        max_bad_fraction: Share,
        seed: Seed,
        signal_in_training: float | str = 0,
        groups: Groups | None = None,
        **inputs: Any,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        if on_bad_file not in ON_BAD_FILE:
            raise ConfigError(
                f"data.on_bad_file={on_bad_file} does not exist. Cure: choose one of "
                f"{', '.join(ON_BAD_FILE)}"
            )
        if background not in classes:
            raise ConfigError(
                f"data.background={background} is not a class. Cure: choose one of "
                f"{', '.join(classes)}"
            )
        if validation_fraction is not None and not 0 < validation_fraction < 1:
            raise ConfigError(
                f"data.validation_fraction={validation_fraction}. Cure: choose a share of the "
                "training events between 0 and 1, or null"
            )
        self.validation_fraction = validation_fraction
        self.directory, self.background, self.classes = Path(directory), background, dict(classes)
        self.batch_size, self.chunk_events, self.pool_batches = (
            batch_size,
            chunk_events,
            pool_batches,
        )
        self.test_directory = Path(test_directory) if test_directory else self.directory
        self.num_workers, self.seed = num_workers, seed
        self.on_bad_file, self.max_bad_fraction = on_bad_file, max_bad_fraction
        self.signal_share, self.groups = check_share(signal_in_training), groups
        self.reading = reading_of(self.hparams)
        self.ledger = Ledger()
        self.streams: dict[str, EventStream] = {}
        self.counts: dict[str, Counts] = {}
        self.slotted = False  # whether batches come in the layout that accelerators take
        self._files: dict[tuple[str, str], list[FileDescription]] = {}
        self.begin((), 0)

    def begin(self, labels: Sequence[str], number: int) -> None:
        """Enter a phase: the classes that it sees with labels, and its number among the phases.

        Labelled classes validate too. Each phase shuffles in an order of its own.
        """
        self._labelled = labelled_classes(labels, list(self.classes), self.background)
        self._phase = number
        self.streams = {}

    def files(self, split: str, label: str) -> list[FileDescription]:
        """Return the usable files of one class in 'train', 'val' or 'test', in name order."""
        key = (split, label)
        if key not in self._files:
            directory = self.test_directory if split == "test" else self.directory
            paths = find_files(directory, split, self.classes[label])
            usable = [self._describe(path) for path in paths]
            self._files[key] = [file for file in usable if file is not None]
            self.ledger.check(self.max_bad_fraction)
        return self._files[key]

    def _describe(self, path: Path) -> FileDescription | None:
        try:
            format_ = format_of(path)
            described: FileDescription = format_.describe(path)
            if self.on_bad_file == "skip":
                # a bad entry must be known before the order of batches is, so all of it is read
                for start in range(0, described.entries, self.chunk_events):
                    stop = min(start + self.chunk_events, described.entries)
                    events = format_.read(path, start, stop, self.reading.columns)
                    self.reading.batch(events, np.arange(len(events)), path)
        except BadFileError as error:
            if self.on_bad_file == "refuse":
                raise
            self.ledger.refuse(error)
            return None
        self.ledger.accept(described, events=described.entries)
        return described

    def check(self, model: Any) -> None:
        """Refuse a model that does not fit to what trains it; raises ConfigError."""
        if not issubclass(self.reading.makes, model.accepts):
            raise ConfigError(
                f"{type(model).__name__} takes {model.accepts.__name__}, but these data give "
                f"{self.reading.makes.__name__}. Cure: choose a model and data that belong together"
            )

    def setup(self, stage: str) -> None:
        """Open the files of training and validation."""
        del stage  # scoring reads files directly: there is nothing to prepare for other stages
        if self.trainer:
            self.check(self.trainer.lightning_module)
        for split in ("train", "val"):
            if split not in self.streams:
                self.streams[split] = self._stream(split)

    def parts(self, split: str) -> list[Slice]:
        """Return the events of 'train' or 'val' as parts of files: background, then signals."""
        parts, total = self._parts(split, self.background)
        if self._labelled:
            for label in self._labelled:
                more, events = self._parts(split, label)
                parts += [replace(part, first=part.first + total) for part in more]
                total += events
        elif self.signal_share and split == "train":
            # refuses groups that contradict each other
            class_numbers((), list(self.classes), self.background, self.groups)
            events = sum(part.stop - part.start for part in parts)
            parts += drawn(
                self.signal_share, events, self.groups, lambda c: self.files("train", c), total
            )
        return parts

    def background_parts(self) -> list[Slice]:
        """Return the training background alone, whatever else trains beside it."""
        return self._parts("train", self.background)[0]

    def _parts(self, split: str, label: str) -> tuple[list[Slice], int]:
        """Return one class's events of 'train' or 'val', and how many its files hold.

        Without validation files the last `validation_fraction` of the training events validates,
        as in the published code of arXiv:2306.12955.
        """
        shared = self.validation_fraction if not self._has_files("val", label) else None
        files = self.files("train" if shared else split, label)
        total = sum(file.entries for file in files)
        edge = total - round(total * shared) if shared else total
        begin, end = (edge, total) if shared and split == "val" else (0, edge)
        parts, first = [], 0
        for file in files:
            start, stop = max(begin - first, 0), min(end - first, file.entries)
            if start < stop:
                parts.append(Slice(file.path, start, stop, first + start))
            first += file.entries
        return parts, total

    def _has_files(self, split: str, label: str) -> bool:
        try:
            find_files(self.directory, split, self.classes[label])
        except MissingDataError:
            return False
        return True

    def _reading(self) -> Reading:
        """Return how the files of `parts` are read: with labels in a phase that sees them."""
        if not self._labelled:
            return self.reading
        numbers = class_numbers(self._labelled, list(self.classes), self.background, self.groups)
        class_of_file = {
            file.path: numbers[label]
            for (_, label), files in self._files.items()
            for file in files
            if label in numbers
        }
        return replace(self.reading, class_of_file=class_of_file)

    def _stream(self, split: str) -> EventStream:
        plan = Plan(
            files=self.parts(split),
            batch_size=self.batch_size,
            chunk_events=self.chunk_events,
            pool_batches=self.pool_batches,
            seed=self.seed + self._phase * _BETWEEN_PHASES,
            shuffle=split == "train",
            rank=self.trainer.global_rank if self.trainer else 0,
            ranks=self.trainer.world_size if self.trainer else 1,
        )
        if plan.events == 0:
            raise MissingDataError(
                f"the {split} files of {self.background} in {self.directory} hold no event. "
                "Cure: simulate or fetch some, or choose another data.dir"
            )
        training = split == "train"
        # validation is short: its workers would live through training for nothing
        workers = self.num_workers if training else 0
        name = f"{split}, phase {self._phase + 1}" if self._phase else split
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        return EventStream(
            plan,
            self._reading(),
            workers=workers,
            restart=not training,
            counts=self.counts.setdefault(name, Counts()),
            feed=Feed(device, self.slotted, self.batch_size),
        )

    def train_dataloader(self) -> WholeEpochs:
        """Return the shuffled, resumable stream of training events."""
        return WholeEpochs(self.streams["train"])

    def val_dataloader(self) -> EventStream:
        """Return the validation background in file order."""
        return self.streams["val"]

    def state_dict(self) -> dict[str, Any]:
        """Return where the streams stand, and what was counted so far.

        Lightning saves this of a stateful loader too, but does not load it when a learning-rate
        schedule asked for the number of steps (seen in 2.6.6: the epoch's data then begin anew).
        """
        return {
            "streams": {split: stream.state_dict() for split, stream in self.streams.items()},
            "counts": {name: counts.state_dict() for name, counts in self.counts.items()},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the streams and the counts go on from where they stood."""
        for name, counts in state_dict["counts"].items():
            self.counts.setdefault(name, Counts()).load_state_dict(counts)
        for split, stream in self.streams.items():
            stream.load_state_dict(state_dict["streams"][split])
