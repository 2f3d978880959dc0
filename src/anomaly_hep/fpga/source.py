"""The trained model that firmware is made from, and its events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from anomaly_hep.atomic import atomic_path
from anomaly_hep.data.module import EventDataModule
from anomaly_hep.data.plan import Slice
from anomaly_hep.data.reading import Reading
from anomaly_hep.errors import CheckpointError
from anomaly_hep.evaluate.scores import load_model
from anomaly_hep.formats.origin import origin_of
from anomaly_hep.fpga import events
from anomaly_hep.fpga.events import Jets
from anomaly_hep.fpga.integers import Port
from anomaly_hep.models.layers.trigger import TriggerEncoder, TriggerPosterior
from anomaly_hep.models.setvae import SetVAE

Timed = Callable[[str], AbstractContextManager[None]]
# the background of the training and validation, and of every class that of the tests
SPLITS = {"training": "train", "validation": "val", "test": "test"}


@dataclass(frozen=True, eq=False)
class Source:
    """A trained model of jets, how it reads them, and where they are."""

    checkpoint: Path
    model: SetVAE
    reading: Reading
    module: EventDataModule

    @staticmethod
    def open(checkpoint: Path, data_dir: str | None) -> Source:
        """Load a checkpoint; raises ExportError for a model that cannot become firmware."""
        model, reading = load_model(checkpoint)
        model = events.exportable(model, checkpoint)
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        settings = dict(content["datamodule_hyper_parameters"])
        if data_dir is not None:
            settings["directory"] = data_dir
        try:
            module = EventDataModule(**settings)
        except TypeError as error:
            raise CheckpointError(
                f"{checkpoint} was written by another version ({error}). Cure: train again"
            ) from error
        return Source(checkpoint, model, reading, module)

    @property
    def background(self) -> str:
        """Label of the background."""
        return self.module.background

    @property
    def trigger(self) -> TriggerEncoder | None:
        """The model's own encoder, where it is one for a trigger."""
        encoder = self.model.encoder
        return encoder.network if isinstance(encoder, TriggerPosterior) else None

    def settings(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is asked for, but with the shape of the model's own encoder for a trigger."""
        encoder = self.model.encoder
        if not isinstance(encoder, TriggerPosterior):
            return dict(asked)
        hyper, network = self.model.hparams, encoder.network
        own = {
            "constituents": network.constituents,
            "inputs": encoder.ranges,
            "types": self.model.use_pid,
            "latent_dim": hyper["latent_dim"],
            **{name: list(hyper["encoder"][name]) for name in ("phi", "rho")},
        }
        return {**asked, **own, **(network.precision or {})}

    def ports(self, settings: Mapping[str, Any]) -> tuple[Port, ...]:
        """Return the inputs of a constituent on the chip."""
        types = settings["types"] and self.model.use_pid
        return events.ports(self.reading, settings["inputs"], types=types)

    def jets(
        self,
        name: str,
        settings: Mapping[str, Any],
        directory: Path,
        timed: Timed,
    ) -> Jets:
        """Return the jets of 'training', 'validation' or 'test', kept in a file of the run."""
        path = directory / "events" / f"{name}.npz"
        if not path.exists():
            with timed(f"read and score {name} events"):
                parts = self._parts(SPLITS[name], settings)
                jets = events.collect(
                    self.model, self.reading, parts, self.ports(settings), settings["constituents"]
                )
                if name == "test":
                    jets = jets.shuffled()
            with atomic_path(path) as temporary, temporary.open("wb") as stream:
                np.savez(stream, **{f.name: getattr(jets, f.name) for f in fields(Jets)})
        with np.load(path, allow_pickle=False) as kept:
            return Jets(**{f.name: kept[f.name] for f in fields(Jets)})

    def _parts(self, split: str, settings: Mapping[str, Any]) -> list[tuple[str, Slice]]:
        """Return labelled parts of files with no more events than the settings allow."""
        if split != "test":
            limit = settings["training_events"]
            return [(self.background, p) for p in _limited(self.module.parts(split), limit)]
        found = []
        for label in self.module.classes:
            whole = [Slice(f.path, 0, f.entries, 0) for f in self.module.files("test", label)]
            found += [(label, p) for p in _limited(whole, settings["test_events"])]
        return found

    def described(self) -> dict[str, Any]:
        """Return what fpga.json says of the model and of the events."""
        counts = self.model.parameter_counts()
        files = [f for label in self.module.classes for f in self.module.files("test", label)]
        origin, generator = origin_of(files, self.module.test_directory)
        return {
            "checkpoint": str(self.checkpoint),
            "title": self.model.title,
            "paper": self._paper(),
            "encoder_parameters": counts["encoder"],
            "events": str(self.module.test_directory),
            "origin": origin,
            "generator": generator,
        }

    def _paper(self) -> str | None:
        """Return the paper that names the signals, as the run of the checkpoint says."""
        path = self.checkpoint.parent.parent / "config.yaml"
        config = yaml.safe_load(path.read_text("utf-8")) if path.is_file() else {}
        name: str | None = config.get("data", {}).get("paper")
        return name


def _limited(parts: list[Slice], events_wanted: int) -> list[Slice]:
    """Return the first parts that hold no more than so many events."""
    kept, left = [], events_wanted
    for part in parts:
        stop = min(part.stop, part.start + left)
        if stop > part.start:
            kept.append(Slice(part.path, part.start, stop, part.first))
            left -= stop - part.start
    return kept
