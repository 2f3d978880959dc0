"""Objects of Dark-Machines-like events: energy-flow candidates → jets, leptons, photons and MET.

Isolated leptons and photons come first; anti-kT jets are made of all other candidates, so that no
energy counts twice. Units: GeV, radians.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from anomaly_hep.simulate import jets
from anomaly_hep.simulate.detector import ELECTRON, MUON, PHOTON, Candidates
from anomaly_hep.simulate.generator import Particles
from anomaly_hep.simulate.vectors import Direction, direction, distance, transverse
from anomaly_hep.types import members

# codes of the objects in the files; of a lepton, that of the antiparticle is one more
JET, B_JET, ELECTRON_CODE, MUON_CODE, PHOTON_CODE = 1, 2, 3, 5, 7
MOST = 19  # objects of an event


@dataclass(frozen=True)
class Cuts:
    """Bounds of objects: pT (GeV), |eta|; cones of isolation, with the pT of others over its own.

    Tags: the shares of jets with a b hadron, a c hadron and neither that are called b-jets, for
    hadrons above `hadron_pt` within `tag_radius`.
    """

    radius: float
    jet_pt: float
    jet_eta: float
    lepton_pt: float
    lepton_eta: float
    photon_pt: float
    photon_eta: float
    isolation_radius: float
    electron_isolation: float
    muon_isolation: float
    photon_isolation: float
    tag_radius: float
    hadron_pt: float
    b_tag: float
    c_tag: float
    light_tag: float


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of a batch, grouped by event in the order of the files, and missing momentum.

    `cut` counts the objects left out of each event because it had more than MOST.
    """

    lengths: Int64[np.ndarray, " event"]
    code: Int64[np.ndarray, " object"]
    momentum: Float64[np.ndarray, "4 object"]
    missing: Float64[np.ndarray, "2 event"]
    cut: Int64[np.ndarray, " event"]

    @property
    def event(self) -> Int64[np.ndarray, " object"]:
        """Event number of each object, from 0."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)


def reconstruct(
    candidates: Candidates, particles: Particles, cuts: Cuts, rng: np.random.Generator
) -> Objects:
    """Return the objects of a batch; `particles` are the truth that b-tags are drawn from."""
    number = len(particles.lengths)
    code = _isolated(candidates, cuts, number)
    chosen = np.flatnonzero(code)
    rest = candidates.take(np.flatnonzero(code == 0))
    found = jets.cluster(
        rest.momentum,
        np.bincount(rest.event, minlength=number),
        radius=cuts.radius,
        min_pt=cuts.jet_pt,
    )
    central = np.flatnonzero(np.abs(direction(found.momentum).eta) < cuts.jet_eta)
    jet_event, jet_momentum = found.event[central], found.momentum[:, central]
    tagged = _tags(jet_event, direction(jet_momentum), particles, cuts, rng)
    momentum = candidates.momentum[:2]
    missing = [-np.bincount(candidates.event, momentum[i], number) for i in range(2)]
    return _ordered(
        np.concatenate([jet_event, candidates.event[chosen]]),
        np.concatenate([np.where(tagged, B_JET, JET), code[chosen]]),
        np.concatenate([jet_momentum, candidates.momentum[:, chosen]], axis=1),
        np.stack(missing),
    )


def _isolated(candidates: Candidates, cuts: Cuts, number: int) -> Int64[np.ndarray, " candidate"]:
    """Return the code of candidates that are isolated leptons or photons, 0 for all others."""
    pt, axis = transverse(candidates.momentum), direction(candidates.momentum)
    types, positive = candidates.types, candidates.charge > 0
    code, allowed = np.zeros(len(pt), np.int64), np.zeros(len(pt))
    for kind, first, least, eta, isolation in (
        (ELECTRON, ELECTRON_CODE, cuts.lepton_pt, cuts.lepton_eta, cuts.electron_isolation),
        (MUON, MUON_CODE, cuts.lepton_pt, cuts.lepton_eta, cuts.muon_isolation),
        (PHOTON, PHOTON_CODE, cuts.photon_pt, cuts.photon_eta, cuts.photon_isolation),
    ):
        of_kind = (types == kind) & (pt > least) & (np.abs(axis.eta) < eta)
        code[of_kind] = first + positive[of_kind]
        allowed[of_kind] = isolation
    seeds = np.flatnonzero(code)
    lengths = np.bincount(candidates.event, minlength=number)
    sizes, other = members(lengths, candidates.event[seeds])
    seed = np.repeat(seeds, sizes)
    near = distance(axis.at(seed), axis.at(other)) < cuts.isolation_radius
    around = np.bincount(seed, pt[other] * (near & (seed != other)), len(pt))
    return np.where(around < allowed * pt, code, 0)


def _tags(
    event: Int64[np.ndarray, " jet"],
    axis: Direction,
    particles: Particles,
    cuts: Cuts,
    rng: np.random.Generator,
) -> Bool[np.ndarray, " jet"]:
    """Draw which jets are called b-jets, by the heaviest hadron near each one's axis."""
    share = np.full(len(event), cuts.light_tag)
    for flavour, of_flavour in ((4, cuts.c_tag), (5, cuts.b_tag)):
        rows = hadrons(particles.pid, flavour)
        rows = rows[transverse(particles.momentum[:, rows]) > cuts.hadron_pt]
        of_event = np.bincount(particles.event[rows], minlength=len(particles.lengths))
        sizes, other = members(of_event, event)
        near = distance(
            axis.at(np.repeat(np.arange(len(event)), sizes)),
            direction(particles.momentum[:, rows]).at(other),
        )
        jet = np.repeat(np.arange(len(event)), sizes)[near < cuts.tag_radius]
        share[jet] = of_flavour
    tagged: np.ndarray = rng.random(len(event)) < share
    return tagged


def hadrons(pid: Int64[np.ndarray, " particle"], flavour: int) -> Int64[np.ndarray, " hadron"]:
    """Return the rows of hadrons whose heaviest quark is `flavour` (4 or 5), by PDG numbering."""
    code = np.abs(pid) % 10_000
    heaviest = np.where(code >= 1000, code // 1000, code // 100)
    # a diquark has no third quark, so a 0 in its second last digit
    hadron = (np.abs(pid) < 1_000_000) & (code // 10 % 10 > 0)
    return np.flatnonzero((heaviest == flavour) & hadron)


def _ordered(
    event: Int64[np.ndarray, " object"],
    code: Int64[np.ndarray, " object"],
    momentum: Float64[np.ndarray, "4 object"],
    missing: Float64[np.ndarray, "2 event"],
) -> Objects:
    """Keep the MOST objects of highest pT of each event; jets first, then leptons and photons."""
    number, pt = missing.shape[1], transverse(momentum)
    by_pt = np.lexsort((-pt, event))
    lengths = np.bincount(event, minlength=number)
    rank = np.arange(len(event)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    kept = by_pt[rank < MOST]
    # jets and b-jets are one kind, electrons and positrons another
    order = kept[np.lexsort((-pt[kept], (code[kept] + 1) // 2, event[kept]))]
    stored = np.minimum(lengths, MOST)
    return Objects(stored, code[order], momentum[:, order], missing, lengths - stored)
