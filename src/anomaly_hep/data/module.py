"""The LightningDataModule of all data sets; they differ in their yaml, not in their class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import lightning
import torch

from anomaly_hep.bounds import Count, Natural, Seed, Share
from anomaly_hep.data.batch import JaggedBatch
from anomaly_hep.data.disjoint import check_plan, check_samples
from anomaly_hep.data.embedded import EmbeddedStream, Stage
from anomaly_hep.data.feed import Feed
from anomaly_hep.data.opening import SampleFiles
from anomaly_hep.data.plan import Plan, Slice, portion
from anomaly_hep.data.reading import Counts, Labels, reading_of
from anomaly_hep.data.samples import SampleFile, samples_of
from anomaly_hep.data.signal import (
    SignalGroups,
    check_share,
    class_numbers,
    drawn,
    labelled_classes,
)
from anomaly_hep.data.stream import EventStream, WholeEpochs
from anomaly_hep.errors import ConfigError

_SEED_STEP = 1_000_003  # between phases, so that a later phase's seed is no other run's seed


class EventDataModule(lightning.LightningDataModule):
    """Background events for training and validation, and the files of each class for the tests.

    directory: where the files are; directories: {split: [its possible places below `directory`]}.
    test_directory: where the test files are if elsewhere, e.g. published files for a network
    trained on simulated ones. samples: {split: {label: keys of `Sample`}}; training and validation
    open only the files of `background` and of signals that take part. reading: the class that makes
    batches, with its own keys in `inputs`. validation_fraction: the share of the training events,
    at their end, used for validation if the data set has no files for it; None refuses such a data
    set. on_bad_file: 'refuse' stops at the first bad file; 'skip' reads every file once beforehand
    and leaves out bad ones. on_bad_event: the same for single events that are impossible.
    max_bad_fraction: the largest share of the files, and of the events, left out. weight: the
    column with the weights of samples that name none. weighting: whether training weights multiply
    the loss, or choose the events. order: what `entries` of samples count by, see `share_of`.
    process: the column with each event's process. signal_in_training: the number of unlabelled
    events of each of `groups` mixed into the training background, as a share of it; see `begin`.
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
        on_bad_event: Literal["refuse", "skip"] = "refuse",
        directories: Mapping[str, Sequence[str]] | None = None,
        weight: str | None = None,
        weighting: Literal["loss", "resample"] = "loss",
        order: Literal["file", "hash"] = "file",
        process: str | None = None,
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
        self.test_directory = Path(test_directory) if test_directory else self.directory
        self.batch_size, self.chunk_events, self.pool_batches = (
            batch_size,
            chunk_events,
            pool_batches,
        )
        self.num_workers, self.seed = num_workers, seed
        self.weighting, self.process = weighting, process
        self.signal_share, self.groups = check_share(signal_in_training), groups
        self.reading = reading_of(reading, inputs)
        self._opened = SampleFiles(
            self.samples,
            self.reading,
            self.directory,
            self.test_directory,
            dict(directories or {}),
            order,
            on_bad_file,
            on_bad_event,
            max_bad_fraction,
            chunk_events,
        )
        self.ledger = self._opened.ledger
        self.streams: dict[str, EventStream | EmbeddedStream] = {}
        self.counts: dict[str, Counts] = {}
        self.slotted = False  # whether batches come in the layout that accelerators take
        self.begin((), 0)

    @property
    def classes(self) -> list[str]:
        """The classes that are tested, in their order; optional ones only if they have files."""
        listed = self.samples["test"].items()
        return [name for name, s in listed if not s.optional or self.has_files("test", name)]

    def begin(
        self,
        labels: Sequence[str],
        number: int,
        *,
        background: tuple[float, float] = (0.0, 1.0),
        batch_size: int | None = None,
        stage: Stage | None = None,
    ) -> None:
        """Enter phase `number` of the training, which sees the classes `labels` with their labels.

        Validation includes these classes too. background: the part of the background that the phase
        uses, as fractions. batch_size: events per step where it is not the data's. stage: what
        embeds the events once for all epochs. Each phase shuffles in an order of its own.
        """
        self._labelled = labelled_classes(labels, list(self.samples["train"]), self.background)
        self._phase, self._share, self._stage = number, background, stage
        self._events_per_step = batch_size or self.batch_size
        self.streams = {}

    def files(self, split: str, label: str) -> list[SampleFile]:
        """Return the files of one class in 'train', 'val' or 'test', in order."""
        return self._opened.files(split, label)

    def has_files(self, split: str, label: str) -> bool:
        """Return whether there are files of a class; they are not opened."""
        return self._opened.present(split, label)

    def setup(self, stage: str) -> None:
        """Open the files for training and validation."""
        del stage  # other stages need no preparation: scoring reads files directly
        if self.trainer:
            self.reading.check(self.trainer.lightning_module)
        for split in ("train", "val"):
            if split not in self.streams:
                self.streams[split] = self._stream(split)
        used = [("train", self.background), ("val", self.background)]
        used += [("train", label) for label in self._labelled]
        used += [("test", label) for label in self.classes]
        listed = {key: self.samples[key[0]][key[1]] for key in used if self.has_files(*key)}
        check_samples(listed, self._opened.paths, self.files)

    def parts(self, split: str) -> list[Slice]:
        """Return the events of 'train' or 'val' as parts of files: background, then signals."""
        parts, total = self._parts(split, self.background)
        if self._labelled:
            for label in self._labelled:
                signal, events = self._parts(split, label)
                parts += [replace(part, first=part.first + total) for part in signal]
                total += events
        elif self.signal_share and split == "train":
            # called for its errors: groups that contradict each other are refused
            class_numbers((), list(self.samples["train"]), self.background, self.groups)
            events = sum(map(len, parts))
            parts += drawn(
                self.signal_share, events, self.groups, lambda c: self.files("train", c), total
            )
        return parts

    def background_parts(self) -> list[Slice]:
        """Return the background of the training events, without any signal."""
        return self._parts("train", self.background)[0]

    def events_once(self) -> Iterator[JaggedBatch]:
        """Yield all training events of the phase once, in file order, on the CPU."""
        yield from self._source("train", shuffle=False)

    def _parts(self, split: str, label: str) -> tuple[list[Slice], int]:
        """Return one class's events of 'train' or 'val', and how many its files hold.

        Without validation files, the last `validation_fraction` of the training events is used for
        validation, as in the published code of arXiv:2306.12955.
        """
        held_out = self.validation_fraction if not self.has_files("val", label) else None
        files = self.files("train" if held_out else split, label)
        total = sum(map(len, files))
        edge = total - round(total * held_out) if held_out else total
        begin, end = (edge, total) if held_out and split == "val" else (0, edge)
        if label == self.background:
            events, (first, last) = end - begin, self._share
            begin, end = begin + round(events * first), begin + round(events * last)
        return portion(files, begin, end), total

    def _labels(self) -> Labels | None:
        """Return the class numbers in a phase that sees labels, None in any other."""
        if not self._labelled:
            return None
        classes = list(self.samples["train"])
        return class_numbers(self._labelled, classes, self.background, self.groups)

    def _stream(self, split: str) -> EventStream | EmbeddedStream:
        training = split == "train"
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        feed = Feed(device, self.slotted, self._events_per_step)
        if self._stage is None:
            return self._source(split, shuffle=training, feed=feed)
        source = self._source(split, shuffle=False, feed=feed)
        return EmbeddedStream(source, self._stage, shuffle=training, resampled=self._drawn(split))

    def _source(self, split: str, *, shuffle: bool, feed: Feed | None = None) -> EventStream:
        plan = Plan(
            files=self.parts(split),
            batch_size=self._events_per_step,
            chunk_events=self.chunk_events,
            pool_batches=self.pool_batches,
            seed=self.seed + self._phase * _SEED_STEP,
            shuffle=shuffle,
            rank=self.trainer.global_rank if self.trainer and feed else 0,
            ranks=self.trainer.world_size if self.trainer and feed else 1,
        )
        check_plan(plan, split, self.background, self.directory, self.weighting)
        # validation is short: its workers would idle through the training
        name = f"{split}, phase {self._phase + 1}" if self._phase else split
        return EventStream(
            plan,
            self.reading,
            workers=self.num_workers if shuffle else 0,
            restart=not shuffle,
            labels=self._labels(),
            resampled=shuffle and self._drawn(split),
            counts=self.counts.setdefault(name, Counts()) if feed else None,
            feed=feed,
        )

    def _drawn(self, split: str) -> bool:
        """Return whether the weights choose the events."""
        return split == "train" and self.weighting == "resample"

    def train_dataloader(self) -> WholeEpochs:
        """Return the shuffled, resumable stream of training events."""
        return WholeEpochs(self.streams["train"])

    def val_dataloader(self) -> EventStream | EmbeddedStream:
        """Return the stream of validation events, in file order."""
        return self.streams["val"]

    def state_dict(self) -> dict[str, Any]:
        """Return the positions of the streams, and the counts so far.

        Lightning also saves the state of a stateful loader, but does not load it if a learning-rate
        schedule asked for the number of steps (seen in 2.6.6: the epoch's data then begin anew).
        """
        return {
            "streams": {split: stream.state_dict() for split, stream in self.streams.items()},
            "counts": {name: counts.state_dict() for name, counts in self.counts.items()},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the positions of the streams and the counts."""
        for name, counts in state_dict["counts"].items():
            self.counts.setdefault(name, Counts()).load_state_dict(counts)
        for split, stream in self.streams.items():
            stream.load_state_dict(state_dict["streams"][split])
