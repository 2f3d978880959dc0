"""Training with learned widths to a budget of logic: every design on the way is a candidate.

The number of effective bit operations (EBOPs) is in the loss. A controller moves its factor so that
they follow a path, down to where the compiler's own estimate of the LUTs, which is asked again and
again, meets the budget. Of all designs on the way those are kept that no other beats in both LUTs
and agreement with the teacher.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from anomaly_hep.fpga.distillation import Lesson, Schedule, refuse_non_finite
from anomaly_hep.models.layers.learned_trigger import LearnedTriggerEncoder

# how often the compiler is asked, and designs are offered
_CHECKS = 60
# shares of the steps: where the budget is reached, and from where the widths stay
_REACHED, _SETTLED = 0.5, 0.85
# the share of the budget that is aimed at
_AIM = 0.95
# the widths' learning rate in units of the weights'
_WIDTHS_RATE = 5.0
# the factor of the EBOPs, in units of those at the start, in the loss: where it starts, its bounds
_FACTOR, _LEAST, _MOST = 3e-3, 1e-4, 1e2
# by how much its logarithm moves in a step, per relative distance from the path, of which no more
# than the farthest counts, and per change of the distance, which keeps it from swinging
_GAIN, _FARTHEST, _DAMPING = 0.02, 0.5, 5.0

# the compiler's estimate of an encoder's LUTs, None for one that cannot be built
Estimate = Callable[[LearnedTriggerEncoder], int | None]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A design on the way: its cost, how it agrees with the teacher, and its weights and widths.

    The EBOPs are None where widths are not learned.
    """

    step: int
    ebops: float | None
    lut: int
    agreement: float
    state: dict[str, Any]


@dataclass
class Controller:
    """The factor of the EBOPs in the loss, moved so that they follow a goal."""

    log_factor: float = math.log(_FACTOR)
    last: float | None = None

    @property
    def factor(self) -> float:
        """The factor."""
        return math.exp(self.log_factor)

    def see(self, ebops: float, goal: float) -> None:
        """Move the factor up where there are more EBOPs than the goal, and down where fewer."""
        distance = math.log(max(ebops, 1.0) / goal)
        change = 0.0 if self.last is None else distance - self.last
        self.last = distance
        self.log_factor += _GAIN * max(min(distance, _FARTHEST), -_FARTHEST) + _DAMPING * change
        self.log_factor = max(min(self.log_factor, math.log(_MOST)), math.log(_LEAST))


@dataclass
class _Path:
    """The EBOPs that are aimed at: from those at the start down to those of the budget."""

    start: float
    end: float
    steps: int

    def goal(self, step: int) -> float:
        """Return the EBOPs aimed at in a step; their logarithm falls evenly."""
        share = min(step / (_REACHED * self.steps), 1.0)
        return math.exp((1 - share) * math.log(self.start) + share * math.log(self.end))


@dataclass
class ParetoFront:
    """The candidates that no other beats in both LUTs and agreement, by growing LUTs."""

    candidates: list[Candidate] = field(default_factory=list)

    def add(self, candidate: Candidate) -> None:
        """Keep an candidate unless it is beaten, and drop those that it beats."""
        if any(_beats(other, candidate) for other in self.candidates):
            return
        kept = [other for other in self.candidates if not _beats(candidate, other)]
        self.candidates = sorted([*kept, candidate], key=lambda o: o.lut)


def _beats(one: Candidate, other: Candidate) -> bool:
    return one.lut <= other.lut and one.agreement >= other.agreement


def learn_widths(
    student: LearnedTriggerEncoder,
    lesson: Lesson,
    schedule: Schedule,
    target_lut: int,
    estimate: Estimate,
) -> list[Candidate]:
    """Train a student's weights and widths to a budget; return the candidates that none beats.

    Those of the last part, where the budget is met, are among them where they are best at their
    LUTs.
    """
    optimizer, weights = _optimizer(student, schedule)
    start = student.cost().item()
    path = _Path(start, start * _AIM * target_lut / (estimate(student) or start), schedule.steps)
    controller, front = Controller(), ParetoFront()
    every = max(schedule.steps // _CHECKS, 1)
    steps = zip(range(1, schedule.steps + 1), lesson.batches(schedule), strict=False)
    for step, rows in steps:
        student.train()
        ebops = student.cost()
        loss = lesson.loss(student, rows) + controller.factor * ebops / start
        refuse_non_finite(loss.item(), "training", step)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        _set_rates(optimizer, schedule, step)
        optimizer.step()
        controller.see(ebops.item(), path.goal(step))
        if step % every == 0 or step == schedule.steps:
            lut = estimate(student.eval())
            if lut is not None:
                front.add(_candidate(student, lesson, step, lut))
                # LUTs per EBOP differ from design to design: the end of the path follows them
                path.end = max(student.cost().item(), 1.0) * _AIM * target_lut / max(lut, 1)
    return front.candidates


def chosen(candidates: Sequence[Candidate], target_lut: int) -> Candidate | None:
    """Return the candidate that agrees best among those within the budget, if any."""
    within = [o for o in candidates if o.lut <= target_lut]
    return max(within, key=lambda o: o.agreement, default=None)


def _candidate(student: LearnedTriggerEncoder, lesson: Lesson, step: int, lut: int) -> Candidate:
    agreement = lesson.agreement(student)
    return Candidate(
        step, student.cost().item(), lut, agreement, copy.deepcopy(student.state_dict())
    )


def _optimizer(
    student: LearnedTriggerEncoder, schedule: Schedule
) -> tuple[torch.optim.Optimizer, list[nn.Parameter]]:
    """Return the optimiser, and the parameters that are weights; widths do not decay."""
    widths = student.width_parameters()
    known = {id(width) for width in widths}
    weights = [p for p in student.parameters() if id(p) not in known]
    groups = [{"params": weights, "weight_decay": 1e-3}, {"params": widths, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, schedule.learning_rate), weights


def _set_rates(optimizer: torch.optim.Optimizer, schedule: Schedule, step: int) -> None:
    """Let the learning rates fall from where the budget is reached; widths stay at the end."""
    share = step / schedule.steps
    left = max((1 - share) / (1 - _REACHED), 0.0)
    rate = schedule.learning_rate * (1.0 if left > 1 else 0.5 * (1 - math.cos(math.pi * left)))
    weights, widths = optimizer.param_groups
    weights["lr"] = max(rate, 0.01 * schedule.learning_rate)
    widths["lr"] = _WIDTHS_RATE * rate if share < _SETTLED else 0.0
