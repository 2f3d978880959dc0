"""A command's configuration as its settings, every key checked by what takes its value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, TypeVar

from anomaly_hep.fpga.design_settings import DesignSettings
from anomaly_hep.settings import (
    COMMANDS,
    DataSettings,
    ModelSettings,
    NoDashboard,
    Section,
    TrainerSettings,
    WandbSettings,
)
from anomaly_hep.signatures import built, checked

T = TypeVar("T")


def settings_of(command: str, config: Mapping[str, Any]) -> Any:
    """Return a command's configuration as its settings; raises ConfigError for what is wrong."""
    taker = COMMANDS[command]
    values = checked([taker], config, "", without=("config",))
    # JSON, which is checked, has no numbers as keys: mappings stay as they were given
    values |= {name: value for name, value in config.items() if isinstance(value, Mapping)}
    values |= {name: make(config[name]) for name, make in _SECTIONS.items() if name in config}
    if "config" in signature(taker).parameters:
        values["config"] = config
    return taker(**values)


def trainer_settings(values: Section) -> TrainerSettings:
    """Return `trainer` as its settings; raises ConfigError."""
    import lightning

    # these are the product's own; a phase ends early by its own patience
    own = ("logger", "callbacks", "default_root_dir", "enable_checkpointing", "plugins",
           "enable_model_summary", "num_sanity_val_steps", "use_distributed_sampler",
           "min_epochs", "min_steps", "fast_dev_run", "lightning")  # fmt: skip
    found = checked([TrainerSettings, lightning.Trainer], values, "trainer", without=own)
    return _with_rest(TrainerSettings, found, "lightning")


def data_settings(values: Section) -> DataSettings:
    """Return `data` as its settings; raises ConfigError."""
    from anomaly_hep.data.features import Scaling
    from anomaly_hep.data.module import EventDataModule
    from anomaly_hep.data.reading import reading_class
    from anomaly_hep.simulate.simulator import simulator_of

    reading = reading_class(str(values.get("reading")))
    takers: list[Callable[..., Any]] = [DataSettings, EventDataModule, reading]
    # `inputs` are what the reading takes
    given = ("directory", "test_directory", "seed", "inputs", "module")
    checked(takers, values, "data", without=given)
    for name, how in values.get("features", {}).items():
        checked([Scaling], how or {}, f"data.features.{name}")
    if simulation := values.get("simulation"):
        checked([simulator_of(simulation).Settings], simulation, "data.simulation")
    return _with_rest(DataSettings, values, "module")


def model_settings(values: Section) -> ModelSettings:
    """Return `model` as its settings; raises ConfigError."""
    import torch

    from anomaly_hep.models.loading import model_class
    from anomaly_hep.models.optimization import class_of_torch
    from anomaly_hep.models.phase import Phase

    target = str(values.get("_target_"))
    checked([model_class(target)], _arguments(values), "model")
    for name, choices in values["phases"].items():
        key = f"model.phases.{name}"
        checked([Phase], choices, key, without=("name",))
        how, key = choices["optimizer"], f"{key}.optimizer"
        taker = class_of_torch(how.get("_target_"), torch.optim.Optimizer, key)
        checked([taker], _arguments(how), key, without=("params",))
    return ModelSettings(values["name"], target, _arguments(values))


def _check_fitted(values: Section) -> Section:
    from anomaly_hep.models.loading import class_of

    for name, choices in values.items():
        taker = class_of(str(choices.get("_target_")))
        checked([taker], _arguments(choices), f"fitted_scores.{name}")
    return values


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
    "fpga": _firmware,
}


def _with_rest(taker: Callable[..., T], values: Section, rest: str) -> T:
    """Return settings of the keys that they know; what else there is becomes their field `rest`."""
    known = signature(taker).parameters
    own = {key: value for key, value in values.items() if key in known}
    return taker(**own, **{rest: {k: v for k, v in values.items() if k not in known}})


def _arguments(values: Section) -> dict[str, Any]:
    """Return what a class takes, without what names it."""
    return {key: value for key, value in values.items() if key not in ("name", "_target_")}
