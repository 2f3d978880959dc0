"""Measure the energy mover's distance of many pairs of jets: ours beside POT and energyflow.

    python benchmarks/emd.py [--events N] [--particles K] [--repeats R] [--threads T ...]

A jet has K particles with a steeply falling pT, some fewer, and its partner is the same jet smeared
as an imperfect reconstruction would. Where POT (`ot`) or energyflow is installed, their distances
of the same pairs follow, one call a pair, since neither takes many pairs at once; `emds` of
energyflow takes all pairs of two sets. energyflow's solver needs NumPy 1: give it an environment of
its own (`--only energyflow`, which imports nothing of ours).

Each line has events per second of wall clock, events per second of processor time, and how many
cores were busy. On a shared machine the second number is the fair one.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import sys
import time
from collections.abc import Callable

import numpy as np

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def pairs_of_jets(events: int, particles: int) -> Pairs:
    """Return weights, points, and both of the smeared partners; 0 where there is no particle."""
    generator = np.random.default_rng(0)
    weights = np.sort(generator.exponential(1, (events, particles)) ** 2, 1)[:, ::-1]
    present = np.arange(particles) < generator.integers(particles // 2, 2 * particles, (events, 1))
    weights = weights * present
    weights /= weights.sum(1, keepdims=True)
    points = generator.normal(0, 0.25, (events, particles, 2))
    smeared = weights * np.exp(generator.normal(0, 0.3, weights.shape))
    return weights, points, smeared, points + generator.normal(0, 0.08, points.shape)


def measure(name: str, function: Callable[[], object], events: int, repeats: int) -> None:
    """Print the best rates of the repeats."""
    rates = []
    for _ in range(repeats):
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        function()
        wall = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        rates.append((events / wall, events / cpu, cpu / wall))
    wall_rate, cpu_rate, cores = max(rates)
    say(f"{name:44s} {wall_rate:9.0f} /s {cpu_rate:9.0f} per cpu second, {cores:.2f} cores")


def ours(pairs: Pairs, options: argparse.Namespace) -> np.ndarray:
    """Measure the operator in C++ on different numbers of threads; return the distances."""
    import torch

    from anomaly_hep.models.layers.transport import energy_movers_distance

    tensors = [torch.from_numpy(np.ascontiguousarray(values)) for values in pairs]
    distances = energy_movers_distance(*tensors)  # compiles and loads
    for threads in options.threads:
        torch.set_num_threads(threads)
        measure(f"anomaly_hep, threads: {threads}", lambda: energy_movers_distance(*tensors),
                options.events, options.repeats)  # fmt: skip
    return distances.numpy()


def pot(pairs: Pairs, options: argparse.Namespace) -> np.ndarray:
    """Measure POT's exact solver, without the making of its cost matrices."""
    import ot

    problems = []
    for w, p, v, q in zip(*pairs, strict=True):
        costs = np.zeros((len(w) + 1, len(v) + 1))
        costs[:-1, :-1] = np.linalg.norm(p[:, None] - q, axis=-1)
        lack = w.sum() - v.sum()
        problems.append((np.append(w, max(-lack, 0)), np.append(v, max(lack, 0)), costs, abs(lack)))

    def run() -> np.ndarray:
        return np.array([ot.emd2(a, b, costs) + lack for a, b, costs, lack in problems])

    measure("POT, ot.emd2 in a loop", run, options.events, options.repeats)
    return run()


def energyflow(pairs: Pairs, options: argparse.Namespace) -> np.ndarray:
    """Measure energyflow's distance of a pair, and of all pairs of two sets on many threads."""
    from energyflow.emd import emd, emds

    one, other = (
        [np.c_[w, p][w > 0] for w, p in zip(*part, strict=True)] for part in (pairs[:2], pairs[2:])
    )

    def run() -> np.ndarray:
        return np.array([emd(a, b, R=1.0) for a, b in zip(one, other, strict=True)])

    measure("energyflow, emd in a loop", run, options.events, options.repeats)
    side = min(200, options.events)
    for threads in options.threads:
        measure(f"energyflow, emds of all pairs, threads: {threads}",
                lambda n=threads: emds(one[:side], other[:side], R=1.0, n_jobs=n),
                side * side, options.repeats)  # fmt: skip
    return run()


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure what is installed, and compare the distances."""
    parser = argparse.ArgumentParser(description="Energy mover's distances per second.")
    parser.add_argument("--events", type=int, default=20000)
    parser.add_argument("--particles", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", choices=("ours", "pot", "energyflow"))
    options = parser.parse_args()
    pairs = pairs_of_jets(options.events, options.particles)
    solvers = {"ours": ("anomaly_hep", ours), "pot": ("ot", pot)}
    solvers["energyflow"] = ("energyflow", energyflow)
    found = {}
    for name, (package, solver) in solvers.items():
        if options.only in (None, name):
            if importlib.util.find_spec(package) is None:
                say(f"{package} is not installed: left out")
                continue
            found[name] = solver(pairs, options)
    first = next(iter(found), None)
    for name, distances in found.items():
        far = np.abs(distances - found[first]).max()
        say(f"{name}: mean {distances.mean():.9f}, largest difference from {first} {far:.1e}")


if __name__ == "__main__":
    main()
