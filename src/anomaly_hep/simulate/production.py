"""Productions: many files of simulated jets, made by fresh worker processes on all cores.

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
from anomaly_hep.formats.jetclass import LABELS, PREFIXES, describe
from anomaly_hep.simulate.pool import Job, Pool
from anomaly_hep.simulate.processes import PROCESSES
from anomaly_hep.simulate.progress import Progress

SPLITS = ("train", "val", "test")
# one seed per (base seed, split, class, file), all within Pythia's 900 000 000
_FILES = 1000
_SEEDS = len(SPLITS) * len(LABELS) * _FILES
MAX_BASE_SEED = 900_000_000 // _SEEDS - 1
# a worker holds the jets of its file in memory, 2.5 kB each
MAX_JETS_PER_FILE = 20_000


@dataclass(frozen=True)
class Shard:
    """One file of a production."""

    split: str
    label: str
    path: Path
    jets: int
    seed: int


@dataclass
class Totals:
    """What one class cost: CPU seconds, those inside Pythia, and what its events became."""

    jets: int = 0
    cpu_seconds: float = 0.0
    pythia_seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)


@dataclass
class ProductionReport:
    """What a production did: files made, files found complete, and totals by class."""

    made: list[Path] = field(default_factory=list)
    complete: list[Path] = field(default_factory=list)
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    classes: dict[str, Totals] = field(default_factory=dict)

    @property
    def jets(self) -> int:
        """Jets made now."""
        return sum(totals.jets for totals in self.classes.values())

    def enter(self, shard: Shard, summary: Mapping[str, Any]) -> None:
        """Add a finished file; `summary` is what its worker said last."""
        self.made.append(shard.path)
        self.peak_memory_mb = max(self.peak_memory_mb, summary["peak_memory_mb"])
        totals = self.classes.setdefault(shard.label, Totals())
        totals.jets += shard.jets
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
        lines[0] += (
            f" {self.jets:,} simulated jets in {self.seconds:.0f} s; {cpu:.0f} CPU s, "
            f"{pythia / cpu:.0%} of them in Pythia; at most {self.peak_memory_mb:.0f} MB per worker"
        )
        for label, totals in self.classes.items():
            counts = totals.counts
            lines.append(
                f"  {label:5s} {totals.jets:7,} jets, {totals.jets / totals.cpu_seconds:4.0f} per "
                f"CPU s; events: {counts['events_vetoed']:,} vetoed early, "
                f"{counts['events_generated']:,} generated, {counts['events_skipped']} skipped by "
                f"Pythia; jets: {counts['jets_in_acceptance']:,} in acceptance, "
                f"{counts['jets_matched']:,} matched"
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
    base, per_file = int(config["seed"]), int(config["jets_per_file"])
    if not 0 <= base <= MAX_BASE_SEED:
        raise ConfigError(f"seed={base} is out of range. Cure: choose 0 to {MAX_BASE_SEED}")
    if not 0 < per_file <= MAX_JETS_PER_FILE:
        raise ConfigError(f"jets_per_file={per_file}. Cure: choose 1 to {MAX_JETS_PER_FILE}")
    shards: list[Shard] = []
    for split, sizes in config["sizes"].items():
        _check_known("split", split, SPLITS)
        for label, jets in sizes.items():
            _check_known("class", label, LABELS)
            shards += _shards(directory, split, label, int(jets), per_file, base)
    return shards[part::parts]


def _check_known(what: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise ConfigError(f"No {what} '{name}' to simulate. Cure: choose among {', '.join(names)}")


def _shards(
    directory: Path, split: str, label: str, jets: int, per_file: int, base: int
) -> list[Shard]:
    files = -(-jets // per_file)
    if jets < 0 or files > _FILES:
        raise ConfigError(
            f"{jets} jets of {label} in {split} would be {files} files of {per_file}. "
            f"Cure: ask for no more than {_FILES} files, by a larger jets_per_file"
        )
    block = (SPLITS.index(split) * len(LABELS) + LABELS.index(label)) * _FILES
    return [
        Shard(
            split=split,
            label=label,
            path=directory / split / f"{PREFIXES[label]}_{i:03d}.root",
            jets=min(per_file, jets - i * per_file),
            seed=1 + base * _SEEDS + block + i,
        )
        for i in range(files)
    ]


def task(config: Mapping[str, Any], shard: Shard) -> dict[str, Any]:
    """Return, in JSON types, everything that decides a file's content."""
    veto, detector = config["veto"], config["detector"]
    return {
        "label": shard.label,
        "jets": shard.jets,
        "seed": shard.seed,
        "batch": int(config["batch"]),
        "process": list(PROCESSES[shard.label].settings),
        "settings": [*config["settings"], *config["per_class"].get(shard.label, ())],
        "detector": {
            "hcal_min_significance": float(detector["hcal_min_significance"]),
            "smear_momenta": bool(detector["smear_momenta"]),
        },
        "selection": {name: float(value) for name, value in config["selection"].items()},
        "veto": None if veto is None else {name: float(value) for name, value in veto.items()},
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
    report, missing = ProductionReport(), []
    for shard in shards:
        if shard.path.exists():
            _check_made_by(task(config, shard), shard.path)
            report.complete.append(shard.path)
        else:
            missing.append(shard)
    start = time.monotonic()
    if missing:
        jobs = [Job(shard.path, _title(shard), task(config, shard)) for shard in missing]
        workers = min(workers or len(os.sched_getaffinity(0)), len(jobs))
        by_path = {shard.path: shard for shard in missing}
        with Progress(sum(shard.jets for shard in missing), len(missing)) as progress:
            for path, summary in Pool(workers, progress).run(jobs):
                report.enter(by_path[path], summary)
    report.seconds = time.monotonic() - start
    return report


def _title(shard: Shard) -> str:
    return f"{shard.path} ({shard.label}, seed {shard.seed})"


def _check_made_by(wanted: Mapping[str, Any], path: Path) -> None:
    """Refuse a file that is there but is not what the configuration would make."""
    found = (describe(path).provenance or {}).get("task", {})
    different = sorted(name for name in wanted if found.get(name) != wanted[name])
    if different:
        raise SimulationError(
            f"{path} is there but was made with other values of {', '.join(different)}. "
            "Cure: simulate into another directory, restore those values, or remove the file"
        )
