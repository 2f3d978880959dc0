"""The encoder for the chip: distilled from a trained model, quantised, turned into integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64

from anomaly_hep.atomic import atomic_path
from anomaly_hep.errors import CheckpointError
from anomaly_hep.fpga import distillation, from_brevitas
from anomaly_hep.fpga.alternatives import Alternative, shape_of, the_chosen, train_to_budget
from anomaly_hep.fpga.chipscore import ChipScore, check_rejection, outputs_of, threshold
from anomaly_hep.fpga.design_settings import DesignSettings
from anomaly_hep.fpga.distillation import Examples, Lesson, Schedule
from anomaly_hep.fpga.fixedpoint import FixedPoint
from anomaly_hep.fpga.integers import IntegerEncoder
from anomaly_hep.fpga.masstable import MassTable, mass_port, mass_table
from anomaly_hep.fpga.source import Source, Timed
from anomaly_hep.fpga.targets import Targets
from anomaly_hep.fpga.trigger_inputs import Jets
from anomaly_hep.models.layers.trigger import TriggerEncoder

_BLOCK = 16_384  # events whose integers are in memory at once


@dataclass(frozen=True, eq=False)
class Design:
    """The chip's design: the encoder in float, quantised and as integers, score and threshold.

    The threshold is an integer score, set on validation background. Where there is a `table`, its
    thresholds, which depend on the mass, decide instead. `alternatives` are the designs that were
    trained on the way to a budget of logic, this one among them.
    """

    float_encoder: TriggerEncoder
    quantized: TriggerEncoder
    integers: IntegerEncoder
    score: ChipScore
    threshold: int
    table: MassTable | None = None
    alternatives: tuple[Alternative, ...] = ()

    def decide(
        self, scores: Int64[np.ndarray, " event"], masses: Int64[np.ndarray, " event"]
    ) -> dict[str, Int64[np.ndarray, " event"]]:
        """Return what the chip makes of integer scores and masses: quantile, if any, and decision.

        Without a table the masses are not looked at.
        """
        if self.table is None:
            return {"decision": (scores > self.threshold).astype(np.int64)}
        quantile = self.table.quantile(scores, masses)
        fires = quantile > self.table.deciding
        return {"quantile": quantile, "decision": fires.astype(np.int64)}

    def rank(
        self, scores: Int64[np.ndarray, " event"], masses: Int64[np.ndarray, " event"]
    ) -> Float[np.ndarray, " event"]:
        """Return what the trigger cuts on: the real score, or the decorrelated one in nats."""
        if self.table is None:
            return self.score.real(scores)
        return self.table.decorrelated(scores, masses)


def learn(
    source: Source,
    settings: DesignSettings,
    jets: Mapping[str, Jets],
    directory: Path,
    seed: int,
    timed: Timed,
) -> Design:
    """Return the design: train the float and the quantised encoder, or load those already kept.

    The float encoder is distilled from a score of the model, that of all constituents, on
    background. Of several random starts that one is kept which agrees best with it on
    background. The quantised encoder starts from its weights and has the same teacher. A model with
    a trigger encoder supplies the float encoder itself, and a quantised model both. With a budget
    of LUTs the bit widths are learned too.
    """
    check_rejection(settings.rejection, len(jets["validation"]))
    mass = _mass_port(source, settings, jets["training"])
    ports, context = source.ports(settings), source.context(settings)
    targets = Targets(0.0, 1.0)  # of a trigger encoder of its own, which learns from no score
    if source.trigger is None:
        targets = Targets.of(jets["training"].score, source.learned(settings))
    examples, validation = (_examples(jets[name], targets) for name in ("training", "validation"))
    lesson = Lesson(settings.score, examples, validation, settings.rejection)
    alternatives: list[Alternative] = []
    if settings.target_lut is None:
        shape = shape_of(settings, ports, context)
        teacher = _Teacher(settings, lesson, directory, seed, timed)
        float_encoder, quantized = _encoders(source.trigger, shape, teacher)
        integers = from_brevitas.integer_encoder(quantized, ports, context)
    else:
        with timed("train the designs to a budget"):
            alternatives = train_to_budget(settings, lesson, ports, context, directory, seed)
        best = the_chosen(alternatives)
        float_encoder, quantized, integers = best.float_encoder, best.quantized, best.integers
        for name, encoder in {"float": float_encoder, "quantized": quantized}.items():
            _keep(encoder, directory / f"{name}.ckpt")
    outputs = len(integers.head.weight)
    if settings.target_lut is None:
        outputs = outputs_of(settings.score, settings.latent_dim)
        integers = integers.with_outputs(outputs)
    score = ChipScore(settings.score, integers.head.output, outputs)
    background = chip_scores(integers, score, jets["validation"])
    chip_threshold = int(threshold(background, settings.rejection))
    table = None
    if mass is not None:
        training = jets["training"]
        scores = chip_scores(integers, score, training)
        table = mass_table(*mass, scores, training.mass, score.type, settings.rejection)
    return Design(
        float_encoder, quantized, integers, score, chip_threshold, table, tuple(alternatives)
    )


def _mass_port(
    source: Source, settings: DesignSettings, training: Jets
) -> tuple[str, FixedPoint] | None:
    """Return the column with the mass and the type of its port, if the chip takes the mass."""
    if settings.decorrelate is None or source.mass is None:
        return None
    port = mass_port(source.mass, settings.mass_bits, training.mass, settings.rejection)
    return source.mass, port


def chip_scores(
    integers: IntegerEncoder, score: ChipScore, jets: Jets
) -> Int64[np.ndarray, " event"]:
    """Return the integer scores of jets, computed a few thousand at a time."""
    parts = [slice(i, i + _BLOCK) for i in range(0, len(jets), _BLOCK)]
    return np.concatenate(
        [
            score(
                integers(
                    integers.quantize(jets.inputs[part])[0],
                    integers.quantize_context(jets.context[part])[0],
                )
            )
            for part in parts
        ]
    )


@dataclass(frozen=True, eq=False)
class _Teacher:
    """What the students learn; trains them and keeps the best on disk."""

    settings: DesignSettings
    lesson: Lesson
    directory: Path
    seed: int
    timed: Timed

    def teach(self, students: list[TriggerEncoder], name: str) -> TriggerEncoder:
        """Return the student that agrees best with its teacher, or one already kept.

        `name` is 'float' or 'quantized', as in the settings and in the file's name.
        """
        path = self.directory / f"{name}.ckpt"
        if path.exists():
            return _load(students[0], path)
        trained = []
        settings = self.settings
        with self.timed(f"train {name} encoder"):
            for number, student in enumerate(students):
                schedule = Schedule(
                    getattr(settings, f"{name}_steps"),
                    getattr(settings, f"{name}_learning_rate"),
                    settings.batch_size,
                    self.seed + number,
                    settings.tail,
                )
                trained.append(distillation.distil(student, self.lesson, schedule))
        best, _ = max(trained, key=lambda pair: pair[1])
        _keep(best, path)
        return best

    def replaced_by(self, encoder: TriggerEncoder) -> _Teacher:
        """Return a teacher whose targets are an encoder's scores."""
        examples, validation = (
            replace(old, targets=distillation.scores(encoder, self.settings.score, *old.seen()))
            for old in (self.lesson.examples, self.lesson.validation)
        )
        lesson = replace(self.lesson, examples=examples, validation=validation)
        return replace(self, lesson=lesson)


def _encoders(
    own: TriggerEncoder | None, shape: Mapping[str, Any], teacher: _Teacher
) -> tuple[TriggerEncoder, TriggerEncoder]:
    """Return the float and the quantised encoder; `own` is the model's trigger encoder, if any."""
    if own is None:
        seeds = range(teacher.seed, teacher.seed + teacher.settings.float_starts)
        students = [distillation.random_encoder(shape, seed) for seed in seeds]
        float_encoder = teacher.teach(students, "float")
    else:
        float_encoder = distillation.float_copy(own, shape)
        teacher = teacher.replaced_by(float_encoder)
    if own is not None and own.precision is not None:
        return float_encoder, own
    student = distillation.quantized_copy(float_encoder, shape, teacher.settings.precision)
    return float_encoder, teacher.teach([student], "quantized")


def _examples(jets: Jets, targets: Targets) -> Examples:
    parts = (jets.inputs, targets(jets.score), jets.context)
    return Examples(*map(torch.from_numpy, parts))


def _keep(encoder: TriggerEncoder, path: Path) -> None:
    with atomic_path(path) as temporary:
        torch.save(encoder.state_dict(), temporary)


def _load(encoder: TriggerEncoder, path: Path) -> TriggerEncoder:
    try:
        encoder.load_state_dict(torch.load(path, weights_only=True))
    except Exception as error:  # damaged bytes can raise any exception
        raise CheckpointError(
            f"{path} is damaged ({type(error).__name__}: {str(error).splitlines()[0]}). "
            "Cure: remove it, and the same command trains it again"
        ) from error
    return encoder.eval()
