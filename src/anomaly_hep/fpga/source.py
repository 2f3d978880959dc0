"""The trained model that firmware is made from, and its events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from anomaly_hep.atomic import atomic_path
from anomaly_hep.data.constituents import ConstituentReading
from anomaly_hep.data.module import EventDataModule
from anomaly_hep.data.plan import Slice
from anomaly_hep.errors import CheckpointError, ConfigError, ExportError
from anomaly_hep.evaluate.loading import load_model
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.formats.origin import origin_of
from anomaly_hep.fpga.design_settings import DesignSettings, Output, check_budget
from anomaly_hep.fpga.inputs import read_particles
from anomaly_hep.fpga.integers import Port
from anomaly_hep.fpga.summary import ModelSummary
from anomaly_hep.fpga.trigger_inputs import (
    FirmwareModel,
    Jets,
    chip_inputs,
    context_ports,
    input_ports,
    read_jets,
    shuffled_order,
)
from anomaly_hep.models.layers.trigger import TriggerEncoder, TriggerPosterior
from anomaly_hep.types import Events

# times a step of the command and prints its duration
Timed = Callable[[str], AbstractContextManager[None]]
# training and validation hold the background, the test split every class
SPLITS = {"training": "train", "validation": "val", "test": "test"}


@dataclass(frozen=True, eq=False)
class Source:
    """A trained model of sets of constituents, its reading of events, and its data."""

    checkpoint: Path
    model: FirmwareModel
    reading: ConstituentReading
    module: EventDataModule

    @staticmethod
    def open(checkpoint: Path, data_dir: str | None) -> Source:
        """Load a checkpoint; raises ExportError for a model that cannot become firmware."""
        model, reading, _ = load_model(checkpoint)
        if model.firmware_refusal is not None:
            raise ExportError(
                f"{checkpoint} holds {model.title}, which cannot become firmware: "
                f"{model.firmware_refusal}. Cure: leave checkpoint out, and the newest finished "
                "run of a model that can is taken"
            )
        if not isinstance(reading, ConstituentReading):
            raise ExportError(
                f"{checkpoint} was trained on what {type(reading).__name__} reads, which has no "
                "constituents for a trigger to take the hardest of. Cure: a run on data that have"
            )
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        hyper_parameters = dict(content["datamodule_hyper_parameters"])
        if data_dir is not None:
            hyper_parameters["directory"] = data_dir
        try:
            module = EventDataModule(**hyper_parameters)
        except TypeError as error:
            raise CheckpointError(
                f"{checkpoint} was written by another version ({error}). Cure: train again"
            ) from error
        return Source(checkpoint, cast(FirmwareModel, model), reading, module)

    @property
    def background(self) -> str:
        """Label of the background."""
        return self.module.background

    @property
    def weight(self) -> str | None:
        """The column with the weights of background events, if they have any."""
        return self.module.parts("train")[0].file.sample.weight

    @property
    def trigger(self) -> TriggerEncoder | None:
        """The model's own encoder if it is one for a trigger, else None."""
        encoder = self.model.encoder
        return encoder.network if isinstance(encoder, TriggerPosterior) else None

    def settings(self, requested: DesignSettings) -> DesignSettings:
        """Return the requested settings; a model's own trigger encoder decides its shape.

        Raises ConfigError where nothing says which features are inputs, or which column is a mass.
        """
        encoder = self.model.encoder
        if requested.decorrelate and self.mass is None:
            raise ConfigError(
                f"fpga.decorrelate=mass: no data.mass is known of {self.checkpoint}. Cure: train "
                "with data.mass=COLUMN, and leave the checkpoint in its run, beside config.yaml"
            )
        if requested.outputs is None:
            every: tuple[Output, ...] = ("score", "quantile", "decision")
            kept = every if requested.decorrelate else ("score", "decision")
            requested = replace(requested, outputs=kept)
        elif "quantile" in requested.outputs and not requested.decorrelate:
            raise ConfigError(
                "fpga.outputs: a quantile comes from thresholds that depend on the mass. Cure: "
                "fpga.decorrelate=mass, or outputs without it"
            )
        if requested.inputs is None:
            requested = replace(requested, inputs=chip_inputs(self.reading))
        self._check(requested)
        if not isinstance(encoder, TriggerPosterior):
            return requested
        network = encoder.network
        fixed: dict[str, Any] = {
            "constituents": network.constituents,
            "inputs": {name: float(limit) for name, limit in encoder.ranges.items()},
            "types": self.model.needs_types,
            "latent_dim": encoder.latent_dim,
            "phi": tuple(network.phi_widths),
            "rho": tuple(network.rho_widths),
            **(network.precision or {}),
        }
        return replace(requested, **fixed)

    def _check(self, requested: DesignSettings) -> None:
        """Raise ConfigError for a teacher that the model lacks, or a flow that cannot be made."""
        check_budget(requested, self.checkpoint if self.trigger else None)
        teacher, names = requested.teacher, ", ".join(self.model.score_names)
        if teacher is not None and self.trigger is not None:
            raise ConfigError(
                f"fpga.teacher={teacher}: the encoder of {self.checkpoint} goes to the chip as it "
                "is, and learns from no score. Cure: fpga.teacher=null"
            )
        if teacher is not None and teacher not in self.model.score_names:
            raise ConfigError(
                f"fpga.teacher={teacher} is no score of the {self.model.title} in "
                f"{self.checkpoint}. Cure: one of {names}, or null for the score of its encoder"
            )
        if self.trigger is None and requested.constituents > self.reading.max_particles:
            raise ConfigError(
                f"fpga.constituents={requested.constituents}, but the model was trained on at most "
                f"{self.reading.max_particles} of an event. Cure: no more than these"
            )
        context = ", ".join(port.name for port in self.context(requested))
        exports = [name for name in ("hls4ml", "finn") if getattr(requested, name) is not None]
        if context and exports:
            raise ConfigError(
                f"fpga.{exports[0]} has one input, the constituents, and {context} enter this "
                "design behind the sum over them. Cure: fpga=rtl"
            )

    def ports(self, settings: DesignSettings) -> tuple[Port, ...]:
        """Return the inputs of a constituent on the chip."""
        assert settings.inputs is not None
        types = settings.types and self.model.needs_types
        return input_ports(self.reading, settings.inputs, types=types)

    def context(self, settings: DesignSettings) -> tuple[Port, ...]:
        """Return the event-level inputs on the chip; a model's own trigger encoder has none."""
        assert settings.inputs is not None
        return () if self.trigger else context_ports(self.reading, settings.inputs)

    def jets(self, name: str, settings: DesignSettings, directory: Path, timed: Timed) -> Jets:
        """Return the jets of 'training', 'validation' or 'test', kept in a file of the run."""
        path = directory / "events" / f"{name}.npz"
        if not _is_whole(path):
            with timed(f"read and score {name} events"):
                parts = self._parts(SPLITS[name], settings)
                jets = read_jets(
                    self.model,
                    self.reading,
                    parts,
                    self.ports(settings),
                    settings.constituents,
                    self.mass if settings.decorrelate else None,
                    context=self.context(settings),
                    teacher=settings.teacher,
                )
                if name == "test":
                    jets = jets.shuffled()
            with atomic_path(path) as temporary, temporary.open("wb") as stream:
                np.savez(stream, **vars(jets))
        with np.load(path, allow_pickle=False) as archive:
            return Jets(**archive)

    def particles(self, settings: DesignSettings, directory: Path, timed: Timed) -> Events | None:
        """Return the particles of the test events in physical units, kept in a file of the run.

        The events are those of `jets`, in their order. None where the inputs are no particles.
        """
        path = directory / "events" / "particles.npz"
        if not path.exists():
            with timed("read particles of test events"):
                ports = self.ports(settings)
                particles = read_particles(
                    self.reading,
                    self._parts(SPLITS["test"], settings),
                    [port.name for port in ports if not port.flag],
                    types=any(port.flag for port in ports),
                )
            if particles is None:
                return None
            particles = particles.take(shuffled_order(len(particles)))
            with atomic_path(path) as temporary, temporary.open("wb") as stream:
                np.savez(
                    stream,
                    allow_pickle=False,
                    lengths=particles.lengths,
                    **{f"particle/{name}": column for name, column in particles.particles.items()},
                    **{f"event/{name}": column for name, column in particles.events.items()},
                )
        with np.load(path, allow_pickle=False) as archive:
            groups: dict[str, dict[str, np.ndarray]] = {"particle": {}, "event": {}}
            for key in archive.files:
                group, _, name = key.partition("/")
                groups.setdefault(group, {})[name] = archive[key]
            return Events(groups["lengths"][""], groups["particle"], groups["event"])

    def _parts(self, split: str, settings: DesignSettings) -> list[tuple[str, Slice]]:
        """Return labelled parts of files with no more events than the settings allow."""
        if split != "test":
            limit = settings.training_events
            return [(self.background, p) for p in _limited(self.module.parts(split), limit)]
        parts = []
        for label in self.module.classes:
            whole = [Slice(f, 0, len(f), 0) for f in self.module.files("test", label)]
            parts += [(label, p) for p in _limited(whole, settings.test_events)]
        return parts

    def learned(self, settings: DesignSettings) -> str:
        """Return what the score is called that the encoder on the chip has learned."""
        if settings.teacher is None:
            return "encoder's score"
        return self.model.score_descriptions()[settings.teacher].title

    def summary(self, settings: DesignSettings) -> ModelSummary:
        """Return fpga.json's description of the model, its score, and the events."""
        labels = self.module.classes
        files = [f.description for label in labels for f in self.module.files("test", label)]
        origin, generator = origin_of(files, self.module.test_directory)
        return ModelSummary(
            checkpoint=str(self.checkpoint),
            name=type(self.model).__module__.rpartition(".")[2],
            title=self.model.title,
            paper=self._paper(),
            score=settings.teacher,
            learned=self.learned(settings),
            encoder_parameters=self.model.parameter_counts()["encoder"],
            events=str(self.module.test_directory),
            origin=origin,
            generator=generator,
        )

    @property
    def mass(self) -> str | None:
        """The event column with the mass, in GeV; None where the checkpoint's run names none."""
        column: str | None = self._data().get("mass")
        return column

    def _paper(self) -> str | None:
        """Return the paper that names the signals, as the checkpoint's run says."""
        name: str | None = self._data().get("paper")
        return name

    def _data(self) -> Mapping[str, Any]:
        """Return what the configuration of the checkpoint's run says of the data."""
        run = self.checkpoint.parent.parent
        config = RunFiles(run).config if (run / "config.yaml").is_file() else {}
        data: Mapping[str, Any] = config.get("data", {})
        return data


def _is_whole(path: Path) -> bool:
    """Return whether a file of jets is there with all fields; an earlier version wrote fewer."""
    if not path.exists():
        return False
    with np.load(path, allow_pickle=False) as archive:
        return {field.name for field in fields(Jets)} == set(archive)


def _limited(parts: list[Slice], limit: int) -> list[Slice]:
    """Return the first parts, which together hold no more events than `limit`."""
    kept, left = [], limit
    for part in parts:
        stop = min(part.stop, part.start + left)
        if stop > part.start:
            kept.append(Slice(part.file, part.start, stop, part.first))
            left -= stop - part.start
    return kept
