"""Generator truth: which resonances decayed into which partons, and which jets hold all of them.

Follows the matching of JetClass's own production (jet-universe/jetclass_generation, makeNtuples.C):
a jet belongs to a resonance when every visible parton of the decay is within R of the jet axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from anomaly_hep.simulate.generator import Particles

NEUTRINOS = (12, 14, 16)
# intermediate particles whose own decay products count
_UNSTABLE = (6, 23, 24, 25)


@dataclass(frozen=True, eq=False)
class Decays:
    """Decays of one kind of resonance in a batch; rows count through all particles of the batch.

    `row` is the last copy of each resonance, after all its radiation. `product` are the rows of the
    visible decay products, `owner` says to which entry of `row` each belongs.
    """

    row: Int64[np.ndarray, " decay"]
    owner: Int64[np.ndarray, " product"]
    product: Int64[np.ndarray, " product"]


class Family:
    """Daughter look-up for the particles of a batch."""

    def __init__(self, particles: Particles) -> None:
        self.pid = particles.pid
        first = np.cumsum(particles.lengths) - particles.lengths
        self._first = np.repeat(first, particles.lengths)
        self._daughter1, self._daughter2 = particles.daughter1, particles.daughter2

    def children(
        self, rows: Int64[np.ndarray, " parent"]
    ) -> tuple[Int64[np.ndarray, " child"], Int64[np.ndarray, " child"]]:
        """Return, for each child of `rows`, the position of its parent in `rows` and its row."""
        low, high = self._daughter1[rows], self._daughter2[rows]
        count = np.where(low > 0, np.maximum(high - low, 0) + 1, 0)
        parent = np.repeat(np.arange(len(rows)), count)
        step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return parent, (self._first[rows] + low)[parent] + step

    def last_copies(self, rows: Int64[np.ndarray, " copy"]) -> Int64[np.ndarray, " copy"]:
        """Follow each particle through its radiation and recoils to the copy that decays."""
        rows = rows.copy()
        while True:
            parent, child = self.children(rows)
            same = np.flatnonzero(self.pid[child] == self.pid[rows[parent]])
            if not same.size:
                return rows
            # the first copy wins where there are several; assignment keeps the last
            rows[parent[same[::-1]]] = child[same[::-1]]


def find_decays(particles: Particles, resonance: int) -> Decays:
    """Return the decays of all particles with |PDG id| = `resonance`, one entry per particle."""
    family = Family(particles)
    rows = np.flatnonzero(np.abs(particles.pid) == resonance)
    parent, child = family.children(rows)
    copied = np.zeros(len(rows), bool)
    copied[parent[particles.pid[child] == particles.pid[rows[parent]]]] = True
    rows = rows[~copied]

    owners: list[np.ndarray] = []
    products: list[np.ndarray] = []
    owner, front = np.arange(len(rows)), rows
    while front.size:
        parent, child = family.children(front)
        owner, kind = owner[parent], np.abs(particles.pid[child])
        visible = ~np.isin(kind, (*_UNSTABLE, *NEUTRINOS))
        owners.append(owner[visible])
        # leptons radiate photons before they reach the detector, quarks are taken as produced
        lepton = np.isin(kind, (11, 13, 15))
        child = np.where(lepton, family.last_copies(child), child)
        products.append(child[visible])
        again = np.isin(kind, _UNSTABLE)
        owner, front = owner[again], family.last_copies(child[again])
    return Decays(rows, np.concatenate(owners or [rows]), np.concatenate(products or [rows]))


def match(
    decays: Decays,
    particles: Particles,
    jet_event: Int64[np.ndarray, " jet"],
    jet_eta: Float64[np.ndarray, " jet"],
    jet_phi: Float64[np.ndarray, " jet"],
    radius: float,
) -> Int64[np.ndarray, " jet"]:
    """Return the decay that each jet holds completely, as a position in `decays`, or -1."""
    event = particles.event[decays.row]
    jet, decay = np.nonzero(jet_event[:, None] == event[None, :])
    pairs, product = np.nonzero(decay[:, None] == decays.owner[None, :])
    rows = decays.product[product]
    px, py, pz = particles.px[rows], particles.py[rows], particles.pz[rows]
    eta, phi = np.arcsinh(pz / np.hypot(px, py)), np.arctan2(py, px)
    outside = delta_r(eta, phi, jet_eta[jet[pairs]], jet_phi[jet[pairs]]) >= radius
    complete = np.bincount(pairs, outside, len(jet)) == 0
    result = np.full(len(jet_event), -1)
    result[jet[complete]] = decay[complete]
    return result


def delta_r(
    eta1: Float64[np.ndarray, " pair"],
    phi1: Float64[np.ndarray, " pair"],
    eta2: Float64[np.ndarray, " pair"],
    phi2: Float64[np.ndarray, " pair"],
) -> Float64[np.ndarray, " pair"]:
    """Return the distance in (eta, phi)."""
    return np.hypot(eta1 - eta2, np.mod(phi1 - phi2 + np.pi, 2 * np.pi) - np.pi)


def holds(
    decays: Decays, particles: Particles, kinds: tuple[int, ...]
) -> Bool[np.ndarray, " decay"]:
    """Return which decays have a product with |PDG id| in `kinds`."""
    found = np.isin(np.abs(particles.pid[decays.product]), kinds)
    return np.bincount(decays.owner, found, len(decays.row)) > 0
