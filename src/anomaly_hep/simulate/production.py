"""Productions: many files of simulated jets, one fresh process each, on all cores.

A file exists under its name only when it is complete, so a killed production continues where it
stopped. Nothing heavy is imported here: Pythia, FastJet and awkward live in the worker processes.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from anomaly_hep.errors import ConfigError, SimulationError
from anomaly_hep.formats.jetclass import LABELS, PREFIXES, describe
from anomaly_hep.simulate.progress import Progress

SPLITS = ("train", "val", "test")
# one seed per (base seed, split, class, file), all below Pythia's limit of 900 000 000
_FILES = 1000
_SEEDS = len(SPLITS) * len(LABELS) * _FILES
MAX_BASE_SEED = 900_000_000 // _SEEDS - 1
# a worker holds the jets of its file in memory: 2.5 kB each
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
class ProductionReport:
    """What a production did: files made and found complete, jets, CPU time and memory by class."""

    made: list[Path] = field(default_factory=list)
    complete: list[Path] = field(default_factory=list)
    jets: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    pythia_seconds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    peak_memory_mb: float = 0.0


def plan(
    config: Mapping[str, Any], directory: Path, *, part: int = 0, parts: int = 1
) -> list[Shard]:
    """Return the files that `config` asks for, or the `part`-th of `parts` equal shares of them."""
    if not 0 <= part < parts:
        raise ConfigError(f"Part {part} of {parts} does not exist. Cure: count from 0")
    base, per_file = int(config["seed"]), int(config["jets_per_file"])
    if not 0 <= base <= MAX_BASE_SEED:
        raise ConfigError(
            f"Seed {base} is out of range. Cure: choose one from 0 to {MAX_BASE_SEED}"
        )
    if not 0 < per_file <= MAX_JETS_PER_FILE:
        raise ConfigError(
            f"jets_per_file is {per_file}. Cure: choose a number from 1 to {MAX_JETS_PER_FILE}"
        )
    shards = []
    for split, sizes in config["sizes"].items():
        _known("split", split, SPLITS)
        for label, jets in sizes.items():
            _known("class", label, LABELS)
            shards += _shards(split, label, int(jets), per_file, base, directory)
    return shards[part::parts]


def _known(what: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise ConfigError(f"No {what} '{name}' to simulate. Cure: choose among {', '.join(names)}")


def _shards(
    split: str, label: str, jets: int, per_file: int, base: int, directory: Path
) -> list[Shard]:
    files = -(-jets // per_file)
    if jets < 0 or files > _FILES:
        raise ConfigError(
            f"{jets} jets of {label} in {split} would be {files} files of {per_file}. "
            f"Cure: ask for at most {_FILES} files, with a larger jets_per_file"
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
    """Return, as JSON, everything that decides a file's content."""
    from anomaly_hep.simulate.processes import process_settings

    extra = config.get("per_class", {}).get(shard.label, ())
    return {
        "label": shard.label,
        "jets": shard.jets,
        "seed": shard.seed,
        "batch": int(config["batch"]),
        "settings": [*process_settings(shard.label), *config["settings"], *extra],
        "card": config["card"],
        "selection": {k: float(v) for k, v in config["selection"].items()},
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
    """Make the files of `config` that are missing in `directory`, `workers` at a time (all cores).

    Raises SimulationError when a file was made otherwise than `config` says, and when a worker
    fails; files made until then stay, and the next call continues.
    """
    shards = [
        shard
        for shard in plan(config, directory, part=part, parts=parts)
        if (classes is None or shard.label in classes) and (splits is None or shard.split in splits)
    ]
    report = ProductionReport()
    missing = []
    for shard in shards:
        if shard.path.exists():
            _check_made_by(task(config, shard), shard)
            report.complete.append(shard.path)
        else:
            _remove_leftovers(shard.path)
            missing.append(shard)
    start = time.monotonic()
    if missing:
        workers = workers or len(os.sched_getaffinity(0))
        with Progress(sum(shard.jets for shard in missing), len(missing)) as progress:
            _run(config, missing, workers, report, progress)
    report.wall_seconds = time.monotonic() - start
    return report


def _check_made_by(wanted: dict[str, Any], shard: Shard) -> None:
    """Refuse a file that is there but is not what the configuration would make."""
    found = (describe(shard.path).provenance or {}).get("task", {})
    different = sorted(k for k in wanted if found.get(k) != wanted[k])
    if different:
        raise SimulationError(
            f"{shard.path} exists but was not made with this configuration "
            f"(different: {', '.join(different)}). Cure: remove it, or choose another directory"
        )


def _remove_leftovers(path: Path) -> None:
    for leftover in path.parent.glob(f".{path.name}.*.part"):
        owner = leftover.name.split(".")[-2]
        if not Path(f"/proc/{owner}").exists():
            leftover.unlink(missing_ok=True)


@dataclass
class _Running:
    shard: Shard
    process: subprocess.Popen[bytes]
    pipe: int
    log: IO[bytes]
    text: str = ""
    jets: int = 0
    summary: dict[str, Any] | None = None


def _run(
    config: Mapping[str, Any],
    missing: Sequence[Shard],
    workers: int,
    report: ProductionReport,
    progress: Progress,
) -> None:
    waiting = list(missing)
    with selectors.DefaultSelector() as selector, _children() as running:
        while waiting or running:
            while waiting and len(running) < workers:
                child = _start(config, waiting.pop(0))
                running.append(child)
                selector.register(child.pipe, selectors.EVENT_READ, child)
            for key, _ in selector.select(timeout=1.0):
                child = key.data
                text = os.read(child.pipe, 65536).decode()
                if text:
                    _listen(child, text, progress)
                    continue
                selector.unregister(child.pipe)
                _finish(child, report)
                running.remove(child)
                progress.file_done()
            progress.refresh()


@contextmanager
def _children() -> Iterator[list[_Running]]:
    """A list of running workers that never outlive the block, however it is left."""
    running: list[_Running] = []

    def stop(signum: int, frame: object) -> None:
        raise SystemExit(128 + signum)

    # SIGTERM would end this process without running the lines below
    try:
        previous = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread: whoever runs it handles signals
        previous = None
    try:
        yield running
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)
        for child in running:
            child.process.kill()
        for child in running:
            child.process.wait()
            os.close(child.pipe)
            child.log.close()
            _remove_leftovers(child.shard.path)


def _start(config: Mapping[str, Any], shard: Shard) -> _Running:
    read, write = os.pipe()
    log = tempfile.TemporaryFile()
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    environment["PYTHONPATH"] = os.pathsep.join(p or os.getcwd() for p in sys.path)
    process = subprocess.Popen(
        [sys.executable, "-m", "anomaly_hep.simulate.worker", str(write)],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        pass_fds=[write],
        env=environment,
    )
    os.close(write)
    job = {"path": str(shard.path), "task": task(config, shard)}
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(job).encode())
        process.stdin.close()
    except BrokenPipeError:
        pass  # the worker died at once; its end is seen on the other pipe
    return _Running(shard, process, read, log)


def _listen(child: _Running, text: str, progress: Progress) -> None:
    *lines, child.text = (child.text + text).split("\n")
    for line in lines:
        message = json.loads(line)
        if "jets" in message:
            progress.advance(message["jets"] - child.jets)
            child.jets = message["jets"]
        else:
            child.summary = message


def _finish(child: _Running, report: ProductionReport) -> None:
    """Enter a worker that ended into the report, or raise its failure."""
    status = child.process.wait()
    child.log.seek(0)
    said = child.log.read().decode(errors="replace").strip().splitlines()
    if status != 0 or child.summary is None:
        raise SimulationError(_failure(child.shard, status, said))
    os.close(child.pipe)
    child.log.close()
    label, summary = child.shard.label, child.summary
    report.made.append(child.shard.path)
    report.jets += child.shard.jets
    report.cpu_seconds[label] = report.cpu_seconds.get(label, 0.0) + summary["cpu_seconds"]
    report.peak_memory_mb = max(report.peak_memory_mb, summary["peak_memory_mb"])


def _failure(shard: Shard, status: int, said: Sequence[str]) -> str:
    how = f"exit status {status}"
    cure = "see its last words above; the files already made stay, and the same command continues"
    if status < 0:
        how = f"killed by {signal.Signals(-status).name}"
        if status == -signal.SIGKILL:
            cure = "free some memory or use fewer workers; the same command continues"
    tail = "\n  ".join(said[-15:])
    return (
        f"The worker for {shard.path} ({shard.label}, seed {shard.seed}) ended early: {how}."
        f"\n  {tail}\nCure: {cure}"
    )
