"""A worker process of a production: makes files from tasks on stdin and reports on a pipe.

Started by pool.py as `python -m anomaly_hep.simulate.worker FD PID`: a fresh interpreter, so that
neither torch nor the caller's script is loaded and memory stays small.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from anomaly_hep import __version__
from anomaly_hep.lifeline import end_with_parent
from anomaly_hep.simulate.simulator import Simulation, Simulator, load_simulator
from anomaly_hep.types import Events


def make_file(
    path: Path, simulator: Simulator, task: Mapping[str, Any], report: Callable[[int], None]
) -> Simulation:
    """Simulate `task` (of plan.task) and write the file; `report` is called with each part's size.

    The task becomes part of the file's provenance, so that the file can be made again. Returns the
    finished simulation, for its counts and its CPU time.
    """
    simulation = simulator.simulation(task)
    parts = []
    for events in simulation.parts(task[simulator.UNIT], task["batch"]):
        parts.append(events)
        report(len(events))
    # counts are reproducible with the seed; times are not, so they stay out of the file
    provenance = {**origin(simulator), "task": dict(task), "counts": asdict(simulation.counts)}
    simulator.FORMAT.write(path, [Events.concatenate(parts)], provenance)
    return simulation


def origin(simulator: Simulator) -> dict[str, Any]:
    """Return the provenance that all files share: origin, generator and versions."""
    libraries = ("pythia8mc", "fastjet", "numpy")
    return {
        "origin": "simulated",
        "note": simulator.NOTE,
        "generator": "Pythia 8",
        "versions": {"anomaly_hep": __version__} | {name: version(name) for name in libraries},
    }


def peak_memory_mb() -> float:
    """Return the peak memory of this process.

    Not getrusage's ru_maxrss, which also includes the process that started this one.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kilobytes) / 1024


def main() -> None:
    """Do the tasks given on stdin, one JSON line each.

    The arguments are the descriptor of the pipe and the process that started this one.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the parent ends this process
    end_with_parent(int(sys.argv[2]))
    pipe = os.fdopen(int(sys.argv[1]), "w", buffering=1, encoding="utf-8")

    def report(message: Mapping[str, Any]) -> None:
        # when the parent is gone, BrokenPipeError ends this process too
        pipe.write(json.dumps(message) + "\n")

    spent = 0.0
    for line in sys.stdin:
        job = json.loads(line)
        simulator = load_simulator(job["simulator"])
        simulation = make_file(
            Path(job["path"]), simulator, job["task"], lambda n: report({"entries": n})
        )
        before, spent = spent, time.process_time()
        report({
            "counts": asdict(simulation.counts),
            "cpu_seconds": spent - before,  # the first file pays for starting
            "pythia_seconds": simulation.generator.seconds,
            "peak_memory_mb": peak_memory_mb(),
        })  # fmt: skip


if __name__ == "__main__":
    main()
