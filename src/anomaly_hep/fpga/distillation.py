"""Distillation of a trained model's score into small encoders for a trigger, its students.

A student sees only background events and its teacher's scores of them: no label enters.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from anomaly_hep.errors import NonFiniteError
from anomaly_hep.fpga.chipscore import float_score
from anomaly_hep.fpga.design_settings import ScoreName
from anomaly_hep.models.layers.trigger import TriggerEncoder

# The interval of validations is the number of steps divided by this.
_VALIDATIONS = 100
_BATCH = 4096  # events that a trained encoder computes at once


@dataclass(frozen=True, eq=False)
class Examples:
    """Background events: the inputs of the student, and the teacher's scores as its targets.

    `context` are quantities of the whole event, if the student sees any.
    """

    inputs: Float[Tensor, "event constituent input"]
    targets: Float[Tensor, " event"]
    context: Float[Tensor, "event quantity"] | None = None

    def seen(
        self, rows: Int64[Tensor, " row"] | slice = slice(None)
    ) -> tuple[Float[Tensor, "row constituent input"], Float[Tensor, "row quantity"] | None]:
        """Return what the student sees of some events."""
        return self.inputs[rows], None if self.context is None else self.context[rows]


@dataclass(frozen=True)
class Schedule:
    """A student's training: steps, peak of the one-cycle learning rate, batch size, seed."""

    steps: int
    learning_rate: float
    batch_size: int
    seed: int


def distillation_loss(
    score: Float[Tensor, " event"], targets: Float[Tensor, " event"], scale: float | Tensor
) -> Float[Tensor, ""]:
    """Return the mean squared difference of log(score + scale) between student and teacher.

    Logarithms, because a rejection depends on the order of events in the tail alone; `scale`, the
    median of the targets, keeps the many small scores from dominating.
    """
    return (((score + scale) / (targets + scale)).log().square()).mean()


def distil(
    student: TriggerEncoder,
    score: ScoreName,
    examples: Examples,
    validation: Examples,
    schedule: Schedule,
) -> tuple[TriggerEncoder, float]:
    """Train a student; return it at its lowest validation loss, and this loss."""
    optimizer = torch.optim.AdamW(student.parameters(), schedule.learning_rate, weight_decay=1e-3)
    one_cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, schedule.learning_rate, total_steps=schedule.steps
    )
    scale = examples.targets.median()
    best, lowest = copy.deepcopy(student.state_dict()), float("inf")
    every = max(schedule.steps // _VALIDATIONS, 1)
    for step, rows in zip(
        range(1, schedule.steps + 1), _batches(len(examples.targets), schedule), strict=False
    ):
        student.train()
        values = float_score(score, student(*examples.seen(rows)))
        loss = distillation_loss(values, examples.targets[rows], scale)
        _refuse_non_finite(loss.item(), "training", step)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        one_cycle.step()
        # Brevitas sets its scales from the first batches, so early losses are not final
        if step % every == 0 and step > schedule.steps // 2:
            values = scores(student, score, *validation.seen())
            validation_loss = distillation_loss(values, validation.targets, scale).item()
            _refuse_non_finite(validation_loss, "validation", step)
            if validation_loss < lowest:
                lowest, best = validation_loss, copy.deepcopy(student.state_dict())
    student.load_state_dict(best)
    return student.eval(), lowest


def _refuse_non_finite(loss: float, where: str, step: int) -> None:
    if not math.isfinite(loss):
        raise NonFiniteError(
            f"the {where} loss of the trigger's encoder is {loss} at step {step}. "
            "Cure: a lower learning rate in fpga, unless the model's own scores are not finite"
        )


def _batches(count: int, schedule: Schedule) -> Iterator[Int64[Tensor, " _"]]:
    """Yield batches of rows without end; each pass shuffles the events and repeats none."""
    rng, size = torch.Generator().manual_seed(schedule.seed), schedule.batch_size
    while True:
        order = torch.randperm(count, generator=rng)
        yield from order[: max(count // size, 1) * size].split(size)


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
