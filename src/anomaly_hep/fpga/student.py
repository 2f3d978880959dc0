"""Small encoders for a trigger: learned from a trained model's score, first float, then quantised.

Only background events are seen, and of the model only its score: no label enters.
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
from anomaly_hep.models.layers.trigger import TriggerEncoder

# How often a training looks at the validation events.
_LOOKS = 100


@dataclass(frozen=True, eq=False)
class Examples:
    """Background: the inputs of its hardest constituents, and the score to learn."""

    inputs: Float[Tensor, "event constituent input"]
    target: Float[Tensor, " event"]


@dataclass(frozen=True)
class Schedule:
    """How long an encoder is trained: steps, peak of the one-cycle rate, batch size, seed."""

    steps: int
    learning_rate: float
    batch_size: int
    seed: int


def distance(
    score: Float[Tensor, " event"], target: Float[Tensor, " event"], scale: float | Tensor
) -> Float[Tensor, ""]:
    """Return the mean squared difference of log(score + scale).

    Logarithms, because a rejection asks for the order of events in the tail; `scale`, the median
    of the target, keeps the many small scores from ruling it.
    """
    return (((score + scale) / (target + scale)).log().square()).mean()


def train(
    encoder: TriggerEncoder, kind: str, examples: Examples, validation: Examples, how: Schedule
) -> tuple[TriggerEncoder, float]:
    """Train an encoder to the target and return it as it was at its best, with its loss then.

    The best is that of the lowest validation loss, on background.
    """
    optimizer = torch.optim.AdamW(encoder.parameters(), how.learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, how.learning_rate, total_steps=how.steps
    )
    scale = examples.target.median()
    best, lowest = copy.deepcopy(encoder.state_dict()), float("inf")
    every = max(how.steps // _LOOKS, 1)
    for step, rows in zip(
        range(1, how.steps + 1), _batches(len(examples.target), how), strict=False
    ):
        encoder.train()
        score = float_score(kind, encoder(examples.inputs[rows]))
        loss = distance(score, examples.target[rows], scale)
        _refuse_non_finite(loss.item(), "training", step)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        # Brevitas sets its scales from the first batches: early values are not final
        if step % every == 0 and step > how.steps // 2:
            values = scores(encoder, kind, validation.inputs)
            found = distance(values, validation.target, scale).item()
            _refuse_non_finite(found, "validation", step)
            if found < lowest:
                lowest, best = found, copy.deepcopy(encoder.state_dict())
    encoder.load_state_dict(best)
    return encoder.eval(), lowest


def _refuse_non_finite(loss: float, where: str, step: int) -> None:
    if not math.isfinite(loss):
        raise NonFiniteError(
            f"the {where} loss of the trigger's encoder is {loss} at step {step}. "
            "Cure: a lower learning rate in fpga, unless the model's own scores are not finite"
        )


def _batches(count: int, how: Schedule) -> Iterator[Int64[Tensor, " row"]]:
    """Yield rows of batches without end, every event once before one comes again."""
    shuffle = torch.Generator().manual_seed(how.seed)
    while True:
        order = torch.randperm(count, generator=shuffle)
        yield from order[: max(count // how.batch_size, 1) * how.batch_size].split(how.batch_size)


@torch.no_grad()
def outputs(
    encoder: TriggerEncoder, inputs: Float[Tensor, "event constituent input"]
) -> Float[Tensor, "event output"]:
    """Return the outputs of a trained encoder."""
    encoder.eval()
    return torch.cat([encoder(part).detach() for part in inputs.split(4096)])


def scores(
    encoder: TriggerEncoder, kind: str, inputs: Float[Tensor, "event constituent input"]
) -> Float[Tensor, " event"]:
    """Return the float score of a trained encoder's outputs."""
    return float_score(kind, outputs(encoder, inputs))


def quantized(
    encoder: TriggerEncoder, settings: Mapping[str, Any], precision: Mapping[str, int]
) -> TriggerEncoder:
    """Return a quantised encoder that starts from the weights of a float one."""
    result = TriggerEncoder(**settings, precision=precision)
    state = {n: t for n, t in encoder.state_dict().items() if n.endswith(("weight", "bias"))}
    missing, unexpected = result.load_state_dict(state, strict=False)
    assert not unexpected
    assert not [name for name in missing if name.endswith(("weight", "bias"))]
    return result


def floating(encoder: TriggerEncoder, settings: Mapping[str, Any]) -> TriggerEncoder:
    """Return a float encoder with the weights of another one, and as many outputs as are wanted.

    Of more outputs the first are kept: the means stand before the log-variances.
    """
    result = TriggerEncoder(**settings, precision=None)
    count = settings["outputs"]
    state = {n: t for n, t in encoder.state_dict().items() if n.endswith(("weight", "bias"))}
    state |= {n: t[:count] for n, t in state.items() if n.startswith("head.")}
    result.load_state_dict(state)
    return result.eval()
