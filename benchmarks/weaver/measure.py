"""Measure reading and features on JetClass files: weaver-core's loader beside ours, same inputs.

`ours` runs where anomaly_hep is installed, `weaver` where weaver-core is; each prints a line of
JSON. `table` makes a table of such lines, `compare` compares what both loaders deliver (`--save`).
docs/results/reading.md has the commands and the numbers.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from anomaly_hep.runtime import keep_freed_memory

BATCH_SIZE = 256
LENGTH = 128  # particles of a padded jet
KINDS = 8
HERE = Path(__file__).parent
Batches = Iterable[torch.Tensor]


def cpu_seconds() -> float:
    """Return the processor time of this process and of its children that have ended, in s."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class Ours:
    """EventStream with the settings of conf/data/jetclass.yaml; `padded` makes weaver's tensors."""

    def __init__(self, paths: list[Path], options: argparse.Namespace) -> None:
        from omegaconf import OmegaConf

        from anomaly_hep.data.particles import ParticleReading

        data = HERE.parents[1] / "conf" / "data"
        config = OmegaConf.load(data / "jetclass.yaml")
        self.settings = cast(dict[str, Any], OmegaConf.to_container(config))
        listed = OmegaConf.load(data / "features" / "jet.yaml")
        self.settings["features"] = OmegaConf.to_container(listed)
        self.settings["chunk_events"] = options.chunk_events or self.settings["chunk_events"]
        self.paths, self.padded = paths, options.padded
        keys = ("features", "selection", "max_particles")
        self.reading = ParticleReading(**{key: self.settings[key] for key in keys})
        self.stream: Any = None

    def open(self, *, shuffle: bool) -> None:
        """Open the files: part of the first epoch."""
        from anomaly_hep.data.plan import Plan, Slice
        from anomaly_hep.data.samples import SampleFile
        from anomaly_hep.data.stream import EventStream
        from anomaly_hep.formats import jetclass

        files = [SampleFile.whole(jetclass.describe(path)) for path in self.paths]
        firsts = np.cumsum([len(file) for file in files]) - [len(file) for file in files]
        plan = Plan(
            files=[
                Slice(file, 0, len(file), int(first))
                for file, first in zip(files, firsts, strict=True)
            ],
            batch_size=BATCH_SIZE,
            chunk_events=self.settings["chunk_events"],
            pool_batches=self.settings["pool_batches"],
            seed=1,
            shuffle=shuffle,
        )
        self.stream = EventStream(plan, self.reading)

    def epoch(self) -> Iterator[int]:
        """Yield the number of jets of each batch of an epoch."""
        for batch in self.stream:
            yield len(pad(batch) if self.padded else batch)

    def tensors(self) -> Batches:
        """Return padded jets in the order of the files."""
        self.open(shuffle=False)
        return map(pad, self.stream)


def pad(batch: Any) -> torch.Tensor:
    """Return [jet, 8 features and 8 one-hot types, 128] of a ParticleBatch, zero where empty."""
    jet = torch.repeat_interleave(torch.arange(len(batch)), batch.lengths)
    first = batch.lengths.cumsum(0) - batch.lengths
    place = torch.arange(len(jet)) - first[jet]
    table = torch.zeros(len(batch), LENGTH, batch.features.shape[1] + KINDS)
    table[jet, place, :-KINDS] = batch.features
    table[jet, place, batch.features.shape[1] + batch.types] = 1
    return table.transpose(1, 2).contiguous()


class Weaver:
    """SimpleIterDataset and torch's DataLoader, as weaver's train.py makes them, no worker."""

    def __init__(self, paths: list[Path], options: argparse.Namespace) -> None:
        self.files = {"_": [str(path) for path in paths]}
        self.options, self.batches = options, 0
        self.loader: Any = None

    def open(self, *, shuffle: bool) -> None:
        """Make the loader; the files are opened whenever an epoch reads them."""
        from torch.utils.data import DataLoader
        from weaver.utils.dataset import SimpleIterDataset  # type: ignore[import-not-found]

        dataset = SimpleIterDataset(
            self.files,
            str(HERE / "inputs.yaml"),
            batch_size=BATCH_SIZE,
            for_training=shuffle,
            load_range_and_fraction=((0, 1), 1, 1),
            fetch_by_files=self.options.fetch_by_files,
            fetch_step=self.options.fetch_step,
            async_load=not self.options.no_async_load,
            in_memory=self.options.in_memory,
            name="train",
        )
        # drop_last=False unlike weaver's own, so that every jet is delivered
        self.loader = DataLoader(dataset, batch_size=BATCH_SIZE, num_workers=0)

    def epoch(self) -> Iterator[int]:
        """Yield the number of jets of each batch of an epoch."""
        # in memory, weaver's iterator never ends: an epoch is as many batches as hold all jets
        steps = math.ceil(self.options.jets / BATCH_SIZE) if self.options.in_memory else None
        for inputs, _, _ in islice(self.loader, steps):
            yield len(inputs["particles"])

    def tensors(self) -> Batches:
        """Return padded jets in the order of the files."""
        self.open(shuffle=False)
        return (inputs["particles"] for inputs, _, _ in self.loader)


LOADERS: dict[str, type[Ours | Weaver]] = {"ours": Ours, "weaver": Weaver}


def measure(options: argparse.Namespace) -> None:
    """Print the jets and seconds of each epoch; imports and a warm-up are not counted."""
    paths = sorted(options.directory.glob("*.root"))
    loader = LOADERS[options.loader]
    with tempfile.TemporaryDirectory() as folder:
        # Copies, so that no measured file is open or known beforehand; two, because weaver's
        # compiled functions are others when the jets of several files are joined.
        copies = [Path(shutil.copy(paths[0], Path(folder) / f"{i}.root")) for i in range(2)]
        warm = loader(copies, options)
        warm.open(shuffle=True)
        sum(warm.epoch())
    measured = loader(paths, options)
    epochs = []
    for number in range(options.epochs):
        begin, wall = cpu_seconds(), time.perf_counter()
        if number == 0:
            measured.open(shuffle=True)
        jets = sum(measured.epoch())
        epochs.append((jets, cpu_seconds() - begin, time.perf_counter() - wall))
    line = {"files": len(paths), "name": options.name, "epochs": epochs}
    sys.stdout.write(json.dumps(line) + "\n")


def save(options: argparse.Namespace) -> None:
    """Write all jets, padded, in the order of the files."""
    paths = sorted(options.directory.glob("*.root"))
    np.save(options.save, torch.cat(list(LOADERS[options.loader](paths, options).tensors())))


def compare(options: argparse.Namespace) -> None:
    """Print how far the tensors of two loaders are apart; fails where that is not rounding."""
    one, other = (np.load(path) for path in (options.one, options.other))
    if one.shape != other.shape:
        sys.exit(f"shapes differ: {one.shape} and {other.shape}")
    apart = np.abs(one - other).max(axis=(0, 2))  # input
    particles = int(one[:, -KINDS:].sum())
    features = ", ".join(f"{value:.1e}" for value in apart[:-KINDS])
    sys.stdout.write(
        f"{len(one)} jets of {one.shape[1]} x {one.shape[2]}, {particles} particles\n"
        f"largest difference of each feature: {features}; of the types: {apart[-KINDS:].max():g}\n"
    )
    if apart.max() > 1e-5 or apart[-KINDS:].any():
        sys.exit("the loaders do not deliver the same numbers")


def table(options: argparse.Namespace) -> None:
    """Print rates of all runs, grouped by name: median of the repeats, lowest to highest."""
    groups: dict[tuple[str, int], list[Any]] = {}
    for line in options.runs.read_text().splitlines():
        run = json.loads(line)
        groups.setdefault((run["name"], run["files"]), []).append(run["epochs"])
    for (name, _), runs in groups.items():
        first = [run[0] for run in runs]
        later = [epoch for run in runs for epoch in run[1:]]
        cells = [_rates(kind, 1) for kind in (first, later)] + [_rates(later, 2)]
        sys.stdout.write(f"| {name} | {' | '.join(cells)} |\n")


def _rates(epochs: list[tuple[int, float, float]], clock: int) -> str:
    if not epochs:
        return "-"
    rates = [float(epoch[0] / epoch[clock]) for epoch in epochs]
    return f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name in LOADERS:
        command = commands.add_parser(name)
        command.set_defaults(loader=name, run=measure)
        command.add_argument("directory", type=Path, help="holds JetClass files")
        command.add_argument("--name", default=name, help="of the row in the table")
        command.add_argument("--epochs", type=int, default=4)
        command.add_argument("--save", type=Path, help="write the jets (npy), measure nothing")
        if name == "ours":
            command.add_argument("--padded", action="store_true", help="make weaver's tensors too")
            command.add_argument("--chunk-events", type=int, help="instead of the configured ones")
        else:
            command.add_argument("--fetch-step", type=float, default=1.0, help="1: all at once")
            command.add_argument("--fetch-by-files", action="store_true")
            command.add_argument("--no-async-load", action="store_true")
            command.add_argument("--in-memory", action="store_true")
            command.add_argument("--jets", type=int, default=0, help="needed by --in-memory")
    command = commands.add_parser("compare")
    command.set_defaults(run=compare)
    command.add_argument("one", type=Path)
    command.add_argument("other", type=Path)
    command = commands.add_parser("table")
    command.set_defaults(run=table)
    command.add_argument("runs", type=Path, help="the printed lines")
    options = parser.parse_args()
    # what our training asks of malloc is given to both
    keep_freed_memory()
    torch.set_num_threads(1)
    (save if getattr(options, "save", None) else options.run)(options)


if __name__ == "__main__":
    main()
