"""Phases of a training: trained parameters, labels, duration, and choice of the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from annotated_types import MinLen

from anomaly_hep.bounds import Count, Positive, Share
from anomaly_hep.errors import ConfigError


@dataclass(frozen=True)
class Phase:
    """One phase of a training, which has a Trainer of its own.

    optimizer, scheduler: {_target_: a class below torch.optim, its arguments}; see
    `anomaly_hep.models.optimization`. trains: name prefixes of the trained parameters; the others
    are frozen, their modules in eval mode, but gradients pass through them. learning_rates:
    {prefix: rate} where it differs from the optimiser's. labels: the classes, besides the
    background, that the phase sees with their labels; ("*",) for all. background: first and last
    edge of the part of the background that the phase uses, as fractions of the events of training
    and of validation. batch_size: events per step, None for that of the data. checkpoint: the
    validation term that chooses the weights, and whether 'min' or 'max' is best. patience: number
    of validations without improvement after which the phase ends. clip_each_tensor: bound on the
    norm of each parameter's gradient (Keras' clipnorm).
    """

    name: str
    epochs: Count
    optimizer: Mapping[str, Any]
    scheduler: Mapping[str, Any] | None
    trains: Annotated[tuple[str, ...], MinLen(1)] = ("",)
    learning_rates: Mapping[str, Positive] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    background: tuple[Share, Share] = (0.0, 1.0)
    batch_size: Count | None = None
    checkpoint: tuple[str, Literal["min", "max"]] = ("loss", "min")
    patience: Count | None = None
    clip_each_tensor: Positive | None = None

    def __post_init__(self) -> None:
        first, last = self.background
        if not first < last:
            raise ConfigError(
                f"model.phases.{self.name}.background={list(self.background)} holds no event. "
                "Cure: two shares that rise, such as [0, 0.5]"
            )

    def learns(self, parameter: str) -> bool:
        """Whether the parameter of this name is trained."""
        return any(parameter.startswith(prefix) for prefix in self.trains)

    def is_active(self, module: str) -> bool:
        """Whether the module of this name contains trained parameters or lies within a prefix."""
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
    """Return the phases with their epochs scaled to a sum of `epochs`; None leaves them.

    Each keeps at least one epoch. Fractions are rounded so that the sum is exact.
    """
    if epochs is None:
        return tuple(phases)
    if epochs < len(phases):
        raise ConfigError(
            f"trainer.max_epochs={epochs} is less than an epoch for each phase "
            f"({', '.join(phase.name for phase in phases)}). Cure: give at least "
            f"{len(phases)}, or null for the model's own"
        )
    total, assigned = sum(phase.epochs for phase in phases), 0
    result, planned = [], 0
    for left, phase in zip(reversed(range(len(phases))), phases, strict=True):
        planned += phase.epochs
        share = round(epochs * planned / total) - assigned
        share = min(max(share, 1), epochs - assigned - left)
        result.append(replace(phase, epochs=share))
        assigned += share
    return tuple(result)
