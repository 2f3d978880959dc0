"""Phases of a training: what learns in each, from which labels, for how long, and what is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from annotated_types import MinLen

from anomaly_hep.bounds import Count, Positive
from anomaly_hep.errors import ConfigError


@dataclass(frozen=True)
class Phase:
    """One phase of a training, which has a Trainer of its own.

    optimizer, scheduler: {_target_: a class below torch.optim, its arguments}; see
    `anomaly_hep.models.optimization`. trains: prefixes of the names of the parameters that learn;
    the others are frozen, their modules in eval mode, though gradients pass through them.
    learning_rates: {prefix: rate} where it is another than the optimiser's. labels: the classes
    whose events the phase sees with their labels beside the background, ("*",) for all.
    checkpoint: the validation term that chooses the weights, and whether 'min' or 'max' is best.
    patience: validations without a better one after which the phase ends. clip_each_tensor: bound
    on the norm of each parameter's gradient by itself, what Keras calls clipnorm.
    """

    name: str
    epochs: Count
    optimizer: Mapping[str, Any]
    scheduler: Mapping[str, Any] | None
    trains: Annotated[tuple[str, ...], MinLen(1)] = ("",)
    learning_rates: Mapping[str, Positive] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    checkpoint: tuple[str, Literal["min", "max"]] = ("loss", "min")
    patience: Count | None = None
    clip_each_tensor: Positive | None = None

    def learns(self, parameter: str) -> bool:
        """Whether the parameter of this name learns."""
        return any(parameter.startswith(prefix) for prefix in self.trains)

    def is_active(self, module: str) -> bool:
        """Whether the module of this name holds what learns, or lies within it."""
        below = f"{module}." if module else ""
        return any(below.startswith(p) or p.startswith(below) for p in self.trains)


def phases_of(settings: Mapping[str, Mapping[str, Any]]) -> tuple[Phase, ...]:
    """Return the phases of a configuration, {name: keys of `Phase`}, in their order."""
    if not settings:
        raise ConfigError("model.phases is empty. Cure: give one at least, as conf/model does")
    phases = []
    for name, choices in settings.items():
        listed: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in choices.items()
        }
        try:
            phases.append(Phase(name, **listed))
        except TypeError as error:
            raise ConfigError(
                f"model.phases.{name}: {error}. Cure: give the keys of conf/phase/default.yaml"
            ) from error
    return tuple(phases)


def scaled(phases: Sequence[Phase], epochs: int | None) -> tuple[Phase, ...]:
    """Return the phases with so many epochs in all, in their proportion; None leaves them.

    Each has one at least. Fractions are rounded so that the sum is exact.
    """
    if epochs is None:
        return tuple(phases)
    if epochs < len(phases):
        raise ConfigError(
            f"trainer.max_epochs={epochs} is less than an epoch for each phase "
            f"({', '.join(phase.name for phase in phases)}). Cure: give at least "
            f"{len(phases)}, or null for the model's own"
        )
    total, given = sum(phase.epochs for phase in phases), 0
    made, planned = [], 0
    for left, phase in zip(reversed(range(len(phases))), phases, strict=True):
        planned += phase.epochs
        share = round(epochs * planned / total) - given
        share = min(max(share, 1), epochs - given - left)
        made.append(replace(phase, epochs=share))
        given += share
    return tuple(made)
