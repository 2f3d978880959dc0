"""Simulate detector images of QCD, SUEP and semivisible jets, with the preselection.

The preselection is that of arXiv:2306.12955: HT > 500 GeV. Units: GeV.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from anomaly_hep.simulate import images, jets, thermal
from anomaly_hep.simulate.calorimeter import Hits, Towers, deposits, transverse_energies
from anomaly_hep.simulate.counts import EventCounts, next_batch
from anomaly_hep.simulate.detector import Candidates, Detector
from anomaly_hep.simulate.generator import Generator, Particles
from anomaly_hep.simulate.htveto import HTVeto
from anomaly_hep.simulate.pileup import PileUp, make_pool
from anomaly_hep.simulate.vectors import direction, transverse
from anomaly_hep.types import Events, members

_SCALAR = 25
_DECAYED = -62  # Pythia's status of a particle that has decayed after hadronisation


@dataclass(frozen=True)
class Selection:
    """The cut on HT of anti-kT jets of `radius` above `min_pt` and within `max_abs_eta`."""

    min_ht: float
    radius: float
    min_pt: float
    max_abs_eta: float

    def ht(self, candidates: Candidates, number: int) -> Float64[np.ndarray, " event"]:
        """Return the scalar sum of jet pT (GeV); jets include leptons and photons."""
        lengths = np.bincount(candidates.event, minlength=number)
        anti_kt = jets.cluster(candidates.momentum, lengths, radius=self.radius, min_pt=self.min_pt)
        central = np.abs(direction(anti_kt.momentum).eta) < self.max_abs_eta
        pt = transverse(anti_kt.momentum) * central
        return np.bincount(anti_kt.event, pt, number).astype(np.float64)


@dataclass
class Counts(EventCounts):
    """Numbers of events at each step."""

    events_selected: int = 0


class Simulation:
    """Simulates images of one class, batch after batch, from one seed."""

    def __init__(
        self,
        settings: list[str],
        seed: int,
        *,
        label: int,
        mass: float,
        dark: thermal.Dark | None,
        detector: Detector,
        selection: Selection,
        veto: HTVeto | None,
        pile_up: PileUp | None,
    ) -> None:
        self.label, self.mass, self.dark = label, mass, dark
        self.detector, self.selection, self._pile_up = detector, selection, pile_up
        self.counts = Counts()
        self.generator = Generator(settings, seed, veto=veto)
        self._rng = np.random.default_rng(seed)

    def parts(self, number: int, batch: int) -> Iterator[Events]:
        """Yield `number` events in parts, from batches of at most `batch` generated ones."""
        while number > 0:
            counts = self.counts
            size = next_batch(batch, number, counts.events_generated, counts.events_selected)
            events = self._images_of(self.generator.batch(size))
            self.counts.follow(self.generator)
            yield events.take(np.arange(min(number, len(events))))
            number -= len(events)

    def _images_of(self, particles: Particles) -> Events:
        if self.dark is not None:
            particles = with_dark_shower(particles, self.dark, self._rng)
        readout = self.detector.read_out(particles, self._rng)
        ht = self.selection.ht(readout.candidates, len(particles.lengths))
        selected = np.flatnonzero(ht > self.selection.min_ht)
        self.counts.events_selected += len(selected)
        rows, event = _of_selected(readout.hits.event, selected)
        hits = replace(readout.hits.take(rows), event=event)
        ecal, hcal = self._calorimeters(hits, len(selected))
        return images.as_events(
            hits, readout.track_pt[rows], ecal, hcal,
            number=len(selected), label=self.label, mass=self.mass,
        )  # fmt: skip

    def _calorimeters(self, hits: Hits, number: int) -> list[Towers]:
        layers = self.detector.layers
        deposited = [deposits(layer, hits) for layer in layers]
        if self._pile_up is not None:
            pool = make_pool(self._pile_up, (layers[0], self.detector.hcal))
            overlay = pool.choose(number, self._pile_up.mean, self._rng)
            deposited = [pool.add(layers[i], i, deposited[i], overlay) for i in range(len(layers))]
        return [
            transverse_energies(layer, towers, self._rng)
            for layer, towers in zip(layers, deposited, strict=True)
        ]


def with_dark_shower(
    particles: Particles, dark: thermal.Dark, rng: np.random.Generator
) -> Particles:
    """Return the batch with the scalar of each event decayed; its products come last.

    Every event must have exactly one scalar, as Pythia was told not to decay it.
    """
    rows = np.flatnonzero((particles.pid == _SCALAR) & particles.final)
    events = particles.event[rows]
    assert np.array_equal(events, np.arange(len(particles.lengths)))
    products = thermal.decay(particles.momentum[:, rows], dark, rng)
    status = particles.status.copy()
    status[rows] = _DECAYED
    number = len(products.pid)
    none = np.zeros(number, np.int64)
    event = np.concatenate([particles.event, products.event])
    order = np.argsort(event, kind="stable")
    return Particles(
        lengths=np.bincount(event, minlength=len(particles.lengths)).astype(np.int64),
        pid=np.concatenate([particles.pid, products.pid])[order],
        status=np.concatenate([status, none + 1])[order],
        daughter1=np.concatenate([particles.daughter1, none])[order],
        daughter2=np.concatenate([particles.daughter2, none])[order],
        charge=np.concatenate([particles.charge, products.charge])[order],
        momentum=np.concatenate([particles.momentum, products.momentum], axis=1)[:, order],
        vertex=np.concatenate([particles.vertex, np.zeros((3, number))], axis=1)[:, order],
    )


def _of_selected(
    event: Int64[np.ndarray, " particle"], selected: Int64[np.ndarray, " chosen"]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the selected events, and their new event numbers, from 0 on."""
    number, rows = members(
        np.bincount(event, minlength=int(selected.max(initial=-1)) + 1), selected
    )
    return rows, np.repeat(np.arange(len(selected)), number)


def simulation(task: Mapping[str, Any]) -> Simulation:
    """Return the simulation described by a task of a production."""
    dark, pile_up, veto = task["dark"], task["pile_up"], task["veto"]
    if dark is not None:
        branching = {int(pid): share for pid, share in dark["branching"].items()}
        dark = thermal.Dark(**{**dark, "branching": branching})
    if pile_up is not None:
        pile_up = PileUp(**{**pile_up, "settings": tuple(pile_up["settings"])})
    return Simulation(
        [*task["process"], *task["settings"]],
        task["seed"],
        label=task["label_number"],
        mass=task["mass"],
        dark=dark,
        detector=Detector(**task["detector"], hcal=images.IMAGE_HCAL),
        selection=Selection(**task["selection"]),
        veto=None if veto is None else HTVeto(**veto),
        pile_up=pile_up,
    )
