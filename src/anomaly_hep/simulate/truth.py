"""Generator truth: decays of resonances, and their matching to jets.

Follows the matching of JetClass's own production (jet-universe/jetclass_generation, makeNtuples.C):
a jet is matched to a resonance if every visible parton of the decay is within R of the jet axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from anomaly_hep.simulate.generator import Particles
from anomaly_hep.simulate.vectors import Direction, direction, distance

_NEUTRINOS = (12, 14, 16)
_CHARGED_LEPTONS = (11, 13, 15)
# intermediate particles, replaced by their decay products
_UNSTABLE = (6, 23, 24, 25)


@dataclass(frozen=True, eq=False)
class Decays:
    """Decays of one kind of resonance in a batch; rows are positions among all its particles.

    `row` is the last copy of each resonance, after all its radiation. `product` are the rows of the
    visible decay products, `owner` is the position in `row` of each product's resonance.
    """

    row: Int64[np.ndarray, " decay"]
    owner: Int64[np.ndarray, " product"]
    product: Int64[np.ndarray, " product"]


class Family:
    """Look-up of daughters for the particles of a batch."""

    def __init__(self, particles: Particles) -> None:
        self._pid = particles.pid
        first = np.cumsum(particles.lengths) - particles.lengths
        self._first = np.repeat(first, particles.lengths)
        self._daughter1, self._daughter2 = particles.daughter1, particles.daughter2

    def children(
        self, rows: Int64[np.ndarray, " parent"]
    ) -> tuple[Int64[np.ndarray, " child"], Int64[np.ndarray, " child"]]:
        """Return the children of `rows`: the position of each one's parent in `rows`, its row."""
        low, high = self._daughter1[rows], self._daughter2[rows]
        count = np.where(low > 0, np.maximum(high - low, 0) + 1, 0)
        parent = np.repeat(np.arange(len(rows)), count)
        step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return parent, (self._first[rows] + low)[parent] + step

    def copies(
        self, rows: Int64[np.ndarray, " parent"]
    ) -> tuple[Int64[np.ndarray, " copy"], Int64[np.ndarray, " copy"]]:
        """Return the children that are copies of their parents, made by radiation or recoil."""
        parent, child = self.children(rows)
        same = self._pid[child] == self._pid[rows[parent]]
        return parent[same], child[same]

    def last_copies(self, rows: Int64[np.ndarray, " row"]) -> Int64[np.ndarray, " row"]:
        """Follow each particle to its last copy, the one that decays or reaches the detector."""
        rows = rows.copy()
        while True:
            parent, child = self.copies(rows)
            if not parent.size:
                return rows
            rows[parent] = child


def find_decays(particles: Particles, resonance: int) -> Decays:
    """Return the decays of all particles with |PDG code| = `resonance`, one entry per particle."""
    family = Family(particles)
    rows = np.flatnonzero(np.abs(particles.pid) == resonance)
    copied, _ = family.copies(rows)
    rows = np.delete(rows, copied)

    owners, products = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    owner, parents = np.arange(len(rows)), rows
    while parents.size:
        parent, child = family.children(parents)
        owner, code = owner[parent], np.abs(particles.pid[child])
        # leptons radiate photons before they reach the detector; quarks are taken as produced
        lepton = np.isin(code, _CHARGED_LEPTONS)
        visible = ~np.isin(code, (*_UNSTABLE, *_NEUTRINOS))
        owners.append(owner[visible])
        products.append(np.where(lepton, family.last_copies(child), child)[visible])
        unstable = np.isin(code, _UNSTABLE)
        owner, parents = owner[unstable], family.last_copies(child[unstable])
    return Decays(rows, np.concatenate(owners), np.concatenate(products))


def match(
    decays: Decays,
    particles: Particles,
    jet_event: Int64[np.ndarray, " jet"],
    jet_axis: Direction,
    radius: float,
) -> Int64[np.ndarray, " jet"]:
    """Return the position in `decays` of the decay that each jet contains completely, or -1."""
    event = particles.event[decays.row]
    jet, decay = np.nonzero(jet_event[:, None] == event[None, :])
    # one row per pair of a jet and a decay product of a resonance in its event
    pair, product = np.nonzero(decay[:, None] == decays.owner[None, :])
    parton = direction(particles.momentum[:, decays.product[product]])
    outside = distance(parton, jet_axis.at(jet[pair])) >= radius
    complete = np.bincount(pair, outside, len(jet)) == 0
    result = np.full(len(jet_event), -1)
    result[jet[complete]] = decay[complete]
    return result


def holds(decays: Decays, particles: Particles, pid: int) -> Bool[np.ndarray, " decay"]:
    """Return which decays have a visible product with |PDG code| = `pid`."""
    selected = np.abs(particles.pid[decays.product]) == pid
    result: np.ndarray = np.bincount(decays.owner, selected, len(decays.row)) > 0
    return result
