"""The runs below a directory: how each ended, and which differ by their seed alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomaly_hep.errors import AnomalyHepError, MissingDataError
from anomaly_hep.evaluate.results import Results
from anomaly_hep.evaluate.runfiles import RunFiles

# Choices that say where a run is written or shown.
_NOT_COMPARED = ("run_dir", "logger", "experiment", "threads")
# An ensemble is named by the choices that distinguish it, if these are few and short.
_FEW_CHOICES, _SHORT_NAME = 3, 60
CHANNEL = "data.channel"


@dataclass(frozen=True)
class Run:
    """A run directory and how it ended: 'finished', 'failed', 'unfinished' or 'unreadable'.

    `name` is the directory's path relative to where the search began.
    """

    files: RunFiles
    name: str
    status: str
    reason: str = ""

    @property
    def seed(self) -> Any:
        """Seed of the run."""
        return self.files.config.get("seed")


@dataclass(frozen=True)
class Ensemble:
    """Finished runs, one per seed, whose configurations are otherwise the same.

    `choices` are those that differ between ensembles of the same model.
    """

    runs: tuple[Run, ...]
    choices: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Model and choices, or the first run's directory if there are too many choices."""
        if self.is_named_by_choices:
            return self._model_and_choices
        return f"{self.results.model.full_title} in {self.runs[0].name}"

    @property
    def is_named_by_choices(self) -> bool:
        """Whether the name states all choices that distinguish the ensemble."""
        return len(self.choices) <= _FEW_CHOICES and len(self._model_and_choices) <= _SHORT_NAME

    @property
    def _model_and_choices(self) -> str:
        choices = (f"{key}={value}" for key, value in self.choices.items())
        return ", ".join([self.results.model.full_title, *choices])

    @property
    def results(self) -> Results:
        """Results of the first run; names, data and model are the same for all."""
        return self.runs[0].files.results

    @property
    def config(self) -> dict[str, Any]:
        """Configuration of the first run."""
        return self.runs[0].files.config


def find_runs(directory: Path) -> list[Run]:
    """Return every training below a directory (itself included), by path, however it ended.

    Runs of the command fpga are left out.
    """
    if not directory.is_dir():
        raise MissingDataError(f"{directory} is not a directory. Cure: give one that holds runs")
    configs = (directory / "config.yaml", *directory.rglob("*/config.yaml"))
    # hidden directories are Hydra's and editors', not runs
    visible = {
        path.parent
        for path in configs
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(directory).parts)
    }
    trainings = [path for path in sorted(visible) if not _is_firmware(path)]
    return [_inspect(path, directory) for path in trainings]


def _is_firmware(directory: Path) -> bool:
    try:
        text = (directory / "config.yaml").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False  # `_inspect` says why it cannot be read
    return "\nfpga:\n" in text


def ensembles_of(runs: Iterable[Run]) -> tuple[list[Ensemble], list[str]]:
    """Group finished runs that differ by seed alone; also return remarks on repeated runs."""
    by_choices: dict[str, dict[Any, Run]] = {}
    remarks = []
    for run in runs:
        if run.status != "finished":
            continue
        key = json.dumps(_compared(run.files.config), sort_keys=True, default=str)
        seeds = by_choices.setdefault(key, {})
        if run.seed in seeds:
            first = seeds[run.seed].files.directory
            remarks.append(f"{run.files.directory} is left out: it repeats {first}, seed included")
        else:
            seeds[run.seed] = run
    members = [tuple(seeds.values()) for seeds in by_choices.values()]
    choices = _choices([runs[0].files for runs in members])
    ensembles = [Ensemble(runs, chosen) for runs, chosen in zip(members, choices, strict=True)]
    return sorted(ensembles, key=lambda ensemble: ensemble.name), remarks


def _inspect(directory: Path, root: Path) -> Run:
    files = RunFiles(directory)
    name = directory.name if directory == root else str(directory.relative_to(root))
    if files.finished:
        try:
            _ = files.results
        except (AnomalyHepError, OSError) as error:
            return Run(files, name, "unreadable", str(error).split("\n", maxsplit=1)[0])
        return Run(files, name, "finished")
    trace = directory / "error.txt"
    if trace.is_file():
        lines = trace.read_text("utf-8", errors="replace").strip().splitlines()
        return Run(files, name, "failed", lines[-1] if lines else "error.txt is empty")
    return Run(files, name, "unfinished", "no done.json: still running, or killed")


def _compared(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the choices that an ensemble's runs share: all except paths and seeds."""
    flat = _flatten({k: v for k, v in config.items() if k not in _NOT_COMPARED})
    # the seed is repeated inside the sections that take it
    return {key: value for key, value in flat if key.rpartition(".")[2] != "seed"}


def _flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _choices(runs: list[RunFiles]) -> list[dict[str, Any]]:
    """Return for each run the choices that differ between runs of the same model."""
    models = [run.results.model.name for run in runs]
    configs = [_compared(run.config) for run in runs]
    differing = []
    for model, config in zip(models, configs, strict=True):
        others = [c for m, c in zip(models, configs, strict=True) if m == model]
        keys = sorted({k for c in others for k in {*c, *config} if c.get(k) != config.get(k)})
        independent = _independent(keys, others)
        differing.append({key.removeprefix("model."): config.get(key) for key in independent})
    return differing


def _independent(keys: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys without those of the data that follow from the channel, such as names."""
    if CHANNEL not in keys:
        return list(keys)

    def follows(key: str) -> bool:
        pairs = {(str(config.get(CHANNEL)), str(config.get(key))) for config in configs}
        return key.startswith("data.") and len(pairs) == len({channel for channel, _ in pairs})

    return [key for key in keys if key == CHANNEL or not follows(key)]
