"""Distillation of a trained model's score into small encoders for a trigger, its students.

A student sees only background events and its teacher's scores of them: no label enters.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from anomaly_hep.errors import NonFiniteError
from anomaly_hep.fpga.chipscore import float_score
from anomaly_hep.fpga.design_settings import ScoreName
from anomaly_hep.models.layers.trigger import TriggerEncoder

# The interval of validations is the number of steps divided by this.
VALIDATIONS = 100
_BATCH = 4096  # events that a trained encoder computes at once
# background events that the tail holds per event that passes at the working point
_TAIL = 5
# shares of background at which student and teacher are compared, up to this many times the
# working point's
_WIDEST, _SHARES = 10.0, 5


@dataclass(frozen=True, eq=False)
class Examples:
    """Background events: the inputs of the student, and the teacher's scores as its targets.

    `context` are quantities of the whole event, if the student sees any.
    """

    inputs: Float[Tensor, "event constituent input"]
    targets: Float[Tensor, " event"]
    context: Float[Tensor, "event quantity"] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # as arrays: torch would hand tensors to another process in shared memory, of which
        # containers have little
        parts = (self.inputs, self.targets, self.context)
        return _examples, tuple(None if part is None else part.numpy() for part in parts)

    def seen(
        self, rows: Int64[Tensor, " row"] | slice = slice(None)
    ) -> tuple[Float[Tensor, "row constituent input"], Float[Tensor, "row quantity"] | None]:
        """Return what the student sees of some events."""
        return self.inputs[rows], None if self.context is None else self.context[rows]


def _examples(inputs: np.ndarray, targets: np.ndarray, context: np.ndarray | None) -> Examples:
    of_event = None if context is None else torch.from_numpy(context)
    return Examples(torch.from_numpy(inputs), torch.from_numpy(targets), of_event)


@dataclass(frozen=True)
class Schedule:
    """A student's training: steps, peak of the one-cycle learning rate, batch size, seed.

    `tail` is the share of each batch that is drawn from the tail of the teacher's scores.
    """

    steps: int
    learning_rate: float
    batch_size: int
    seed: int
    tail: float = 0.0


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a student learns: a score of background events, above all those near the working point.

    `rejection` is that of the working point: background events per one that passes.
    """

    score: ScoreName
    examples: Examples
    validation: Examples
    rejection: float

    @cached_property
    def scale(self) -> Tensor:
        """The median of the targets, in the logarithms of the loss."""
        return self.examples.targets.median()

    def batches(self, schedule: Schedule) -> Iterator[Int64[Tensor, " _"]]:
        """Yield batches of rows without end.

        Each pass shuffles the events and repeats none; the part from the tail is drawn at random.
        """
        targets = self.examples.targets
        rng = torch.Generator().manual_seed(schedule.seed)
        from_tail = min(round(schedule.tail * schedule.batch_size), schedule.batch_size - 1)
        highest = max(round(_TAIL * len(targets) / self.rejection), 1)
        tail = targets.argsort()[-highest:]
        size = schedule.batch_size - from_tail
        while True:
            order = torch.randperm(len(targets), generator=rng)
            for rows in order[: max(len(targets) // size, 1) * size].split(size):
                drawn = torch.randint(len(tail), (from_tail,), generator=rng)
                yield torch.cat([rows, tail[drawn]])

    def loss(self, student: TriggerEncoder, rows: Int64[Tensor, " row"]) -> Float[Tensor, ""]:
        """Return the loss of some training events."""
        values = float_score(self.score, student(*self.examples.seen(rows)))
        return distillation_loss(values, self.examples.targets[rows], self.scale)

    def validated(self, student: TriggerEncoder) -> float:
        """Return the loss of the validation events."""
        values = scores(student, self.score, *self.validation.seen())
        return distillation_loss(values, self.validation.targets, self.scale).item()

    def agreement(self, student: TriggerEncoder) -> float:
        """Return how far student and teacher keep the same background at the working point.

        Of validation and of training, for few events pass there. See `agreement`.
        """
        parts = (self.validation, self.examples)
        values = torch.cat([scores(student, self.score, *part.seen()) for part in parts])
        targets = torch.cat([part.targets for part in parts])
        return agreement(values.numpy(), targets.numpy(), self.rejection)


def agreement(
    student: Float[np.ndarray, " event"], teacher: Float[np.ndarray, " event"], rejection: float
) -> float:
    """Return the share of the events that pass a cut on one score which pass it on the other too.

    Both cuts keep equally many events. It is the mean over cuts that keep 1 in `rejection` and up
    to 10 times as many, because few events are left at the working point itself. A student that
    gives all events one score agrees with nobody: 0.
    """
    if student.min() == student.max():
        return 0.0
    kept = np.geomspace(1, _WIDEST, _SHARES) * len(teacher) / rejection
    numbers = np.unique(np.clip(kept.round().astype(int), 1, len(teacher)))
    orders = [np.argsort(values, kind="stable")[::-1] for values in (student, teacher)]
    first, second = orders
    return float(np.mean([np.isin(first[:n], second[:n]).mean() for n in numbers]))


def distillation_loss(
    score: Float[Tensor, " event"], targets: Float[Tensor, " event"], scale: float | Tensor
) -> Float[Tensor, ""]:
    """Return the mean squared difference of log(score + scale) between student and teacher.

    Logarithms, because a rejection depends on the order of events in the tail alone; `scale`, the
    median of the targets, keeps the many small scores from dominating.
    """
    return (((score + scale) / (targets + scale)).log().square()).mean()


def distil(
    student: TriggerEncoder, lesson: Lesson, schedule: Schedule
) -> tuple[TriggerEncoder, float]:
    """Train a student; return it at its lowest validation loss, and its agreement there."""
    optimizer = torch.optim.AdamW(student.parameters(), schedule.learning_rate, weight_decay=1e-3)
    one_cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, schedule.learning_rate, total_steps=schedule.steps
    )
    best, lowest = copy.deepcopy(student.state_dict()), float("inf")
    every = max(schedule.steps // VALIDATIONS, 1)
    steps = zip(range(1, schedule.steps + 1), lesson.batches(schedule), strict=False)
    for step, rows in steps:
        student.train()
        loss = lesson.loss(student, rows)
        refuse_non_finite(loss.item(), "training", step)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        one_cycle.step()
        # Brevitas sets its scales from the first batches, so early losses are not final
        if step % every == 0 and step > schedule.steps // 2:
            validation_loss = lesson.validated(student)
            refuse_non_finite(validation_loss, "validation", step)
            if validation_loss < lowest:
                lowest, best = validation_loss, copy.deepcopy(student.state_dict())
    student.load_state_dict(best)
    return student.eval(), lesson.agreement(student)


def refuse_non_finite(loss: float, where: str, step: int) -> None:
    """Raise NonFiniteError for a loss that is no number."""
    if not math.isfinite(loss):
        raise NonFiniteError(
            f"the {where} loss of the trigger's encoder is {loss} at step {step}. "
            "Cure: a lower learning rate in fpga, unless the model's own scores are not finite"
        )


@torch.no_grad()
def outputs(
    encoder: TriggerEncoder,
    inputs: Float[Tensor, "event constituent input"],
    context: Float[Tensor, "event quantity"] | None = None,
) -> Float[Tensor, "event output"]:
    """Return the outputs of a trained encoder."""
    encoder.eval()
    parts = [slice(i, i + _BATCH) for i in range(0, len(inputs), _BATCH)]
    return torch.cat([
        encoder(inputs[part], None if context is None else context[part]).detach()
        for part in parts
    ])  # fmt: skip


def scores(
    encoder: TriggerEncoder,
    score: ScoreName,
    inputs: Float[Tensor, "event constituent input"],
    context: Float[Tensor, "event quantity"] | None = None,
) -> Float[Tensor, " event"]:
    """Return the float score of a trained encoder's outputs."""
    return float_score(score, outputs(encoder, inputs, context))


def random_encoder(shape: Mapping[str, Any], seed: int) -> TriggerEncoder:
    """Return the encoder in floating point that a seed makes; torch's own stream stays."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TriggerEncoder(**shape, precision=None)


def quantized_copy(
    encoder: TriggerEncoder, shape: Mapping[str, Any], precision: Mapping[str, int]
) -> TriggerEncoder:
    """Return a quantised encoder of the same shape that starts from the weights of a float one."""
    result = TriggerEncoder(**shape, precision=precision)
    missing, unexpected = result.load_state_dict(_weights(encoder), strict=False)
    assert not unexpected
    assert not [name for name in missing if name.endswith(("weight", "bias"))]
    return result


def float_copy(encoder: TriggerEncoder, shape: Mapping[str, Any]) -> TriggerEncoder:
    """Return a float encoder with another encoder's weights and the first outputs of its head.

    `shape` gives their number: the means come before the log-variances.
    """
    result = TriggerEncoder(**shape, precision=None)
    weights, count = _weights(encoder), shape["outputs"]
    result.load_state_dict(
        {n: t[:count] if n.startswith("head.") else t for n, t in weights.items()}
    )
    return result.eval()


def _weights(encoder: TriggerEncoder) -> dict[str, Tensor]:
    return {n: t for n, t in encoder.state_dict().items() if n.endswith(("weight", "bias"))}
