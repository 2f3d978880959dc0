"""Simulate the events of one file of LHC-Olympics-like events. Units: GeV, radians.

Files of black boxes have background and signals, shuffled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from anomaly_hep.simulate import jets
from anomaly_hep.simulate.counts import next_batch
from anomaly_hep.simulate.detector import Candidates, Detector
from anomaly_hep.simulate.generator import MAX_SEED, Generator
from anomaly_hep.simulate.simulator import PythiaTime
from anomaly_hep.simulate.vectors import direction, transverse
from anomaly_hep.types import Events


@dataclass
class Counts:
    """Numbers of events at each step."""

    events_generated: int = 0
    events_skipped: int = 0
    events_selected: int = 0


@dataclass(frozen=True)
class Part:
    """One process of a file: its truth, its share of the events, Pythia's settings."""

    truth: int
    share: float
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Selection:
    """What an event must have: an anti-kT jet of this radius, pT and |eta|."""

    radius: float
    min_pt: float
    max_abs_eta: float

    def passes(self, candidates: Candidates, number: int) -> Bool[np.ndarray, " event"]:
        """Return which of `number` events are selected."""
        lengths = np.bincount(candidates.event, minlength=number)
        found = jets.cluster(candidates.momentum, lengths, radius=self.radius, min_pt=self.min_pt)
        central = np.abs(direction(found.momentum).eta) < self.max_abs_eta
        passed: np.ndarray = np.bincount(found.event[central], minlength=number) > 0
        return passed


class Simulation:
    """Simulates one file: its processes one after another, each with a seed of its own."""

    def __init__(
        self, parts: Sequence[Part], seed: int, detector: Detector, selection: Selection
    ) -> None:
        self._parts, self._detector, self._selection = parts, detector, selection
        self._seeds = np.random.SeedSequence(seed)
        self.counts, self.generator = Counts(), PythiaTime()

    def parts(self, number: int, batch: int) -> Iterator[Events]:
        """Yield all `number` events at once, shuffled."""
        numbers = shared(number, [part.share for part in self._parts])
        seeds = self._seeds.spawn(len(self._parts) + 1)
        made = [
            self._events_of(part, wanted, batch, seed)
            for part, wanted, seed in zip(self._parts, numbers, seeds, strict=False)
            if wanted
        ]
        order = np.random.default_rng(seeds[-1]).permutation(number)
        yield Events.concatenate(made).take(order)

    def _events_of(
        self, part: Part, number: int, batch: int, seed: np.random.SeedSequence
    ) -> Events:
        """Return `number` selected events of one process."""
        rng = np.random.default_rng(seed)
        generator = Generator(part.settings, int(rng.integers(1, MAX_SEED + 1)))
        made, selected = [], 0
        while selected < number:
            size = next_batch(batch, number - selected, generator.generated, selected)
            particles = generator.batch(size)
            seen = self._detector.measure(particles, rng)
            passed = np.flatnonzero(self._selection.passes(seen, len(particles.lengths)))
            passed = passed[: number - selected]
            selected += len(passed)
            made.append(as_events(seen, len(particles.lengths), part.truth).take(passed))
        self.generator.seconds += generator.seconds
        self.counts.events_generated += generator.generated
        self.counts.events_skipped += generator.skipped
        self.counts.events_selected += number
        return Events.concatenate(made)


def shared(number: int, shares: Sequence[float]) -> list[int]:
    """Return whole numbers in the proportion of `shares` that sum to `number`."""
    edges = np.rint(number * np.cumsum([0.0, *shares]) / sum(shares)).astype(int)
    numbers: list[int] = np.diff(edges).tolist()
    return numbers


def as_events(candidates: Candidates, number: int, truth: int) -> Events:
    """Return the columns of the files: candidates without mass, in the detector's order."""
    axis = direction(candidates.momentum)
    return Events(
        np.bincount(candidates.event, minlength=number),
        {
            "part_pt": transverse(candidates.momentum).astype(np.float32),
            "part_eta": axis.eta.astype(np.float32),
            "part_phi": axis.phi.astype(np.float32),
        },
        {"truth": np.full(number, truth, np.int64)},
    )


def simulation(task: Mapping[str, Any]) -> Simulation:
    """Return the simulation described by a task of a production."""
    parts = [
        Part(part["truth"], part["share"], (*part["settings"], *task["settings"]))
        for part in task["parts"]
    ]
    return Simulation(
        parts, task["seed"], Detector(**task["detector"]), Selection(**task["selection"])
    )
