"""JetClass-like jets: ten processes, selection, truth labels and the 41 branches.

Leading-order Pythia for what JetClass made with MadGraph; the rest follows JetClass's published
production (jet-universe/jetclass_generation). Units: GeV, mm, radians.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64

from anomaly_hep.formats.jetclass import LABEL_BRANCHES, LABELS
from anomaly_hep.simulate import jets as fast_jets
from anomaly_hep.simulate import truth
from anomaly_hep.simulate.detector import Candidates, Detector
from anomaly_hep.simulate.generator import Generator, Particles
from anomaly_hep.simulate.jets import Jets
from anomaly_hep.simulate.processes import PROCESSES
from anomaly_hep.types import Events

KINDS = ("ChargedHadron", "NeutralHadron", "Photon", "Electron", "Muon")  # as in detector.py


@dataclass(frozen=True)
class Selection:
    """Which jets are kept: radius of the anti-kT jets, bounds on pT (GeV) and |eta|."""

    radius: float = 0.8
    min_pt: float = 500.0
    max_pt: float = 1000.0
    max_abs_eta: float = 2.0


@dataclass
class Counts:
    """What happened on the way from events to jets."""

    events_generated: int = 0
    events_skipped: int = 0
    processes_vetoed: int = 0
    jets_in_acceptance: int = 0
    jets_accepted: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


def make_batch(
    label: str,
    particles: Particles,
    detector: Detector,
    selection: Selection,
    rng: np.random.Generator,
) -> tuple[Events, int]:
    """Return the class's jets of a batch, and how many jets in acceptance failed the matching."""
    candidates = detector.measure(particles, rng)
    lengths = np.bincount(candidates.event, minlength=len(particles.lengths))
    found = fast_jets.cluster(
        candidates.px, candidates.py, candidates.pz, candidates.energy, lengths,
        radius=selection.radius, min_pt=selection.min_pt,
    )  # fmt: skip
    inside = np.flatnonzero(
        (found.pt > selection.min_pt)
        & (found.pt < selection.max_pt)
        & (np.abs(found.eta) < selection.max_abs_eta)
    )
    chosen, auxiliary = _matched(label, particles, found, inside, selection.radius)
    return _events(label, candidates, found, chosen, auxiliary, selection.radius), len(
        inside
    ) - len(chosen)


def _matched(
    label: str, particles: Particles, found: Jets, inside: np.ndarray, radius: float
) -> tuple[Int64[np.ndarray, " chosen"], dict[str, np.ndarray]]:
    """Return the jets that hold their resonance's decay, and the truth branches."""
    resonance = PROCESSES[label].resonance
    if resonance is None:
        # JetClass keeps every jet of this sample and leaves the truth branches empty
        zero = np.zeros(len(inside))
        names = ("pt", "eta", "phi", "pid")
        truth_match = np.full(len(inside), _TRUTH_MATCH[label])
        return inside, {f"aux_genpart_{n}": zero for n in names} | {"aux_truth_match": truth_match}
    decays = truth.find_decays(particles, resonance)
    match = truth.match(
        decays, particles, found.event[inside], found.eta[inside], found.phi[inside], radius
    )
    chosen, decay = inside[match >= 0], match[match >= 0]
    row = decays.row[decay]
    px, py, pz = particles.px[row], particles.py[row], particles.pz[row]
    pt = np.hypot(px, py)
    return chosen, {
        "aux_genpart_pt": pt,
        "aux_genpart_eta": np.arcsinh(pz / pt),
        "aux_genpart_phi": np.arctan2(py, px),
        "aux_genpart_pid": particles.pid[row],
        "aux_truth_match": _truth_match(label, particles, decays)[decay],
    }


# JetClass's codes of what a jet was matched to; flavour refines some of them
_TRUTH_MATCH = {"QCD": 50, "Hbb": 41, "Hcc": 42, "Hgg": 44, "H4q": 45, "Hqql": 46,
                "Zqq": 33, "Wqq": 22, "Tbqq": 12, "Tbl": 16}  # fmt: skip
_HEAVIER = {"Zqq": ((5, 31), (4, 32)), "Wqq": ((4, 21),), "Tbqq": ((4, 11),), "Tbl": ((11, 15),)}


def _truth_match(
    label: str, particles: Particles, decays: truth.Decays
) -> Int64[np.ndarray, " decay"]:
    codes = np.full(len(decays.row), _TRUTH_MATCH[label])
    for pid, code in _HEAVIER.get(label, ()):
        codes[truth.holds(decays, particles, (pid,))] = code
    return codes


def _events(
    label: str,
    candidates: Candidates,
    found: Jets,
    chosen: np.ndarray,
    auxiliary: Mapping[str, np.ndarray],
    radius: float,
) -> Events:
    lengths, rows = found.constituents_of(chosen)
    jet = np.repeat(np.arange(len(chosen)), lengths)
    # file order is descending pT within each jet
    pt = np.hypot(candidates.px, candidates.py)
    rows = rows[np.lexsort((-pt[rows], jet))]
    parts = candidates.take(rows)
    jet_eta, jet_phi = found.eta[chosen], found.phi[chosen]
    eta, phi = np.arcsinh(parts.pz / pt[rows]), np.arctan2(parts.py, parts.px)
    particles = {
        "part_px": parts.px,
        "part_py": parts.py,
        "part_pz": parts.pz,
        "part_energy": parts.energy,
        "part_deta": np.where(jet_eta > 0, 1.0, -1.0)[jet] * (eta - jet_eta[jet]),
        "part_dphi": np.mod(phi - jet_phi[jet] + np.pi, 2 * np.pi) - np.pi,
        "part_d0val": parts.d0,
        "part_d0err": parts.d0_error,
        "part_dzval": parts.dz,
        "part_dzerr": parts.dz_error,
        "part_charge": parts.charge,
    }
    columns = {name: values.astype(np.float32) for name, values in particles.items()}
    columns |= {
        f"part_is{kind}": (parts.kind == i).astype(np.int32) for i, kind in enumerate(KINDS)
    }
    tau, mass = fast_jets.substructure(
        parts.px, parts.py, parts.pz, parts.energy, lengths, radius=radius
    )
    events = {
        "jet_pt": found.pt[chosen],
        "jet_eta": jet_eta,
        "jet_phi": jet_phi,
        "jet_energy": found.energy[chosen],
        "jet_nparticles": lengths,
        "jet_sdmass": mass,
        **{f"jet_tau{i + 1}": tau[:, i] for i in range(4)},
        **auxiliary,
    }
    flags = {
        f"label_{name}": np.full(len(chosen), name == label).astype(LABEL_BRANCHES[f"label_{name}"])
        for name in LABELS
    }
    return Events(
        lengths, columns, {n: np.asarray(v).astype(np.float32) for n, v in events.items()} | flags
    )


def simulate(
    label: str,
    jets: int,
    seed: int,
    settings: Sequence[str],
    detector: Detector,
    selection: Selection,
    *,
    batch: int,
    counts: Counts,
) -> Iterator[Events]:
    """Yield batches of jets of a class until there are `jets` of them; `counts` is filled in."""
    generator = Generator(settings, seed, veto=None)
    rng = np.random.default_rng(seed)
    left = jets
    while left > 0:
        particles = generator.batch(batch)
        events, unmatched = make_batch(label, particles, detector, selection, rng)
        counts.events_generated, counts.events_skipped = generator.generated, generator.skipped
        counts.processes_vetoed = generator.vetoed
        counts.jets_in_acceptance += len(events) + unmatched
        kept = events.take(np.arange(min(left, len(events))))
        counts.jets_accepted += len(kept)
        left -= len(kept)
        yield kept
