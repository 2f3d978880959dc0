"""The LightningDataModule of every data set; data sets differ by yaml, not by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import lightning
import numpy as np
import torch

from anomaly_hep.bounds import Count, Natural, Seed, Share
from anomaly_hep.data.feed import Feed
from anomaly_hep.data.plan import Plan, Slice
from anomaly_hep.data.reading import Counts, Labels, reading_of
from anomaly_hep.data.samples import SampleFile, sample_file, samples_of, share_of
from anomaly_hep.data.signal import (
    SignalGroups,
    check_share,
    class_numbers,
    drawn,
    labelled_classes,
)
from anomaly_hep.data.stream import EventStream, WholeEpochs
from anomaly_hep.errors import BadFileError, ConfigError, MissingDataError
from anomaly_hep.formats.files import find_files, format_of
from anomaly_hep.formats.ledger import Ledger
from anomaly_hep.types import Sample

_BETWEEN_PHASES = 1_000_003  # keeps the seeds of phases apart from the next seeds of a user


class EventDataModule(lightning.LightningDataModule):
    """Background events to train and validate on; which files hold which class for the tests.

    signal_in_training: the events of each of `groups` that train among the background, as a share
    of its number, without labels. What a phase of the training sees with labels `begin` says.
    test_directory: where the test files are if elsewhere, say published ones of a network that
    trains on simulated ones. reading: the class that makes batches, with its own keys in `inputs`.
    samples: {split: {label: keys of `Sample`}}; only files of `background`, and of the signals that
    train, are opened for training and validation. directories: {split: [where its files may be,
    below `directory`]}. weight: column with the weights of samples that name none.
    validation_fraction: the last part of the training events that validates where the data set has
    no files for it; None refuses such a data set. on_bad_file: 'refuse' stops at the first bad
    file, 'skip' reads every file once beforehand, leaves bad ones out and counts them, up to
    `max_bad_fraction` of the files.
    """

    def __init__(
        self,
        *,
        directory: str,
        test_directory: str | None,
        background: str,
        samples: Mapping[str, Mapping[str, Mapping[str, Any]]],
        reading: str,
        inputs: Mapping[str, Any],
        validation_fraction: float | None,
        batch_size: Count,
        chunk_events: Count,
        pool_batches: Count,
        num_workers: Natural,
        on_bad_file: Literal["refuse", "skip"],
        max_bad_fraction: Share,
        seed: Seed,
        directories: Mapping[str, Sequence[str]] | None = None,
        weight: str | None = None,
        signal_in_training: float | str = 0,
        groups: SignalGroups | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.samples = samples_of(samples, weight)
        for split in ("train", "test"):
            if background not in self.samples[split]:
                raise ConfigError(
                    f"data.background={background} is no class of data.samples.{split}. Cure: "
                    f"choose one of {', '.join(self.samples[split]) or 'none: there are none'}"
                )
        if validation_fraction is not None and not 0 < validation_fraction < 1:
            raise ConfigError(
                f"data.validation_fraction={validation_fraction}. Cure: choose a share of the "
                "training events between 0 and 1, or null"
            )
        self.validation_fraction = validation_fraction
        self.directory, self.background = Path(directory), background
        self.directories = dict(directories or {})
        self.batch_size, self.chunk_events, self.pool_batches = (
            batch_size,
            chunk_events,
            pool_batches,
        )
        self.test_directory = Path(test_directory) if test_directory else self.directory
        self.num_workers, self.seed = num_workers, seed
        self.on_bad_file, self.max_bad_fraction = on_bad_file, max_bad_fraction
        self.signal_share, self.groups = check_share(signal_in_training), groups
        self.reading = reading_of(reading, inputs)
        self.ledger = Ledger()
        self.streams: dict[str, EventStream] = {}
        self.counts: dict[str, Counts] = {}
        self.slotted = False  # whether batches come in the layout that accelerators take
        self._files: dict[tuple[str, str], list[SampleFile]] = {}
        self.begin((), 0)

    @property
    def classes(self) -> list[str]:
        """The classes that are tested, in their order."""
        return list(self.samples["test"])

    def begin(self, labels: Sequence[str], number: int) -> None:
        """Enter a phase: the classes that it sees with labels, and its number among the phases.

        Labelled classes validate too. Each phase shuffles in an order of its own.
        """
        self._labelled = labelled_classes(labels, list(self.samples["train"]), self.background)
        self._phase = number
        self.streams = {}

    def files(self, split: str, label: str) -> list[SampleFile]:
        """Return the events of one class in 'train', 'val' or 'test' by their files, in order."""
        key = (split, label)
        if key not in self._files:
            sample = self._sample(split, label)
            usable = [self._open(path, sample) for path in self._paths(split, label)]
            files = share_of([file for file in usable if file is not None], sample.entries)
            for file in files:
                self.ledger.accept(file.description, events=len(file))
            self.ledger.check(self.max_bad_fraction)
            self._files[key] = files
        return self._files[key]

    def _sample(self, split: str, label: str) -> Sample:
        if label not in self.samples[split]:
            raise MissingDataError(
                f"data.samples.{split} has no {label}. Cure: list its files there"
            )
        return self.samples[split][label]

    def _paths(self, split: str, label: str) -> list[Path]:
        directory = self.test_directory if split == "test" else self.directory
        places = [directory / place for place in self.directories.get(split, ["."])]
        return find_files(places, self._sample(split, label).files)

    def _open(self, path: Path, sample: Sample) -> SampleFile | None:
        try:
            found = sample_file(format_of(path).describe(path), sample)
            if self.on_bad_file == "skip":
                # a bad entry must be known before the order of batches is, so all of it is read
                for start in range(0, len(found), self.chunk_events):
                    piece = Slice(found, start, min(start + self.chunk_events, len(found)), start)
                    events = self.reading.read(piece)
                    self.reading.batch(events, np.arange(len(events)), path)
        except BadFileError as error:
            if self.on_bad_file == "refuse":
                raise
            self.ledger.refuse(error)
            return None
        return found

    def check(self, model: Any) -> None:
        """Refuse a model that does not fit to what trains it; raises ConfigError."""
        if not issubclass(self.reading.makes, model.accepts):
            raise ConfigError(
                f"{type(model).__name__} takes {model.accepts.__name__}, but these data give "
                f"{self.reading.makes.__name__}. Cure: choose a model and data that belong together"
            )
        if model.needs_types and not self.reading.has_types:
            raise ConfigError(
                f"{model.title} takes types of particles, which these data do not have. Cure: "
                "model.use_pid=false, or data with types"
            )

    def setup(self, stage: str) -> None:
        """Open the files of training and validation."""
        del stage  # scoring reads files directly: there is nothing to prepare for other stages
        if self.trainer:
            self.check(self.trainer.lightning_module)
        for split in ("train", "val"):
            if split not in self.streams:
                self.streams[split] = self._stream(split)
        for label, sample in self.samples["test"].items():
            if sample.weight:
                self.files("test", label)  # weights that cannot be are refused before the training

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
            class_numbers((), list(self.samples["train"]), self.background, self.groups)
            events = sum(map(len, parts))
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
        shared = self.validation_fraction if not self.has_files("val", label) else None
        files = self.files("train" if shared else split, label)
        total = sum(map(len, files))
        edge = total - round(total * shared) if shared else total
        begin, end = (edge, total) if shared and split == "val" else (0, edge)
        parts, first = [], 0
        for file in files:
            start, stop = max(begin - first, 0), min(end - first, len(file))
            if start < stop:
                parts.append(Slice(file, start, stop, first + start))
            first += len(file)
        return parts, total

    def has_files(self, split: str, label: str) -> bool:
        """Return whether there are files of a class, without a look into them."""
        try:
            return bool(self._paths(split, label))
        except MissingDataError:
            return False

    def _labels(self) -> Labels | None:
        """Return the numbers of the classes in a phase that sees labels, None in another."""
        if not self._labelled:
            return None
        known = list(self.samples["train"])
        return class_numbers(self._labelled, known, self.background, self.groups)

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
            self.reading,
            workers=workers,
            restart=not training,
            labels=self._labels(),
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
