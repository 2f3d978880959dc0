"""One process of a production: makes one file from a task on stdin, reports on a pipe.

Started by production.py as `python -m anomaly_hep.simulate.worker FD`: a fresh interpreter, so that
neither torch nor the caller's script is loaded and memory stays small.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from anomaly_hep.formats import jetclass as jetclass_format
from anomaly_hep.simulate.detector import Detector
from anomaly_hep.simulate.jetclass import Counts, Selection, simulate
from anomaly_hep.types import Events


def make_file(path: Path, task: Mapping[str, Any], report: Callable[[int], None]) -> Counts:
    """Simulate the jets of `task` and write them to `path`; `report` is told how many there are.

    `task` is JSON: label, jets, seed, batch, settings, card and selection. It goes into the file's
    provenance, so that the file says how to make it again.
    """
    counts = Counts()
    parts = []
    for events in simulate(
        task["label"],
        task["jets"],
        task["seed"],
        task["settings"],
        Detector.from_card(task["card"]),
        Selection(**task["selection"]),
        batch=task["batch"],
        counts=counts,
    ):
        parts.append(events)
        report(counts.jets_accepted)
    # the counts are known only now, and the same for the same seed: times stay outside
    found = {name: value for name, value in asdict(counts).items() if name != "seconds"}
    provenance = {**origin(), "task": dict(task), "counts": found}
    jetclass_format.write(path, [Events.concatenate(parts)], provenance)
    return counts


def origin() -> dict[str, Any]:
    """Return what is the same in every file: what made it, and that no experiment did."""
    return {
        "origin": "simulated",
        "note": "Simulated jets in the layout of JetClass; not the published JetClass data set.",
        "generator": "Pythia 8",
        "versions": {name: version(name) for name in ("pythia8mc", "fastjet", "numpy")},
    }


def main() -> None:
    """Run the task given on stdin; the pipe's file descriptor is the only argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the parent ends this process
    pipe = os.fdopen(int(sys.argv[1]), "w", buffering=1, encoding="utf-8")

    def report(message: Mapping[str, Any]) -> None:
        # when the parent is gone, BrokenPipeError ends this process too
        pipe.write(json.dumps(message) + "\n")

    job = json.load(sys.stdin)
    counts = make_file(Path(job["path"]), job["task"], lambda jets: report({"jets": jets}))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    report({
        "counts": asdict(counts),
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_memory_mb": usage.ru_maxrss / 1024,  # Linux counts in kB
    })  # fmt: skip


if __name__ == "__main__":
    main()
