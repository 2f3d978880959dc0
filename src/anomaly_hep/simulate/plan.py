"""The plan of a production, production.json; a directory without it is no production."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomaly_hep.atomic import write_text
from anomaly_hep.errors import ConfigError, SimulationError
from anomaly_hep.simulate.simulator import Config, Simulator, simulator_of

FILE = "production.json"
# directories of files, and the place of each among the seeds; a data set that is split by the order
# of its events has the last one alone
SPLITS: dict[str, int] = {"train": 0, "val": 1, "test": 2, "events": 0}
FILES_PER_CLASS = 1000  # at most: one seed per (base seed, split, class, file)
LARGEST_SEED = 900_000_000  # Pythia's own
Sizes = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Shard:
    """One file of a production."""

    split: str
    label: str
    path: Path
    entries: int
    seed: int


def read_plan(directory: Path) -> dict[str, Any] | None:
    """Return the configuration of a directory's production; None if it has none.

    Raises SimulationError for a damaged plan.
    """
    path = directory / FILE
    if not path.exists():
        return None
    try:
        plan = dict(json.loads(path.read_text(encoding="utf-8")))
        shards(plan, directory)
    except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise SimulationError(
            f"{path} is damaged ({type(error).__name__}: {error}). Cure: remove it, and the files "
            "that are there are used as they are; or simulate into another directory"
        ) from error
    return plan


def write_plan(directory: Path, config: Config) -> None:
    """Write production.json, which makes a directory the production of `config`, atomically."""
    write_text(directory / FILE, json.dumps(config, indent=2) + "\n")


def other_values(config: Config, plan: Config) -> list[str]:
    """Return the keys besides sizes whose JSON values differ between two configurations."""
    one, other = json.loads(json.dumps(config)), json.loads(json.dumps(plan))
    keys = (key for key in {**one, **other} if not key.startswith("sizes"))
    return sorted(key for key in keys if one.get(key) != other.get(key))


def added(sizes: Sizes, more: Sizes) -> dict[str, dict[str, int]]:
    """Return `sizes`, with the splits and classes that it lacks taken from `more`."""
    return {split: {**more.get(split, {}), **sizes.get(split, {})} for split in {**sizes, **more}}


def larger(one: Sizes, other: Sizes) -> dict[str, dict[str, int]]:
    """Return the larger size of each class in each split."""
    return {
        split: {
            label: max(sizes.get(split, {}).get(label, 0) for sizes in (one, other))
            for label in {**one.get(split, {}), **other.get(split, {})}
        }
        for split in {**one, **other}
    }


def max_base_seed(simulator: Simulator) -> int:
    """Return the largest `seed` of a configuration for which Pythia accepts all files' seeds."""
    return LARGEST_SEED // _seeds(simulator) - 1


def _seeds(simulator: Simulator) -> int:
    return len(set(SPLITS.values())) * len(simulator.PREFIXES) * FILES_PER_CLASS


def shards(config: Config, directory: Path, *, part: int = 0, parts: int = 1) -> list[Shard]:
    """Return the files that `config` asks for, or those of share `part` out of `parts`.

    Raises ConfigError for sizes, seeds and names that cannot be.
    """
    if not 0 <= part < parts:
        raise ConfigError(
            f"There is no part {part} of {parts}. Cure: count parts from 0 to {parts - 1}"
        )
    simulator = simulator_of(config)
    base, name = int(config["seed"]), f"{simulator.UNIT}_per_file"
    per_file, largest = int(config[name]), max_base_seed(simulator)
    if not 0 <= base <= largest:
        raise ConfigError(f"seed={base} is out of range. Cure: choose 0 to {largest}")
    if not 0 < per_file <= simulator.MAX_PER_FILE:
        raise ConfigError(f"{name}={per_file}. Cure: choose 1 to {simulator.MAX_PER_FILE}")
    if len({SPLITS.get(split) for split in config["sizes"]}) < len(config["sizes"]):
        raise ConfigError(
            f"{' and '.join(config['sizes'])} would have the same seeds. Cure: simulate `events` "
            "in a directory of its own"
        )
    for label in config.get("per_class", ()):
        _check_known("class", label, tuple(simulator.PREFIXES))
    planned: list[Shard] = []
    for split, sizes in config["sizes"].items():
        _check_known("split", split, tuple(SPLITS))
        for label, entries in sizes.items():
            _check_known("class", label, tuple(simulator.PREFIXES))
            first = (
                1
                + base * _seeds(simulator)
                + FILES_PER_CLASS
                * (SPLITS[split] * len(simulator.PREFIXES) + tuple(simulator.PREFIXES).index(label))
            )
            names = directory / split / simulator.prefix(config, label)
            planned += _of_class(simulator, names, split, label, int(entries), per_file, first)
    return planned[part::parts]


def _check_known(what: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise ConfigError(f"No {what} '{name}' to simulate. Cure: choose among {', '.join(names)}")


def _of_class(
    simulator: Simulator,
    names: Path,
    split: str,
    label: str,
    entries: int,
    per_file: int,
    first_seed: int,
) -> list[Shard]:
    files = -(-entries // per_file)
    if entries < 0 or files > FILES_PER_CLASS:
        raise ConfigError(
            f"{entries} {simulator.UNIT} of {label} in {split} would be {files} files of "
            f"{per_file}. Cure: ask for no more than {FILES_PER_CLASS} files, by a larger "
            f"{simulator.UNIT}_per_file"
        )
    return [
        Shard(
            split=split,
            label=label,
            path=names.with_name(f"{names.name}_{i:03d}{simulator.SUFFIX}"),
            entries=min(per_file, entries - i * per_file),
            seed=first_seed + i,
        )
        for i in range(files)
    ]


def task(config: Config, shard: Shard) -> dict[str, Any]:
    """Return everything that defines a file's content, in JSON types."""
    simulator = simulator_of(config)
    return {
        "label": shard.label,
        simulator.UNIT: shard.entries,
        "seed": shard.seed,
        "batch": int(config["batch"]),
        "settings": [*config["settings"], *config["per_class"].get(shard.label, ())],
        **simulator.task(config, shard.label),
    }
