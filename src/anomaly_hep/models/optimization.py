"""The optimiser and the learning-rate schedule of a phase, by their names in torch.optim."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any, TypeVar

import torch
from torch import nn
from torch.optim import lr_scheduler

from anomaly_hep.bounds import NonNegative, Positive
from anomaly_hep.errors import ConfigError, in_one_line
from anomaly_hep.models.phase import Phase

_MODULES = {"torch.optim": torch.optim, "torch.optim.lr_scheduler": lr_scheduler}
_INTERVALS = ("step", "epoch")
_NEVER = sys.maxsize
# arguments of ReduceLROnPlateau that torch does not bound
_NOT_NEGATIVE = {"factor", "patience", "min_lr", "threshold", "cooldown", "eps"}
_Class = TypeVar("_Class")


@dataclass(frozen=True)
class OptimizerBounds:
    """Arguments of optimisers that torch bounds less than makes sense."""

    lr: Positive = 1e-3
    weight_decay: NonNegative = 0.0


def configured(phase: Phase, model: nn.Module, steps: int) -> dict[str, Any]:
    """Return the optimiser and the schedule of a phase of `steps` steps, in Lightning's form.

    Besides the arguments of its class, a schedule may have `interval` (step or epoch), and
    ReduceLROnPlateau `monitor`: the validation term that it follows, by default that of the
    checkpoint. OneCycleLR gets its number of steps from the phase and its peak from the optimiser.
    """
    optimizer = _optimizer(phase, model)
    if phase.scheduler is None:
        return {"optimizer": optimizer}
    key = f"model.phases.{phase.name}.scheduler"
    settings = dict(phase.scheduler)
    interval = settings.pop("interval", "step")
    monitor = settings.pop("monitor", phase.checkpoint[0])
    if interval not in _INTERVALS:
        raise ConfigError(f"{key}.interval={interval} does not exist. Cure: step or epoch")
    times = steps if interval == "step" else phase.epochs
    scheduler = _scheduler(settings, optimizer, times, phase.checkpoint[1], key)
    config: dict[str, Any] = {"scheduler": scheduler, "interval": interval}
    if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
        # our validation callback steps it: Lightning would do so at every epoch, validated or not,
        # and not again if a run is resumed in between
        config |= {"interval": "epoch", "frequency": _NEVER, "monitor": f"val/{monitor}"}
    return {"optimizer": optimizer, "lr_scheduler": config}


def check_steps(settings: Mapping[str, Any], phase: Phase) -> None:
    """Raise ConfigError for a schedule that fails once it is stepped."""
    schedule = settings.get("lr_scheduler", {}).get("scheduler")
    if schedule is None or isinstance(schedule, lr_scheduler.ReduceLROnPlateau):
        return
    try:
        with warnings.catch_warnings():
            # here no optimiser steps before its schedule
            warnings.filterwarnings("ignore", ".*lr_scheduler.step.*before.*optimizer.step.*")
            schedule.step()
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise ConfigError(
            f"model.phases.{phase.name}.scheduler: {in_one_line(error)} in its first step. Cure: "
            f"give arguments that {type(schedule).__qualname__} can step with"
        ) from error


def _optimizer(phase: Phase, model: nn.Module) -> torch.optim.Optimizer:
    key = f"model.phases.{phase.name}"
    settings = dict(phase.optimizer)
    optimizer = class_of_torch(
        settings.pop("_target_", None), torch.optim.Optimizer, f"{key}.optimizer"
    )
    named = {n: p for n, p in model.named_parameters() if phase.learns(n) and p.requires_grad}
    for prefix in (*phase.trains, *phase.learning_rates):
        if not any(name.startswith(prefix) for name in named):
            beginnings = dict.fromkeys(name.split(".")[0] for name, _ in model.named_parameters())
            raise ConfigError(
                f"{key}: no parameter that learns begins with '{prefix}'. Cure: parameters of "
                f"{type(model).__name__} begin with {', '.join(beginnings)}"
            )
    groups: dict[str, list[nn.Parameter]] = {"": [], **{p: [] for p in phase.learning_rates}}
    for name, parameter in named.items():
        longest = max((p for p in groups if name.startswith(p)), key=len)
        groups[longest].append(parameter)
    rates = {prefix: {"lr": rate} for prefix, rate in phase.learning_rates.items()}
    trained = [{"params": g, **rates.get(prefix, {})} for prefix, g in groups.items() if g]
    if all(p.is_cuda for p in named.values()) and "fused" in signature(optimizer).parameters:
        # one pass over all weights, without a value for which the host would wait
        settings = {"fused": not settings.get("foreach")} | settings
    return _make(optimizer, settings | {"params": trained}, f"{key}.optimizer")


def _scheduler(
    settings: Mapping[str, Any], optimizer: torch.optim.Optimizer, times: int, mode: str, key: str
) -> lr_scheduler.LRScheduler:
    """Return a schedule; the parts of a composite one, such as SequentialLR, are created first."""
    arguments = dict(settings)
    schedule = class_of_torch(arguments.pop("_target_", None), lr_scheduler.LRScheduler, key)
    if issubclass(schedule, lr_scheduler.OneCycleLR):
        if given := sorted({"total_steps", "epochs", "steps_per_epoch"} & set(arguments)):
            raise ConfigError(
                f"{key}.{given[0]} is not taken: the phase gives the number of steps. Cure: leave "
                "it out, and set the phase's epochs"
            )
        peaks = [group["lr"] for group in optimizer.param_groups]
        arguments = {"max_lr": peaks, "total_steps": times} | arguments
    elif issubclass(schedule, lr_scheduler.ReduceLROnPlateau):
        arguments = {"mode": mode} | arguments
        for name in _NOT_NEGATIVE & arguments.keys():
            if not isinstance(arguments[name], list) and arguments[name] < 0:
                raise ConfigError(f"{key}.{name}={arguments[name]} is negative. Cure: 0 or more")
    for name, value in arguments.items():
        if isinstance(value, list) and all(isinstance(part, Mapping) for part in value):
            arguments[name] = [_scheduler(part, optimizer, times, mode, key) for part in value]
    return _make(schedule, arguments | {"optimizer": optimizer}, key)


def class_of_torch(path: Any, base: type[_Class], key: str) -> type[_Class]:
    """Return the class at a dotted path below torch.optim; nothing else is ever imported."""
    module, _, name = str(path).rpartition(".")
    found = getattr(_MODULES.get(module), name, None)
    if isinstance(found, type) and issubclass(found, base) and found is not base:
        return found
    raise ConfigError(
        f"{key}._target_={path} is no {base.__name__} of torch. Cure: name a class of "
        f"{' or '.join(_MODULES)}, such as torch.optim.AdamW or torch.optim.lr_scheduler.OneCycleLR"
    )


def _make(chosen: type[_Class], settings: Mapping[str, Any], key: str) -> _Class:
    try:
        return chosen(**settings)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise ConfigError(
            f"{key}: {error}. Cure: give arguments of {chosen.__module__}.{chosen.__qualname__}"
        ) from error
