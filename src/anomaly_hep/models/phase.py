"""Phases of a training: what learns in each, from which labels, for how long, and what is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

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
    epochs: int
    optimizer: Mapping[str, Any]
    scheduler: Mapping[str, Any] | None
    trains: tuple[str, ...] = ("",)
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    checkpoint: tuple[str, str] = ("loss", "min")
    patience: int | None = None
    clip_each_tensor: float | None = None

    def learns(self, parameter: str) -> bool:
        """Whether the parameter of this name learns."""
        return any(parameter.startswith(prefix) for prefix in self.trains)

    def is_active(self, module: str) -> bool:
        """Whether the module of this name holds what learns, or lies within it."""
        below = f"{module}." if module else ""
        return any(below.startswith(p) or p.startswith(below) for p in self.trains)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _texts(value: Any) -> bool:
    return isinstance(value, Sequence) and all(isinstance(text, str) for text in value)


# by key: whether a value of the configuration will do, and what is expected
_EXPECTED: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "epochs": (_whole, "a whole number of at least 1"),
    "optimizer": (lambda v: isinstance(v, Mapping), "a _target_ below torch.optim"),
    "scheduler": (
        lambda v: isinstance(v, Mapping | None),
        "a _target_ below torch.optim.lr_scheduler, or null",
    ),
    "trains": (lambda v: bool(v) and _texts(v), "a list of prefixes of parameters, [''] for all"),
    "learning_rates": (
        lambda v: isinstance(v, Mapping) and all(map(_positive, v.values())),
        "{prefix: learning rate}",
    ),
    "labels": (_texts, "a list of classes, ['*'] for all"),
    "checkpoint": (
        lambda v: _texts(v) and len(v) == 2 and v[1] in ("min", "max"),
        "a term of the loss and min or max, such as [loss, min]",
    ),
    "patience": (
        lambda v: v is None or _whole(v), "a number of validations of at least 1, or null"
    ),
    "clip_each_tensor": (lambda v: v is None or _positive(v), "a number above 0, or null"),
}  # fmt: skip
_NEEDED = ("epochs", "optimizer", "scheduler")


def phases_of(settings: Mapping[str, Mapping[str, Any]]) -> tuple[Phase, ...]:
    """Return the phases of a configuration, {name: keys of `Phase`}, in their order."""
    if not settings:
        raise ConfigError("model.phases is empty. Cure: give one, such as conf/model/setvae.yaml's")
    return tuple(_phase(str(name), choices) for name, choices in settings.items())


def _phase(name: str, choices: Mapping[str, Any]) -> Phase:
    key = f"model.phases.{name}"
    for wrong in (*(k for k in choices if k not in _EXPECTED), *(set(_NEEDED) - set(choices))):
        raise ConfigError(
            f"{key}.{wrong} {'is missing' if wrong in _NEEDED else 'does not exist'}. Cure: the "
            f"keys of a phase are {', '.join(_EXPECTED)}; {', '.join(_NEEDED)} must be there"
        )
    for chosen, value in choices.items():
        right, expected = _EXPECTED[chosen]
        if not right(value):
            raise ConfigError(f"{key}.{chosen}={value} does not do. Cure: give {expected}")
    listed: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in choices.items()}
    return Phase(name, **listed)


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
