"""Simulate JetClass-like jets: selection, truth labels and the 41 branches.

The hard processes are Pythia's at leading order instead of MadGraph's; the rest follows JetClass's
published production (jet-universe/jetclass_generation). Units: GeV, mm, radians.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64

from anomaly_hep.formats.jetclass import LABELS, LAYOUT
from anomaly_hep.simulate import jets as fast_jets
from anomaly_hep.simulate import truth
from anomaly_hep.simulate.counts import EventCounts, next_batch
from anomaly_hep.simulate.detector import Candidates, Detector
from anomaly_hep.simulate.generator import Generator, Particles
from anomaly_hep.simulate.jetclass_processes import PROCESSES
from anomaly_hep.simulate.jetclass_veto import KinematicVeto, Margins
from anomaly_hep.simulate.jets import Jets
from anomaly_hep.simulate.vectors import direction, transverse, wrap
from anomaly_hep.types import Events, members

_TYPES = ("ChargedHadron", "NeutralHadron", "Photon", "Electron", "Muon")  # in detector.py's order
# JetClass's aux_truth_match by class, and the codes of decays with heavier quarks or muons
_TRUTH_MATCH = {"QCD": 50, "Hbb": 41, "Hcc": 42, "Hgg": 44, "H4q": 45, "Hqql": 46,
                "Zqq": 33, "Wqq": 22, "Tbqq": 12, "Tbl": 15}  # fmt: skip
_REFINED = {"Zqq": ((4, 32), (5, 31)), "Wqq": ((4, 21),), "Tbqq": ((4, 11),), "Tbl": ((13, 16),)}


@dataclass(frozen=True)
class Selection:
    """The jet selection: radius of the anti-kT jets, bounds on pT and |eta|."""

    radius: float
    min_pt: float
    max_pt: float
    max_abs_eta: float


@dataclass
class Counts(EventCounts):
    """Numbers of events and jets at each step."""

    jets_in_acceptance: int = 0
    jets_matched: int = 0


class Simulation:
    """Simulates jets of one class, batch after batch, from one seed."""

    def __init__(
        self,
        label: str,
        seed: int,
        settings: Sequence[str],
        detector: Detector,
        selection: Selection,
        *,
        veto: Margins | None,
    ) -> None:
        self.label, self.detector, self.selection = label, detector, selection
        self.counts = Counts()
        process = PROCESSES[label]
        self.generator = Generator(
            [*process.settings, *settings], seed, veto=KinematicVeto(process, veto)
        )
        self._rng = np.random.default_rng(seed)

    def parts(self, number: int, batch: int) -> Iterator[Events]:
        """Yield `number` jets in parts, from batches of at most `batch` events."""
        while number > 0:
            counts = self.counts
            size = next_batch(batch, number, counts.events_generated, counts.jets_matched)
            events = self._jets_of(self.generator.batch(size))
            self.counts.follow(self.generator)
            yield events.take(np.arange(min(number, len(events))))
            number -= len(events)

    def _jets_of(self, particles: Particles) -> Events:
        candidates = self.detector.measure(particles, self._rng)
        lengths = np.bincount(candidates.event, minlength=len(particles.lengths))
        anti_kt = fast_jets.cluster(
            candidates.momentum, lengths, radius=self.selection.radius, min_pt=self.selection.min_pt
        )
        accepted = np.flatnonzero(
            (transverse(anti_kt.momentum) < self.selection.max_pt)
            & (np.abs(direction(anti_kt.momentum).eta) < self.selection.max_abs_eta)
        )
        chosen, auxiliary = matched(self.label, particles, anti_kt, accepted, self.selection.radius)
        self.counts.jets_in_acceptance += len(accepted)
        self.counts.jets_matched += len(chosen)
        size, rows = members(anti_kt.lengths, chosen)
        event, momentum = anti_kt.event[chosen], anti_kt.momentum[:, chosen]
        jets = Jets(event, momentum, size, anti_kt.constituents[rows])
        return as_events(self.label, jets, candidates, auxiliary, self.selection.radius)


def simulation(task: Mapping[str, Any]) -> Simulation:
    """Return the simulation described by a task of a production."""
    return Simulation(
        task["label"],
        task["seed"],
        task["settings"],
        Detector(**task["detector"]),
        Selection(**task["selection"]),
        veto=None if task["veto"] is None else Margins(**task["veto"]),
    )


def matched(
    label: str,
    particles: Particles,
    jets: Jets,
    accepted: Int64[np.ndarray, " jet"],
    radius: float,
) -> tuple[Int64[np.ndarray, " chosen"], dict[str, np.ndarray]]:
    """Return the accepted jets that contain a decay of their class, and their truth branches.

    The class without a resonance keeps all jets, with all aux_genpart_* 0, as in JetClass.
    """
    resonance = PROCESSES[label].resonance
    if resonance is None:
        names = ("pt", "eta", "phi", "pid")
        code = np.full(len(accepted), _TRUTH_MATCH[label])
        return accepted, {"aux_truth_match": code} | {
            f"aux_genpart_{name}": np.zeros(len(accepted)) for name in names
        }
    decays = truth.find_decays(particles, resonance)
    codes = np.full(len(decays.row), _TRUTH_MATCH[label])
    for pid, refined in _REFINED.get(label, ()):
        codes[truth.holds(decays, particles, pid)] = refined
    axis = direction(jets.momentum[:, accepted])
    match = truth.match(decays, particles, jets.event[accepted], axis, radius)
    chosen, decay = accepted[match >= 0], match[match >= 0]
    momentum = particles.momentum[:, decays.row[decay]]
    eta, phi = direction(momentum)
    return chosen, {
        "aux_genpart_pt": transverse(momentum),
        "aux_genpart_eta": eta,
        "aux_genpart_phi": phi,
        "aux_genpart_pid": particles.pid[decays.row[decay]],
        "aux_truth_match": codes[decay],
    }


def as_events(
    label: str,
    jets: Jets,
    candidates: Candidates,
    auxiliary: Mapping[str, np.ndarray],
    radius: float,
) -> Events:
    """Return jets in the 41 branches of JetClass, constituents by descending pT."""
    jet = np.repeat(np.arange(len(jets.event)), jets.lengths)
    pt = transverse(candidates.momentum)[jets.constituents]
    parts = candidates.take(jets.constituents[np.lexsort((-pt, jet))])
    axis, (eta, phi) = direction(jets.momentum), direction(parts.momentum)
    px, py, pz, energy = parts.momentum
    d0, d0_error, dz, dz_error = parts.impact
    particles = {
        "part_px": px,
        "part_py": py,
        "part_pz": pz,
        "part_energy": energy,
        "part_deta": np.where(axis.eta > 0, 1.0, -1.0)[jet] * (eta - axis.eta[jet]),
        "part_dphi": wrap(phi - axis.phi[jet]),
        "part_d0val": d0,
        "part_d0err": d0_error,
        "part_dzval": dz,
        "part_dzerr": dz_error,
        "part_charge": parts.charge,
    }
    flags = {f"part_is{name}": parts.types == i for i, name in enumerate(_TYPES)}
    tau, mass = fast_jets.substructure(parts.momentum, jets.lengths, radius=radius)
    events = {
        "jet_pt": transverse(jets.momentum),
        "jet_eta": axis.eta,
        "jet_phi": axis.phi,
        "jet_energy": jets.momentum[3],
        "jet_nparticles": jets.lengths,
        "jet_sdmass": mass,
        **{f"jet_tau{i + 1}": tau[:, i] for i in range(4)},
        **auxiliary,
    }
    labels = {
        f"label_{name}": np.full(len(jets.event), name == label, LAYOUT[f"label_{name}"].dtype)
        for name in LABELS
    }
    return Events(
        jets.lengths,
        {name: values.astype(np.float32) for name, values in particles.items()}
        | {name: values.astype(np.int32) for name, values in flags.items()},
        {name: np.asarray(values).astype(np.float32) for name, values in events.items()} | labels,
    )
