"""What each command takes: the keys of conf/COMMAND.yaml, with their types and bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from anomaly_hep.bounds import Count, Natural, NonNegative, Positive, Seed
from anomaly_hep.signatures import built, checked


def _text(value: Any) -> Any:
    """Return a number as it is written: a path may be one."""
    return str(value) if type(value) in (int, float) else value


Name = Annotated[str, BeforeValidator(_text)]  # of a file or a directory
Section = Mapping[str, Any]
Precision = Literal["32-true", "bf16-mixed"]
Compile = Literal["auto", "on", "off"] | bool  # yaml reads on and off as true and false


@dataclass(frozen=True)
class RunSettings:
    """`train.py`: conf/train.yaml."""

    seed: Seed
    run_dir: Name | None
    score_batch_size: Count
    fitted_scores: Mapping[str, Section]
    threads: Count | None
    start_from: Name | None
    trainer: Section
    data: Section
    model: Section
    logger: Section


@dataclass(frozen=True)
class TrainerSettings:
    """`trainer`: conf/trainer. What else `lightning.Trainer` takes may stand beside these."""

    max_epochs: Count | None
    precision: Precision
    gradient_clip_val: Positive | None
    log_every_n_steps: Count
    check_val_every_n_epoch: Count
    accelerator: str
    compile: Compile
    devices: Count | Sequence[Natural] | str
    enable_progress_bar: bool
    checkpoint_every_seconds: NonNegative
    milestones: Sequence[Count] | None


@dataclass(frozen=True)
class DataSettings:
    """`data`: conf/data. What `EventDataModule` and its reading take stands beside these."""

    name: str
    title: str
    paper: str | None
    dir: Name
    test_dir: Name | None
    if_missing: Literal["simulate", "error"]
    simulation: Section | None = None
    download: Section | None = None


@dataclass(frozen=True)
class NoDashboard:
    """`logger=none`."""

    kind: Literal["none"]


@dataclass(frozen=True)
class WandbSettings:
    """`logger=wandb`: Weights & Biases."""

    kind: Literal["wandb"]
    mode: Literal["online", "offline", "disabled"]
    project: str
    entity: str | None
    tags: Sequence[str]


@dataclass(frozen=True)
class SimulateSettings:
    """`simulate`: conf/simulate.yaml."""

    data: Section
    workers: Count | None
    part: Natural
    parts: Count
    compare: Name | None


@dataclass(frozen=True)
class FetchSettings:
    """`fetch`: conf/fetch.yaml."""

    data: Section
    to: Name
    archives: Sequence[str] | None
    base_url: str | None


@dataclass(frozen=True)
class ScoreSettings:
    """`score`: conf/score.yaml."""

    checkpoint: Name
    input: Name | Sequence[Name]
    output: Name
    batch_size: Count
    precision: Precision
    accelerator: str


@dataclass(frozen=True)
class EvaluateSettings:
    """`evaluate`: conf/evaluate.yaml."""

    run_dir: Name


@dataclass(frozen=True)
class CurveSettings:
    """`curve`: conf/curve.yaml."""

    run_dir: Name
    test_dir: Name | None


@dataclass(frozen=True)
class FirmwareSettings:
    """`fpga`: conf/fpga.yaml."""

    fpga: Section
    checkpoint: Name | None
    data_dir: Name | None
    run_dir: Name | None
    seed: Seed
    threads: Count


@dataclass(frozen=True)
class BenchmarkSettings:
    """`benchmark`: conf/benchmark.yaml."""

    data: Section
    trainer: Section
    output: Name
    batch_size: Count | None
    seconds: Positive
    repeats: Count
    threads: Count | None
    busy: bool
    stream_gigabytes: NonNegative
    measured: Section | None = None


COMMANDS: Mapping[str, type[Any]] = {
    "train": RunSettings,
    "simulate": SimulateSettings,
    "fetch": FetchSettings,
    "score": ScoreSettings,
    "evaluate": EvaluateSettings,
    "curve": CurveSettings,
    "fpga": FirmwareSettings,
    "benchmark": BenchmarkSettings,
}


def settings_of(command: str, config: Mapping[str, Any]) -> Any:
    """Return a command's configuration as its settings; raises ConfigError for what is wrong.

    Sections are checked too, and stay mappings.
    """
    # JSON, which is checked, has no numbers as keys: sections stay as they were given
    given = {name: value for name, value in config.items() if isinstance(value, Mapping)}
    settings = replace(built(COMMANDS[command], config, ""), **given)
    for name, check in _SECTIONS.items():
        if name in config:
            check(config[name])
    return settings


def _check_trainer(values: Section) -> None:
    import lightning

    # these are the product's own; a phase ends early by its own patience
    own = ("logger", "callbacks", "default_root_dir", "enable_checkpointing", "plugins",
           "enable_model_summary", "num_sanity_val_steps", "use_distributed_sampler",
           "min_epochs", "min_steps", "fast_dev_run")  # fmt: skip
    checked([TrainerSettings, lightning.Trainer], values, "trainer", without=own)


def _check_data(values: Section) -> None:
    from anomaly_hep.data.features import Scaling
    from anomaly_hep.data.module import EventDataModule
    from anomaly_hep.data.reading import reading_class
    from anomaly_hep.simulate.simulator import simulator_of

    reading = reading_class(str(values.get("reading")))
    takers: list[Callable[..., Any]] = [DataSettings, EventDataModule, reading]
    # `inputs` are what the reading takes
    given = ("directory", "test_directory", "seed", "inputs")
    checked(takers, values, "data", without=given)
    for name, how in values.get("features", {}).items():
        checked([Scaling], how or {}, f"data.features.{name}")
    if simulation := values.get("simulation"):
        checked([simulator_of(simulation).Settings], simulation, "data.simulation")


def _check_model(values: Section) -> None:
    import torch

    from anomaly_hep.models.loading import model_class
    from anomaly_hep.models.optimization import class_of_torch
    from anomaly_hep.models.phase import Phase

    checked([model_class(str(values.get("_target_")))], _arguments(values), "model")
    for name, choices in values["phases"].items():
        key = f"model.phases.{name}"
        checked([Phase], choices, key, without=("name",))
        how, key = choices["optimizer"], f"{key}.optimizer"
        taker = class_of_torch(how.get("_target_"), torch.optim.Optimizer, key)
        checked([taker], _arguments(how), key, without=("params",))


def _check_fitted(values: Section) -> None:
    from anomaly_hep.models.loading import class_of

    for name, choices in values.items():
        taker = class_of(str(choices.get("_target_")))
        checked([taker], _arguments(choices), f"fitted_scores.{name}")


def _check_logger(values: Section) -> None:
    kinds = {"none": NoDashboard, "wandb": WandbSettings}
    checked([kinds.get(values.get("kind", ""), WandbSettings)], values, "logger")


def _check_firmware(values: Section) -> None:
    from anomaly_hep.fpga.design_settings import DesignSettings

    checked([DesignSettings], values, "fpga")


_SECTIONS: Mapping[str, Callable[[Section], None]] = {
    "trainer": _check_trainer,
    "data": _check_data,
    "model": _check_model,
    "logger": _check_logger,
    "fitted_scores": _check_fitted,
    "fpga": _check_firmware,
}


def _arguments(values: Section) -> dict[str, Any]:
    """Return what a class takes, without what names it."""
    return {key: value for key, value in values.items() if key not in ("name", "_target_")}
