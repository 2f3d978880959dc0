"""Several starts of a training, each in a process of its own and kept in a file of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import torch

from anomaly_hep.atomic import atomic_path
from anomaly_hep.errors import CheckpointError, ExportError
from anomaly_hep.fpga import budget, distillation, from_brevitas, from_learned, rtl
from anomaly_hep.fpga.budget import Candidate
from anomaly_hep.fpga.chipscore import ChipScore
from anomaly_hep.fpga.design_settings import DesignSettings
from anomaly_hep.fpga.distillation import Lesson, Schedule
from anomaly_hep.fpga.integers import IntegerEncoder, Port
from anomaly_hep.lifeline import end_with_parent
from anomaly_hep.models.layers.learned_trigger import LearnedTriggerEncoder
from anomaly_hep.models.layers.trigger import TriggerEncoder

# events whose largest values set the widths that a training starts with
_FIRST = 4096
_DELAY = 5.0  # between registers; the estimate of LUTs does not depend on it


@dataclass(frozen=True, eq=False)
class Start:
    """A start of a training: a student in floating point first, then one with integers.

    `shape` is the student's, as `TriggerEncoder` takes it; the file `path` keeps what start
    `number` has learned.
    """

    settings: DesignSettings
    shape: Mapping[str, Any]
    ports: tuple[Port, ...]
    context: tuple[Port, ...]
    lesson: Lesson
    number: int
    seed: int
    path: Path

    def schedule(self, steps: int, learning_rate: float) -> Schedule:
        """Return a schedule of this start."""
        settings = self.settings
        return Schedule(steps, learning_rate, settings.batch_size, self.seed, settings.tail)

    def in_float(self) -> TriggerEncoder:
        """Return the student trained in floating point."""
        settings = self.settings
        schedule = self.schedule(settings.float_steps, settings.float_learning_rate)
        student = distillation.random_encoder(self.shape, self.seed)
        return distillation.distil(student, self.lesson, schedule)[0]

    def learned(self, float_encoder: TriggerEncoder) -> LearnedTriggerEncoder:
        """Return the student with learned widths that starts from one in floating point."""
        inputs, context = self.lesson.examples.seen(slice(_FIRST))
        return LearnedTriggerEncoder(
            float_encoder,
            inputs,
            context=context,
            input_bits=self.settings.input_bits,
            by_slot=self.settings.order_aware,
        )


@dataclass(frozen=True, eq=False)
class Trained:
    """What a start has learned: the float encoder's weights, and the designs with integers."""

    float_state: dict[str, Any]
    candidates: list[Candidate]

    def save(self, path: Path) -> None:
        """Write the file."""
        content = {
            "float": self.float_state,
            "candidates": [vars(candidate) for candidate in self.candidates],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            torch.save(content, temporary)

    @staticmethod
    def load(path: Path) -> Trained:
        """Read the file; raises CheckpointError where it is damaged."""
        try:
            content = torch.load(path, weights_only=True)
            return Trained(
                content["float"], [Candidate(**candidate) for candidate in content["candidates"]]
            )
        except Exception as error:  # damaged bytes can raise any exception
            raise CheckpointError(
                f"{path} is damaged ({type(error).__name__}: {str(error).splitlines()[0]}). "
                "Cure: remove it, and the same command trains it again"
            ) from error


def fixed_widths(start: Start) -> None:
    """Train a design whose widths are those of the settings; no candidate if it cannot be built."""
    float_encoder = start.in_float()
    settings = start.settings
    student = distillation.quantized_copy(float_encoder, start.shape, settings.precision)
    schedule = start.schedule(settings.quantized_steps, settings.quantized_learning_rate)
    best, agreement = distillation.distil(student, start.lesson, schedule)
    candidates = []
    try:
        cost = _lut(from_brevitas.integer_encoder(best, start.ports, start.context), start)
    except ExportError:  # a layer has died
        pass
    else:
        candidates = [Candidate(settings.quantized_steps, None, cost, agreement, best.state_dict())]
    Trained(float_encoder.state_dict(), candidates).save(start.path)


def learned_widths(start: Start) -> None:
    """Train designs whose widths are learned, down to the budget of LUTs.

    Raises ExportError where no design on the way can be built.
    """
    float_encoder, settings = start.in_float(), start.settings
    assert settings.target_lut is not None
    schedule = start.schedule(settings.learned.steps, settings.learned.learning_rate)
    refused: list[str] = []

    def estimate(student: LearnedTriggerEncoder) -> int | None:
        try:
            return _lut(from_learned.integer_encoder(student, start.ports, start.context), start)
        except ExportError as error:
            refused.append(str(error))
            return None

    candidates = budget.learn_widths(
        start.learned(float_encoder), start.lesson, schedule, settings.target_lut, estimate
    )
    if not candidates:
        raise ExportError(f"no design on the way can be built: {refused[-1]}")
    Trained(float_encoder.state_dict(), candidates).save(start.path)


def _lut(encoder: IntegerEncoder, start: Start) -> int:
    """Return the compiler's estimate of the LUTs of encoder and score."""
    outputs = start.shape["outputs"]
    score = ChipScore(start.settings.score, encoder.head.output, outputs)
    count = rtl.estimate(encoder, score, _DELAY, start.settings.cycles).lut
    assert count is not None
    return count


def train(starts: Sequence[tuple[Callable[[Start], None], Start]]) -> None:
    """Train the starts whose files are not there yet, as many at a time as there are cores.

    Each computes with one thread, so that a start's result does not depend on the others. Raises
    ExportError where a process is killed.
    """
    missing = [(work, start) for work, start in starts if not start.path.exists()]
    if not missing:
        return
    workers, others = min(len(missing), len(os.sched_getaffinity(0))), set(active_children())
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(os.getpid(),)
    )
    try:
        for done in [pool.submit(work, start) for work, start in missing]:
            done.result()
    except BrokenProcessPool as error:
        raise ExportError(
            "the process of a start was killed, perhaps for its memory. Cure: the same command "
            "goes on with the starts that are missing; with fewer fpga.training_events if need be"
        ) from error
    except BaseException:
        # one that is training would take minutes to end, and keeps nothing before
        for worker in set(active_children()) - others:
            worker.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(parent: int) -> None:
    end_with_parent(parent)
    torch.set_num_threads(1)
