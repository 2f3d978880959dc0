"""Productions: many files of simulated jets or events, made by worker processes on all cores.

A file gets its name only when it is complete, so a killed production can continue where it stopped.
Nothing heavy is imported here: only the workers load Pythia and FastJet.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anomaly_hep.errors import SimulationError
from anomaly_hep.formats.files import formats
from anomaly_hep.simulate.plan import (
    FILE,
    SPLITS,
    Shard,
    larger,
    read_plan,
    shards,
    task,
    write_plan,
)
from anomaly_hep.simulate.pool import Job, Pool
from anomaly_hep.simulate.progress import Progress
from anomaly_hep.simulate.simulator import Config, load_simulator, simulator_of


@dataclass
class Totals:
    """Totals of one class: entries, CPU seconds (also those inside Pythia), and event counts."""

    entries: int = 0
    cpu_seconds: float = 0.0
    pythia_seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)


@dataclass
class ProductionReport:
    """The result of a production: files made, files already complete, and totals by class."""

    simulator: str
    made: list[Path] = field(default_factory=list)
    complete: list[Path] = field(default_factory=list)
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    classes: dict[str, Totals] = field(default_factory=dict)

    @property
    def entries(self) -> int:
        """The number of jets or events made now."""
        return sum(totals.entries for totals in self.classes.values())

    def enter(self, shard: Shard, summary: Mapping[str, Any]) -> None:
        """Add a finished file; `summary` is its worker's last message."""
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
        simulator = load_simulator(self.simulator)
        lines[0] += (
            f" {self.entries:,} simulated {simulator.UNIT} in {self.seconds:.0f} s; {cpu:.0f} CPU "
            f"s, {pythia / cpu:.0%} of them in Pythia; at most {self.peak_memory_mb:.0f} MB per "
            "worker"
        )
        width = max(map(len, self.classes))
        for label, totals in self.classes.items():
            rate = totals.entries / totals.cpu_seconds
            lines.append(
                f"  {label:{width}s} {totals.entries:7,} {simulator.UNIT}, {rate:4.0f} per CPU s; "
                f"{simulator.counted(totals.counts)}"
            )
        return "\n".join(lines)


def produce(
    config: Config, directory: Path, *, workers: int | None = None, part: int = 0, parts: int = 1
) -> ProductionReport:
    """Make the files of `config` that `directory` lacks, `workers` (default: all cores) at a time.

    An existing production keeps its planned sizes unless `config` has larger ones. Raises
    SimulationError if a worker fails, or for existing files that `config` would not make or that
    belong to no production; complete files stay, and the next call continues.
    """
    plan = read_plan(directory)
    if plan is None:
        _check_empty(config, directory)
    else:
        config = {**config, "sizes": larger(plan["sizes"], config["sizes"])}
    report, missing = ProductionReport(str(config["simulator"])), []
    for shard in shards(config, directory, part=part, parts=parts):
        if shard.path.exists():
            _check_made_by(config, shard)
            report.complete.append(shard.path)
        else:
            missing.append(shard)
    start = time.monotonic()
    if missing:
        write_plan(directory, config)
        _make(config, missing, workers, report)
    report.seconds = time.monotonic() - start
    return report


def _make(
    config: Config, missing: Sequence[Shard], workers: int | None, report: ProductionReport
) -> None:
    name = str(config["simulator"])
    jobs = [Job(shard.path, _title(shard), name, task(config, shard)) for shard in missing]
    workers = min(workers or len(os.sched_getaffinity(0)), len(jobs))
    by_path = {shard.path: shard for shard in missing}
    entries = sum(shard.entries for shard in missing)
    with Progress(entries, len(missing), simulator_of(config).UNIT) as progress:
        for path, summary in Pool(workers, progress).run(jobs):
            report.enter(by_path[path], summary)


def _title(shard: Shard) -> str:
    return f"{shard.path} ({shard.label}, seed {shard.seed})"


def _check_empty(config: Config, directory: Path) -> None:
    """Refuse a directory without a plan if it has files that `config` would not make."""
    planned = {shard.path: shard for shard in shards(config, directory)}
    # what stands beside a planned NAME.SUFFIX
    beside = tuple(f"{p.name.removesuffix(simulator_of(config).SUFFIX)}." for p in planned)
    for path in _data_files(directory):
        if path not in planned and path.name.startswith(beside):
            continue
        if path not in planned or _differences(config, planned[path]):
            raise SimulationError(
                f"{directory} holds {path.relative_to(directory)} and no {FILE}: it is no "
                "production of these values, and nothing is added to it. Cure: simulate into "
                "another directory (data.dir)"
            )


def _data_files(directory: Path) -> Iterator[Path]:
    suffixes = tuple(suffix for known in formats() for suffix in known.SUFFIXES)
    for split in SPLITS:
        for path in sorted((directory / split).glob("*")):
            if path.name.endswith(suffixes) and not path.name.startswith("."):
                yield path


def _check_made_by(config: Config, shard: Shard) -> None:
    """Refuse an existing file that differs from what the configuration would make."""
    if different := _differences(config, shard):
        raise SimulationError(
            f"{shard.path} is there but was made with other values of {', '.join(different)}. "
            "Cure: simulate into another directory, restore those values, or remove the file"
        )


def _differences(config: Config, shard: Shard) -> list[str]:
    provenance = simulator_of(config).FORMAT.describe(shard.path).provenance or {}
    wanted = task(config, shard)
    return sorted(name for name in wanted if provenance.get("task", {}).get(name) != wanted[name])
