"""Simulate the events of one file of a Dark-Machines-like channel, with their weights.

A background file has all processes in fixed shares of its events. The weights of a process sum to
the events that it has in the file's integrated luminosity: cross-section times the efficiency of
the selection, both estimated from this file. Units: GeV, fb.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anomaly_hep.simulate.counts import EventCounts, next_batch
from anomaly_hep.simulate.darkmachines_objects import Cuts, Objects, reconstruct
from anomaly_hep.simulate.darkmachines_processes import CHANNELS, INVISIBLE, MISMEASURED
from anomaly_hep.simulate.darkmachines_selection import Selection
from anomaly_hep.simulate.darkmachines_veto import ChannelVeto
from anomaly_hep.simulate.detector import Detector
from anomaly_hep.simulate.generator import MAX_SEED, Generator
from anomaly_hep.simulate.simulator import PythiaTime
from anomaly_hep.simulate.vectors import direction, transverse
from anomaly_hep.types import Events


@dataclass
class Counts(EventCounts):
    """Numbers of events at each step."""

    events_selected: int = 0
    events_cut: int = 0


@dataclass(frozen=True)
class Part:
    """One process of a file: its share of the events, Pythia's settings and the early veto."""

    process: str
    share: float
    settings: tuple[str, ...]
    slha: str | None
    branching: float
    veto: ChannelVeto | None


class Simulation:
    """Simulates one file: its processes one after another, each with a seed of its own."""

    def __init__(
        self,
        parts: Sequence[Part],
        seed: Sequence[int],
        *,
        luminosity: float,
        detector: Detector,
        selection: Selection,
        cuts: Cuts,
    ) -> None:
        self._parts, self._luminosity = parts, luminosity
        self._detector, self._selection, self._cuts = detector, selection, cuts
        self._seeds = np.random.SeedSequence(list(seed))
        self.counts, self.generator = Counts(), PythiaTime()

    def parts(self, number: int, batch: int) -> Iterator[Events]:
        """Yield all `number` events at once, shuffled: weights need the whole file."""
        numbers = _shared(number, [part.share for part in self._parts])
        seeds = self._seeds.spawn(len(self._parts) + 1)
        made = [
            self._events_of(part, wanted, batch, seed)
            for part, wanted, seed in zip(self._parts, numbers, seeds, strict=False)
            if wanted
        ]
        events = Events.concatenate(made)
        order = np.random.default_rng(seeds[-1]).permutation(len(events))
        shuffled = events.take(order)
        yield Events(
            shuffled.lengths,
            shuffled.particles,
            {"event": np.arange(1, number + 1), **shuffled.events},
        )

    def _events_of(
        self, part: Part, number: int, batch: int, seed: np.random.SeedSequence
    ) -> Events:
        """Return `number` selected events of one process."""
        rng = np.random.default_rng(seed)
        generator = _generator(part, int(rng.integers(1, MAX_SEED + 1)))
        made, selected, tried = [], 0, 0
        while selected < number:
            size = next_batch(batch, number - selected, generator.generated, selected)
            particles = generator.batch(size)
            seen = self._detector.measure(particles, rng)
            objects = reconstruct(seen, particles, self._cuts, rng)
            passed = np.flatnonzero(self._selection.passes(objects))
            passed = passed[: number - selected]
            selected += len(passed)
            tried = generator.generated
            if selected == number and len(passed):
                tried += int(passed[-1]) + 1 - len(particles.lengths)
            self.counts.events_cut += int((objects.cut[passed] > 0).sum())
            made.append(_as_events(objects, part.process).take(passed))
        self._count(generator, number)
        # the last try ends with a selected event, so that number / tried would be too high
        efficiency = (number - 1) / (tried - 1) if number > 1 else number / tried
        seen_fb = generator.cross_section * part.branching * efficiency
        weight = seen_fb * self._luminosity / number
        events = Events.concatenate(made)
        weights = np.full(number, weight)
        return Events(events.lengths, events.particles, {**events.events, "weight": weights})

    def _count(self, generator: Generator, selected: int) -> None:
        self.generator.seconds += generator.seconds
        self.counts.events_vetoed += generator.vetoed
        self.counts.events_generated += generator.generated
        self.counts.events_skipped += generator.skipped
        self.counts.events_selected += selected


def _shared(number: int, shares: Sequence[float]) -> list[int]:
    """Return whole numbers in these shares that sum to `number`."""
    edges = np.rint(number * np.cumsum([0.0, *shares])).astype(int)
    numbers: list[int] = np.diff(edges).tolist()
    return numbers


def _generator(part: Part, seed: int) -> Generator:
    """Start Pythia, which reads a spectrum from a file alone and only when it starts."""
    if part.slha is None:
        return Generator(part.settings, seed, veto=part.veto)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "spectrum.slha"
        path.write_text(part.slha, encoding="ascii")
        return Generator([*part.settings, f"SLHA:file = {path}"], seed, veto=part.veto)


def _as_events(objects: Objects, process: str) -> Events:
    """Return the columns of the files, without event numbers and weights."""
    axis, missing = direction(objects.momentum), objects.missing
    number = len(objects.lengths)
    return Events(
        objects.lengths,
        {
            "obj_type": objects.code,
            "obj_energy": objects.momentum[3].astype(np.float32),
            "obj_pt": transverse(objects.momentum).astype(np.float32),
            "obj_eta": axis.eta.astype(np.float32),
            "obj_phi": axis.phi.astype(np.float32),
        },
        {
            "process": np.full(number, process),
            "met": transverse(missing).astype(np.float32),
            "met_phi": np.arctan2(missing[1], missing[0]).astype(np.float32),
        },
    )


def simulation(task: Mapping[str, Any]) -> Simulation:
    """Return the simulation described by a task of a production."""
    parts = [
        Part(
            process=part["process"],
            share=part["share"],
            settings=(*part["settings"], *task["settings"]),
            slha=part["slha"],
            branching=part["branching"],
            veto=_veto(task["veto"], part["missing"]),
        )
        for part in task["parts"]
    ]
    return Simulation(
        parts,
        # every channel has other events
        (task["seed"], CHANNELS.index(task["channel"])),
        luminosity=task["luminosity"],
        detector=Detector(**task["detector"]),
        selection=Selection(**task["selection"]),
        cuts=Cuts(**task["objects"]),
    )


def _veto(bounds: Mapping[str, Any] | None, missing: str) -> ChannelVeto | None:
    """Return the veto for events whose missing momentum is of this kind."""
    if bounds is None:
        return None
    asked = {name: bound for name, bound in bounds.items() if name != "min_ht_mismeasured"}
    if missing != INVISIBLE:
        asked["min_met"] = 0.0
    if missing == MISMEASURED:
        # what is missing was in jets
        asked["min_ht"] = bounds["min_ht_mismeasured"]
    return ChannelVeto(**asked)
