"""Phases of a training: what learns in each, from which labels, for how long, and what is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
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

    def __post_init__(self) -> None:
        for key, right, wanted in (
            ("epochs", _whole(self.epochs), "a whole number of at least 1"),
            ("optimizer", isinstance(self.optimizer, Mapping), "a _target_ below torch.optim"),
            ("scheduler", isinstance(self.scheduler, Mapping | None),
             "a _target_ below torch.optim.lr_scheduler, or null"),
            ("trains", bool(self.trains) and _texts(self.trains),
             "a list of prefixes of parameters, [''] for all"),
            ("learning_rates", isinstance(self.learning_rates, Mapping)
             and all(map(_positive, self.learning_rates.values())), "{prefix: learning rate}"),
            ("labels", _texts(self.labels), "a list of classes, or ['*'] for all"),
            ("checkpoint", _texts(self.checkpoint) and len(self.checkpoint) == 2
             and self.checkpoint[1] in ("min", "max"),
             "a term of the loss and min or max, such as [loss, min]"),
            ("patience", self.patience is None or _whole(self.patience),
             "a number of validations of at least 1, or null"),
            ("clip_each_tensor", self.clip_each_tensor is None or _positive(self.clip_each_tensor),
             "a number above 0, or null"),
        ):  # fmt: skip
            if not right:
                raise ConfigError(
                    f"model.phases.{self.name}.{key}={getattr(self, key)} does not do. Cure: give "
                    f"{wanted}"
                )

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


def phases_of(settings: Mapping[str, Mapping[str, Any]]) -> tuple[Phase, ...]:
    """Return the phases of a configuration, {name: keys of `Phase`}, in their order."""
    known = {f.name: f for f in fields(Phase) if f.name != "name"}
    needed = {n for n, f in known.items() if f.default is f.default_factory is MISSING}
    if not settings:
        raise ConfigError("model.phases is empty. Cure: give one, such as conf/model/setvae.yaml's")
    phases = []
    for name, choices in settings.items():
        if wrong := sorted(set(choices) - set(known)) or sorted(needed - set(choices)):
            raise ConfigError(
                f"model.phases.{name}.{wrong[0]} "
                f"{'is missing' if wrong[0] in needed else 'does not exist'}. Cure: the keys of a "
                f"phase are {', '.join(known)}; {', '.join(sorted(needed))} must be there"
            )
        listed: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in choices.items()
        }
        phases.append(Phase(str(name), **listed))
    return tuple(phases)


def scaled(phases: Sequence[Phase], epochs: int | None) -> tuple[Phase, ...]:
    """Return the phases with so many epochs in all, in their proportion; None leaves them.

    Each has one at least. Fractions are rounded so that the sum is exact.
    """
    if epochs is None:
        return tuple(phases)
    if not _whole(epochs) or epochs < len(phases):
        raise ConfigError(
            f"trainer.max_epochs={epochs} is less than an epoch for each phase "
            f"({', '.join(phase.name for phase in phases)}). Cure: give a whole number of at least "
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
