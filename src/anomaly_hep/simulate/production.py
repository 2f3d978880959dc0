"""Productions: many files of simulated jets or events, made by fresh worker processes on all cores.

A file has its name only when it is complete, so a killed production continues where it stopped.
Nothing heavy is imported here: Pythia and FastJet live in the workers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anomaly_hep.errors import ConfigError, SimulationError
from anomaly_hep.simulate.kinds import DEFAULT, KINDS, Kind, kind_of
from anomaly_hep.simulate.pool import Job, Pool
from anomaly_hep.simulate.progress import Progress

SPLITS = ("train", "val", "test")
# one seed per (base seed, split, class, file), all within Pythia's 900 000 000
_FILES = 1000
_CLASSES = max(len(kind.labels) for kind in KINDS.values())
_SEEDS = len(SPLITS) * _CLASSES * _FILES
MAX_BASE_SEED = 900_000_000 // _SEEDS - 1


@dataclass(frozen=True)
class Shard:
    """One file of a production."""

    split: str
    label: str
    path: Path
    entries: int
    seed: int


@dataclass
class Totals:
    """What one class cost: CPU seconds, those inside Pythia, and what its events became."""

    entries: int = 0
    cpu_seconds: float = 0.0
    pythia_seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)


@dataclass
class ProductionReport:
    """What a production did: files made, files found complete, and totals by class."""

    kind: str = DEFAULT
    made: list[Path] = field(default_factory=list)
    complete: list[Path] = field(default_factory=list)
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    classes: dict[str, Totals] = field(default_factory=dict)

    @property
    def entries(self) -> int:
        """Jets or events made now."""
        return sum(totals.entries for totals in self.classes.values())

    def enter(self, shard: Shard, summary: Mapping[str, Any]) -> None:
        """Add a finished file; `summary` is what its worker said last."""
        self.made.append(shard.path)
        self.peak_memory_mb = max(self.peak_memory_mb, summary["peak_memory_mb"])
        totals = self.classes.setdefault(shard.label, Totals())
        totals.entries += shard.entries
        totals.cpu_seconds += summary["cpu_seconds"]
        totals.pythia_seconds += summary["pythia_seconds"]
        for name, count in summary["counts"].items():
            totals.counts[name] = totals.counts.get(name, 0) + count

    def summary(self) -> str:
        """Return the report as lines to print."""
        lines = [f"{len(self.complete)} files were complete, {len(self.made)} made now."]
        if not self.made:
            return lines[0]
        cpu = sum(totals.cpu_seconds for totals in self.classes.values())
        pythia = sum(totals.pythia_seconds for totals in self.classes.values())
        kind = KINDS[self.kind]
        lines[0] += (
            f" {self.entries:,} simulated {kind.unit} in {self.seconds:.0f} s; {cpu:.0f} CPU s, "
            f"{pythia / cpu:.0%} of them in Pythia; at most {self.peak_memory_mb:.0f} MB per worker"
        )
        width = max(map(len, self.classes))
        for label, totals in self.classes.items():
            rate = totals.entries / totals.cpu_seconds
            lines.append(
                f"  {label:{width}s} {totals.entries:7,} {kind.unit}, {rate:4.0f} per CPU s; "
                f"{kind.counted(totals.counts)}"
            )
        return "\n".join(lines)


def plan(
    config: Mapping[str, Any], directory: Path, *, part: int = 0, parts: int = 1
) -> list[Shard]:
    """Return the files that `config` asks for, or those of share `part` out of `parts`.

    Raises ConfigError for sizes, seeds and names that cannot be.
    """
    if not 0 <= part < parts:
        raise ConfigError(
            f"There is no part {part} of {parts}. Cure: count parts from 0 to {parts - 1}"
        )
    kind = kind_of(config)
    base, name = int(config["seed"]), f"{kind.unit}_per_file"
    per_file = int(config[name])
    if not 0 <= base <= MAX_BASE_SEED:
        raise ConfigError(f"seed={base} is out of range. Cure: choose 0 to {MAX_BASE_SEED}")
    if not 0 < per_file <= kind.max_per_file:
        raise ConfigError(f"{name}={per_file}. Cure: choose 1 to {kind.max_per_file}")
    shards: list[Shard] = []
    for split, sizes in config["sizes"].items():
        _check_known("split", split, SPLITS)
        for label, entries in sizes.items():
            _check_known("class", label, kind.labels)
            shards += _shards(kind, directory, split, label, int(entries), per_file, base)
    return shards[part::parts]


def _check_known(what: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise ConfigError(f"No {what} '{name}' to simulate. Cure: choose among {', '.join(names)}")


def _shards(
    kind: Kind, directory: Path, split: str, label: str, entries: int, per_file: int, base: int
) -> list[Shard]:
    files = -(-entries // per_file)
    if entries < 0 or files > _FILES:
        raise ConfigError(
            f"{entries} {kind.unit} of {label} in {split} would be {files} files of {per_file}. "
            f"Cure: ask for no more than {_FILES} files, by a larger {kind.unit}_per_file"
        )
    block = (SPLITS.index(split) * _CLASSES + kind.labels.index(label)) * _FILES
    return [
        Shard(
            split=split,
            label=label,
            path=directory / split / f"{kind.prefixes[label]}_{i:03d}{kind.suffix}",
            entries=min(per_file, entries - i * per_file),
            seed=1 + base * _SEEDS + block + i,
        )
        for i in range(files)
    ]


def task(config: Mapping[str, Any], shard: Shard) -> dict[str, Any]:
    """Return, in JSON types, everything that decides a file's content."""
    kind = kind_of(config)
    return {
        "label": shard.label,
        kind.unit: shard.entries,
        "seed": shard.seed,
        "batch": int(config["batch"]),
        "settings": [*config["settings"], *config["per_class"].get(shard.label, ())],
        **kind.task(config, shard.label),
    }


def produce(
    config: Mapping[str, Any],
    directory: Path,
    *,
    workers: int | None = None,
    part: int = 0,
    parts: int = 1,
    classes: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
) -> ProductionReport:
    """Make the files of `config` that `directory` lacks, `workers` (default: all cores) at a time.

    `classes` and `splits` restrict it. Raises SimulationError when a file is there that `config`
    would not make, and when a worker fails; complete files stay, and the next call continues.
    """
    shards = [
        shard
        for shard in plan(config, directory, part=part, parts=parts)
        if (classes is None or shard.label in classes) and (splits is None or shard.split in splits)
    ]
    kind = kind_of(config)
    report, missing = ProductionReport(kind.name), []
    for shard in shards:
        if shard.path.exists():
            _check_made_by(kind, task(config, shard), shard.path)
            report.complete.append(shard.path)
        else:
            missing.append(shard)
    start = time.monotonic()
    if missing:
        jobs = [Job(shard.path, _title(shard), kind.name, task(config, shard)) for shard in missing]
        workers = min(workers or len(os.sched_getaffinity(0)), len(jobs))
        by_path = {shard.path: shard for shard in missing}
        entries = sum(shard.entries for shard in missing)
        with Progress(entries, len(missing), kind.unit) as progress:
            for path, summary in Pool(workers, progress).run(jobs):
                report.enter(by_path[path], summary)
    report.seconds = time.monotonic() - start
    return report


def _title(shard: Shard) -> str:
    return f"{shard.path} ({shard.label}, seed {shard.seed})"


def _check_made_by(kind: Kind, wanted: Mapping[str, Any], path: Path) -> None:
    """Refuse a file that is there but is not what the configuration would make."""
    found = (kind.format.describe(path).provenance or {}).get("task", {})
    different = sorted(name for name in wanted if found.get(name) != wanted[name])
    if different:
        raise SimulationError(
            f"{path} is there but was made with other values of {', '.join(different)}. "
            "Cure: simulate into another directory, restore those values, or remove the file"
        )
