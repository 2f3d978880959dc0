"""Simulate the hardest jet of each event, with its constituents. Units: GeV, radians."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from anomaly_hep.simulate.counts import EventCounts, next_batch
from anomaly_hep.simulate.detector import Candidates, Detector
from anomaly_hep.simulate.generator import Generator, Particles
from anomaly_hep.simulate.jets import Jets, cluster, of_rank
from anomaly_hep.simulate.stealthjets_spectrum import Spectrum, uniform
from anomaly_hep.simulate.stealthjets_veto import SCATTERED, LeadingJetVeto, Margins
from anomaly_hep.simulate.vectors import direction, transverse
from anomaly_hep.types import Events, members


@dataclass(frozen=True)
class Selection:
    """What the hardest anti-kT jet of an event must be; `max_constituents` of it are written."""

    radius: float
    min_pt: float
    max_abs_eta: float
    max_constituents: int


@dataclass
class Counts(EventCounts):
    """Numbers of events and jets at each step.

    `probability_above_1`: jets that a shaped spectrum should have kept more than once.
    `jets_cut`: jets that lost their softest constituents.
    """

    jets_in_acceptance: int = 0
    jets_selected: int = 0
    probability_above_1: int = 0
    jets_cut: int = 0


class Simulation:
    """Simulates jets of one class, batch after batch, from one seed."""

    def __init__(
        self,
        settings: Sequence[str],
        seed: int,
        detector: Detector,
        selection: Selection,
        *,
        spectrum: Spectrum | None,
        veto: LeadingJetVeto | None,
    ) -> None:
        self.detector, self.selection, self.spectrum = detector, selection, spectrum
        self.counts = Counts()
        self.generator = Generator(settings, seed, veto=veto)
        self._rng = np.random.default_rng(seed)

    def parts(self, number: int, batch: int) -> Iterator[Events]:
        """Yield `number` jets in parts, from batches of at most `batch` events."""
        while number > 0:
            counts = self.counts
            size = next_batch(batch, number, counts.events_generated, counts.jets_selected)
            events = self._jets_of(self.generator.batch(size), number)
            self.counts.follow(self.generator)
            yield events
            number -= len(events)

    def _jets_of(self, particles: Particles, most: int) -> Events:
        candidates = self.detector.measure(particles, self._rng)
        lengths = np.bincount(candidates.event, minlength=len(particles.lengths))
        jets = cluster(
            candidates.momentum, lengths, radius=self.selection.radius, min_pt=self.selection.min_pt
        )
        leading = of_rank(jets, 0)
        central = np.abs(direction(jets.momentum[:, leading]).eta) < self.selection.max_abs_eta
        chosen = leading[central]
        self.counts.jets_in_acceptance += len(chosen)
        chosen = self._shaped(particles, jets, chosen)
        self.counts.jets_selected += len(chosen)
        chosen = chosen[:most]
        self.counts.jets_cut += int((jets.lengths[chosen] > self.selection.max_constituents).sum())
        return as_events(candidates, jets, chosen, self.selection.max_constituents)

    def _shaped(
        self, particles: Particles, jets: Jets, chosen: Int64[np.ndarray, " jet"]
    ) -> Int64[np.ndarray, " kept"]:
        """Return the jets that the wanted spectrum keeps; all without one."""
        if self.spectrum is None:
            return chosen
        first = np.cumsum(particles.lengths) - particles.lengths
        scattered = particles.momentum[:, first[jets.event[chosen]] + SCATTERED]
        pt = transverse(jets.momentum[:, chosen])
        probability = self.spectrum.probability(pt, transverse(scattered))
        self.counts.probability_above_1 += int((probability > 1).sum())
        return chosen[uniform(scattered[0], scattered[1]) < probability]


def as_events(
    candidates: Candidates, jets: Jets, chosen: Int64[np.ndarray, " chosen"], most: int
) -> Events:
    """Return the chosen jets with at most `most` constituents each, by descending pT.

    The jet's own momentum and mass are those of all its constituents.
    """
    lengths, rows = members(jets.lengths, chosen)
    inside = jets.constituents[rows]
    jet = np.repeat(np.arange(len(chosen)), lengths)
    order = np.lexsort((-transverse(candidates.momentum)[inside], jet))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    momentum = candidates.momentum[:, inside[order[rank < most]]]
    axis, direct = direction(jets.momentum[:, chosen]), direction(momentum)
    columns = {
        "jet_pt": transverse(jets.momentum[:, chosen]),
        "jet_eta": axis.eta,
        "jet_phi": axis.phi,
        "jet_mass": mass(jets.momentum[:, chosen]),
    }
    particles = {"part_pt": transverse(momentum), "part_eta": direct.eta, "part_phi": direct.phi}
    return Events(
        np.minimum(lengths, most),
        {name: values.astype(np.float32) for name, values in particles.items()},
        {name: values.astype(np.float32) for name, values in columns.items()},
    )


def mass(momentum: Float64[np.ndarray, "4 jet"]) -> Float64[np.ndarray, " jet"]:
    """Return invariant masses; 0 where rounding makes the square negative."""
    px, py, pz, energy = momentum
    found: np.ndarray = np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0))
    return found


def simulation(task: Mapping[str, Any]) -> Simulation:
    """Return the simulation described by a task of a production."""
    shape, veto = task["spectrum"], task["veto"]
    spectrum = None
    if shape is not None:
        spectrum = Spectrum(**{**shape, "pt": tuple(shape["pt"]), "keep": tuple(shape["keep"])})
    return Simulation(
        [*task["process"], *(spectrum.settings if spectrum else ()), *task["settings"]],
        task["seed"],
        Detector(**task["detector"]),
        Selection(**task["selection"]),
        spectrum=spectrum,
        veto=None if veto is None else LeadingJetVeto(Margins(**veto), spectrum),
    )
