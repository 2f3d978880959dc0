"""The LightningDataModule of every jet data set; data sets differ by yaml, not by class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning

from anomaly_hep.data.features import FeatureList
from anomaly_hep.data.plan import Plan
from anomaly_hep.data.selection import Selection
from anomaly_hep.data.stream import EventStream, Reading
from anomaly_hep.errors import BadFileError, ConfigError, MissingDataError
from anomaly_hep.formats.files import find_files, format_of
from anomaly_hep.formats.ledger import Ledger
from anomaly_hep.types import FileDescription

ON_BAD_FILE = ("refuse", "skip")


class JetDataModule(lightning.LightningDataModule):
    """Background jets to train and validate on; which files hold which class for the tests.

    classes: {label: file prefix}; only files of `background` are opened for training and
    validation. on_bad_file: 'refuse' stops at the first bad file, 'skip' reads every file once
    beforehand, leaves bad ones out and counts them, up to `max_bad_fraction` of the files.
    """

    def __init__(
        self,
        *,
        directory: str,
        background: str,
        classes: Mapping[str, str],
        features: Mapping[str, Mapping[str, Any] | None],
        selection: Mapping[str, Mapping[str, float]],
        max_particles: int,
        batch_size: int,
        chunk_events: int,
        pool_batches: int,
        num_workers: int,
        on_bad_file: str,
        max_bad_fraction: float,
        seed: int,
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
        self.directory, self.background, self.classes = Path(directory), background, dict(classes)
        self.batch_size, self.chunk_events, self.pool_batches = (
            batch_size,
            chunk_events,
            pool_batches,
        )
        self.num_workers, self.seed = num_workers, seed
        self.on_bad_file, self.max_bad_fraction = on_bad_file, max_bad_fraction
        self.reading = reading_of(self.hparams)
        self.ledger = Ledger()
        self.streams: dict[str, EventStream] = {}
        self._files: dict[tuple[str, str], list[FileDescription]] = {}

    def files(self, split: str, label: str) -> list[FileDescription]:
        """Return the usable files of one class in 'train', 'val' or 'test', in name order."""
        key = (split, label)
        if key not in self._files:
            paths = find_files(self.directory, split, self.classes[label])
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
                    self.reading.features.compute(
                        format_.read(path, start, stop, self.reading.columns), path
                    )
        except BadFileError as error:
            if self.on_bad_file == "refuse":
                raise
            self.ledger.refuse(error)
            return None
        self.ledger.accept(described, events=described.entries)
        return described

    def setup(self, stage: str) -> None:
        """Open the background files of training and validation."""
        del stage  # scoring reads files directly: there is nothing to prepare for other stages
        for split in ("train", "val"):
            if split not in self.streams:
                self.streams[split] = self._stream(split)

    def _stream(self, split: str) -> EventStream:
        files = [(file.path, file.entries) for file in self.files(split, self.background)]
        plan = Plan(
            files=files,
            batch_size=self.batch_size,
            chunk_events=self.chunk_events,
            pool_batches=self.pool_batches,
            seed=self.seed,
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
        return EventStream(plan, self.reading, workers=workers, restart=not training)

    def train_dataloader(self) -> EventStream:
        """Return the shuffled, resumable stream of training background."""
        return self.streams["train"]

    def val_dataloader(self) -> EventStream:
        """Return the validation background in file order."""
        return self.streams["val"]

    def state_dict(self) -> dict[str, Any]:
        """Return where the training stream stands.

        Lightning saves this of a stateful loader too, but does not load it when a learning-rate
        schedule asked for the number of steps (seen in 2.6.6: the epoch's data then begin anew).
        """
        return {"train": self.streams["train"].state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the training stream go on from where it stood."""
        self.streams["train"].load_state_dict(state_dict["train"])


def reading_of(settings: Mapping[str, Any]) -> Reading:
    """Return how events are read under a module's hyper-parameters, as a checkpoint keeps them."""
    return Reading(
        features=FeatureList(settings["features"]),
        selection=Selection(settings["selection"]),
        max_particles=settings["max_particles"],
    )
