"""Turn a command's configuration into settings, each key checked against its consumer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import signature
from typing import Any, Literal, TypeVar

from anomaly_hep.bounds import Count, Positive
from anomaly_hep.errors import ConfigError
from anomaly_hep.fpga.design_settings import DesignSettings
from anomaly_hep.names import ALLOWED, is_name
from anomaly_hep.settings import (
    COMMANDS,
    DataSettings,
    DecorrelationSettings,
    ModelSettings,
    NoDashboard,
    Section,
    TrainerSettings,
    WandbSettings,
)
from anomaly_hep.signatures import built, checked, unknown

T = TypeVar("T")


def settings_of(command: str, config: Mapping[str, Any]) -> Any:
    """Return a command's configuration as settings; raises ConfigError for a bad key or value."""
    target = COMMANDS[command]
    values = checked([target], config, "", without=("config",))
    # the check goes through JSON, whose keys are texts: keep mappings as they were given
    values |= {name: value for name, value in config.items() if isinstance(value, Mapping)}
    # a section of one command may be a single value of another, as `score` is
    values |= {
        name: make(config[name])
        for name, make in _SECTIONS.items()
        if isinstance(config.get(name), Mapping)
    }
    if "config" in signature(target).parameters:
        values["config"] = config
    return target(**values)


def trainer_settings(values: Section) -> TrainerSettings:
    """Return the settings of the section `trainer`; raises ConfigError."""
    import lightning

    # set by this package; early stopping is a phase's patience
    reserved = ("logger", "callbacks", "default_root_dir", "enable_checkpointing", "plugins",
           "enable_model_summary", "num_sanity_val_steps", "use_distributed_sampler",
           "min_epochs", "min_steps", "fast_dev_run", "lightning", "barebones")  # fmt: skip
    accepted = checked([TrainerSettings, lightning.Trainer], values, "trainer", without=reserved)
    checked([_LightningBounds], {k: v for k, v in values.items() if k in _BOUNDED}, "trainer")
    return _with_rest(TrainerSettings, accepted, "lightning")


@dataclass(frozen=True)
class _LightningBounds:
    """Bounds of keys of Lightning's Trainer with which there is a step and a validation."""

    accumulate_grad_batches: Count = 1
    limit_train_batches: Positive | None = None
    limit_val_batches: Positive | None = None
    max_steps: Count | Literal[-1] = -1


_BOUNDED = signature(_LightningBounds).parameters


def data_settings(values: Section) -> DataSettings:
    """Return the settings of the section `data`; raises ConfigError."""
    from anomaly_hep.data.module import EventDataModule
    from anomaly_hep.data.reading import reading_class
    from anomaly_hep.data.samples import SPLITS, SampleKeys
    from anomaly_hep.data.selection import Cut
    from anomaly_hep.simulate.simulator import simulator_of

    reading = reading_class(str(values.get("reading")))
    targets: list[Callable[..., Any]] = [DataSettings, EventDataModule, reading]
    # `inputs` are the keys of the reading itself
    reserved = ("directory", "test_directory", "seed", "inputs", "module")
    checked(targets, values, "data", without=reserved)
    for name, scaling in values.get("features", {}).items():
        _check_feature(name, scaling or {})
    for name, cut in values.get("selection", {}).items():
        checked([Cut], cut, f"data.selection.{name}")
    _check_names("data.name", [values.get("name")])
    _check_names("data.groups", values.get("groups") or ())
    if "$" in str(values.get("title")) or not str(values.get("title")).isprintable():
        raise ConfigError(
            f"data.title={values['title']!r} cannot be drawn. Cure: leave out $ and line breaks"
        )
    for split, classes in values.get("samples", {}).items():
        if split not in SPLITS:
            raise ConfigError(unknown(f"data.samples.{split}", "data.samples", SPLITS))
        _check_names(f"data.samples.{split}", classes)
        _check_begun(f"data.samples.{split}", classes, "files")
        for label, keys in classes.items():
            checked([SampleKeys], keys, f"data.samples.{split}.{label}")
    if simulation := values.get("simulation"):
        checked([simulator_of(simulation).Settings], simulation, "data.simulation")
    return _with_rest(DataSettings, values, "module")


def _check_feature(name: str, scaling: Any) -> None:
    from anomaly_hep.data.features import DEFINITIONS, Scaling

    key = f"data.features.{name}"
    if name not in DEFINITIONS and not (isinstance(scaling, Mapping) and "column" in scaling):
        raise ConfigError(
            f"{unknown(key, 'data.features', DEFINITIONS)}. Cure: choose one of these, or name a "
            f"column of the particles: {key}.column=COLUMN"
        )
    checked([Scaling], scaling, key)


def model_settings(values: Section) -> ModelSettings:
    """Return the settings of the section `model`; raises ConfigError."""
    import torch

    from anomaly_hep.models.loading import model_class
    from anomaly_hep.models.optimization import OptimizerBounds, class_of_torch
    from anomaly_hep.models.phase import Phase

    target = str(values.get("_target_"))
    arguments, model = _arguments(values), model_class(target)
    built(_named, {"name": values["name"]} if "name" in values else {}, "model")
    checked([model], arguments, "model")
    _check_names("model.name", [values["name"]])
    _check_names("model.phases", values["phases"])
    for name, taker in model.sections(arguments).items():
        checked([taker], arguments[name], f"model.{name}")
    _check_begun("model.phases", values["phases"], "epochs")
    for name, choices in values["phases"].items():
        key = f"model.phases.{name}"
        checked([Phase], choices, key, without=("name",))
        optimizer, key = choices["optimizer"], f"{key}.optimizer"
        optimizer_class = class_of_torch(optimizer.get("_target_"), torch.optim.Optimizer, key)
        checked([OptimizerBounds, optimizer_class], _arguments(optimizer), key, without=("params",))
    return ModelSettings(values["name"], target, arguments)


def _check_names(key: str, names: Iterable[Any]) -> None:
    """Refuse names that cannot be part of a file's name, before anything is made of them."""
    if wrong := [name for name in names if not is_name(name)]:
        raise ConfigError(f"{key}: {wrong[0]!r} cannot be a name. Cure: {ALLOWED}")


def _check_begun(section: str, named: Mapping[str, Any], needed: str) -> None:
    """Refuse a name of the user's own that lacks what it needs and is close to one that has it."""
    whole = [name for name, keys in named.items() if isinstance(keys, Mapping) and needed in keys]
    for name in named:
        if name not in whole and (close := get_close_matches(name, whole, n=1)):
            raise ConfigError(
                f"{section}.{name}.{needed} is missing. Did you mean {section}.{close[0]}? Cure: "
                f"else {section}.{name}.{needed}=VALUE"
            )


def _named(name: str) -> str:
    """Return the name of a model, which stands beside what its class takes."""
    return name


def _check_fitted(values: Section) -> Section:
    from anomaly_hep.models.loading import class_of

    _check_names("fitted_scores", values)
    _check_begun("fitted_scores", values, "_target_")
    for name, choices in values.items():
        if "_target_" not in choices:
            raise ConfigError(
                f"fitted_scores.{name}._target_ is missing. Cure: fitted_scores.{name}._target_="
                "anomaly_hep.models.fitted.NearestNeighbours, or another class from there"
            )
        score_class = class_of(str(choices.get("_target_")))
        checked([score_class], _arguments(choices), f"fitted_scores.{name}")
    return values


def _score(values: Section) -> DecorrelationSettings:
    return built(DecorrelationSettings, values, "score")


def _logger(values: Section) -> NoDashboard | WandbSettings:
    if values.get("kind") == "none":
        return built(NoDashboard, values, "logger")
    return built(WandbSettings, values, "logger")


def _firmware(values: Section) -> DesignSettings:
    return built(DesignSettings, values, "fpga")


_SECTIONS: Mapping[str, Callable[[Section], Any]] = {
    "trainer": trainer_settings,
    "data": data_settings,
    "model": model_settings,
    "logger": _logger,
    "fitted_scores": _check_fitted,
    "score": _score,
    "fpga": _firmware,
}


def _with_rest(target: Callable[..., T], values: Section, rest: str) -> T:
    """Return settings from the keys that they declare; all others go into their field `rest`."""
    known = signature(target).parameters
    declared = {key: value for key, value in values.items() if key in known}
    return target(**declared, **{rest: {k: v for k, v in values.items() if k not in known}})


def _arguments(values: Section) -> dict[str, Any]:
    """Return a class's arguments: a section without the keys that name the class."""
    return {key: value for key, value in values.items() if key not in ("name", "_target_")}
