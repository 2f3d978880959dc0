"""The settings of each command: the keys of conf/COMMAND.yaml, with their types and bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, PlainValidator

from anomaly_hep.bounds import Count, Natural, NonNegative, Positive, Seed, Share
from anomaly_hep.fpga.design_settings import DesignSettings
from anomaly_hep.models.fits.companions import Method
from anomaly_hep.search.choices import Choices


def _text(value: Any) -> Any:
    """Return a number as text: a path may be a number, but not empty."""
    if value == "":
        raise ValueError("a text that is not empty")
    return str(value) if type(value) in (int, float) else value


def _mapping(value: Any) -> Any:
    """Return the value if it is a mapping."""
    if not isinstance(value, dict):
        raise ValueError("a mapping")
    return value


class Composed(dict[str, Any]):
    """A composed configuration, in plain values.

    `shown` is what may be saved and shown of it: a text that an environment variable gave stands
    there as it was written, `${oc.env:NAME}`.
    """

    def __init__(self, values: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.shown = dict(shown)


def shown(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be saved and shown of a configuration."""
    return config.shown if isinstance(config, Composed) else dict(config)


Name = Annotated[str, BeforeValidator(_text)]  # of a file or a directory
T = TypeVar("T")
Section = Mapping[str, Any]
# a section whose keys are checked where it is used
Checked = Annotated[T, PlainValidator(_mapping)]
Precision = Literal["32-true", "bf16-mixed"]
Compile = Literal["auto", "on", "off"] | bool  # yaml reads on and off as true and false


@dataclass(frozen=True)
class TrainerSettings:
    """`trainer`: conf/trainer; `lightning` holds the other keys, for Lightning's Trainer."""

    max_epochs: Count | None
    precision: Precision
    gradient_clip_val: Positive | None
    log_every_n_steps: Count
    check_val_every_n_epoch: Count
    accelerator: Name
    compile: Compile
    devices: Count | Sequence[Natural] | Name
    enable_progress_bar: bool
    checkpoint_every_seconds: NonNegative
    milestones: Sequence[Count] | None
    lightning: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DataSettings:
    """`data`: conf/data; `module` holds the other keys, for `EventDataModule`."""

    name: str
    title: str
    paper: str | None
    dir: Name
    test_dir: Name | None
    if_missing: Literal["simulate", "error"]
    channel: str | int | None = None  # of a data set in parts; `all` stands for `channels`
    channels: Sequence[str | int] = ()
    mass: str | None = None  # the column with each event's invariant mass, in GeV
    mass_title: str | None = None  # what figures and tables call it
    simulation: Section | None = None
    download: Section | None = None
    module: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelSettings:
    """`model`: conf/model. The dotted path of a model's class, and its arguments."""

    name: str
    target: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class DecorrelationSettings:
    """`score`: which companions the scores of a run get."""

    decorrelate: Literal["mass"] | None
    method: Method


@dataclass(frozen=True)
class NoDashboard:
    """`logger=none`."""

    kind: Literal["none"]


@dataclass(frozen=True)
class WandbSettings:
    """`logger=wandb`: Weights & Biases."""

    kind: Literal["wandb"]
    mode: Literal["online", "offline", "disabled"] | None
    required: bool
    project: str
    entity: str | None
    tags: Sequence[str]


@dataclass(frozen=True)
class RunSettings:
    """`train.py`: conf/train.yaml; `config` is the whole composed configuration."""

    seed: Seed
    run_dir: Name | None
    score_batch_size: Count
    fitted_scores: Mapping[str, Section]
    score: Checked[DecorrelationSettings]
    threads: Count | None
    start_from: Name | None
    trainer: Checked[TrainerSettings]
    data: Checked[DataSettings]
    model: Checked[ModelSettings]
    logger: Checked[NoDashboard | WandbSettings]
    config: Section = field(default_factory=dict)


@dataclass(frozen=True)
class SimulateSettings:
    """`simulate`: conf/simulate.yaml."""

    data: Checked[DataSettings]
    workers: Count | None
    part: Natural
    parts: Count
    compare: Name | None


@dataclass(frozen=True)
class FetchSettings:
    """`fetch`: conf/fetch.yaml."""

    data: Checked[DataSettings]
    to: Name
    archives: Sequence[str] | None
    base_url: str | None


@dataclass(frozen=True)
class ClusterSettings:
    """`cluster`: conf/cluster.yaml."""

    files: Name | Sequence[Name]
    clustering: str
    workers: Count | None


@dataclass(frozen=True)
class ScoreSettings:
    """`score`: conf/score.yaml."""

    checkpoint: Name
    input: Name | Sequence[Name]
    output: Name
    overwrite: bool
    carry: Sequence[str] | None
    on_bad_file: Literal["refuse", "skip"]
    on_bad_event: Literal["refuse", "skip"]
    max_bad_fraction: Share
    batch_size: Count
    precision: Precision
    accelerator: str
    threshold: Name | None


@dataclass(frozen=True)
class EvaluateSettings:
    """`evaluate`: conf/evaluate.yaml."""

    run_dir: Name


@dataclass(frozen=True)
class DashboardSettings:
    """`dashboard`: conf/dashboard.yaml."""

    run_dir: Name
    entity: str
    project: str


@dataclass(frozen=True)
class CurveSettings:
    """`curve`: conf/curve.yaml."""

    run_dir: Name
    test_dir: Name | None


@dataclass(frozen=True)
class SearchSettings(Choices):
    """`search`: conf/search.yaml."""

    run: Name
    name: str | None


@dataclass(frozen=True)
class RateSettings:
    """`rate`: conf/rate.yaml."""

    run: Name
    rate_hz: Positive
    input_rate_hz: Positive
    score: str | Sequence[str] | None


@dataclass(frozen=True)
class FirmwareSettings:
    """`fpga`: conf/fpga.yaml; `config` is the whole composed configuration."""

    fpga: Checked[DesignSettings]
    checkpoint: Name | None
    data_dir: Name | None
    run_dir: Name | None
    seed: Seed
    threads: Count
    config: Section = field(default_factory=dict)


@dataclass(frozen=True)
class BenchmarkSettings:
    """`benchmark`: conf/benchmark.yaml."""

    data: Checked[DataSettings]
    trainer: Checked[TrainerSettings]
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
    "cluster": ClusterSettings,
    "score": ScoreSettings,
    "evaluate": EvaluateSettings,
    "curve": CurveSettings,
    "dashboard": DashboardSettings,
    "search": SearchSettings,
    "rate": RateSettings,
    "fpga": FirmwareSettings,
    "benchmark": BenchmarkSettings,
}
