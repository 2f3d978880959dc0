"""Masses of pairs and triples of objects in Dark-Machines-like events. Units: GeV, radians."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from jaxtyping import Float64

from anomaly_hep.simulate.darkmachines_objects import B_JET, ELECTRON_CODE, JET, MUON_CODE
from anomaly_hep.simulate.vectors import direction, distance
from anomaly_hep.types import Events

_NEAR = 1.5  # two jets of one W of high momentum are closer


def momenta(events: Events) -> Float64[np.ndarray, "4 object"]:
    """Return (px, py, pz, E) of all objects."""
    pt, eta, phi, energy = (
        events.particles[f"obj_{name}"].astype(np.float64)
        for name in ("pt", "eta", "phi", "energy")
    )
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy])


def mass(momentum: Float64[np.ndarray, " component"]) -> float:
    """Return the invariant mass of one momentum (px, py, pz, E)."""
    return math.sqrt(max(float(momentum[3] ** 2 - (momentum[:3] ** 2).sum()), 0.0))


def lepton_pair_masses(events: Events) -> Float64[np.ndarray, " event"]:
    """Return the mass of the hardest e+e- or mu+mu- pair of each event that has one."""
    found = []
    for code, momentum in _by_event(events):
        for negative in (ELECTRON_CODE, MUON_CODE):
            one, other = (np.flatnonzero(code == negative + sign) for sign in (0, 1))
            if len(one) and len(other):
                found.append(mass(momentum[:, one[0]] + momentum[:, other[0]]))
                break
    return np.array(found)


def transverse_masses(events: Events) -> Float64[np.ndarray, " event"]:
    """Return the transverse mass of lepton and MET of the events with exactly one lepton."""
    found = []
    columns = zip(events.events["met"], events.events["met_phi"], _by_event(events), strict=True)
    for met, phi, (code, momentum) in columns:
        leptons = np.flatnonzero((code >= ELECTRON_CODE) & (code <= MUON_CODE + 1))
        if len(leptons) == 1:
            x, y = momentum[:2, leptons[0]]
            along = x * np.cos(phi) + y * np.sin(phi)
            found.append(np.sqrt(max(2 * met * (np.hypot(x, y) - along), 0.0)))
    return np.array(found, np.float64)


def dijet_masses(events: Events) -> Float64[np.ndarray, " event"]:
    """Return the mass of the nearest pair of light jets of each event that has a near one."""
    return np.array([mass(pair) for pair, _, _ in _pairs(events)])


def three_jet_masses(events: Events) -> Float64[np.ndarray, " event"]:
    """Return the mass of those pairs that look like a W, with the b-jet nearest to them."""
    found = []
    for pair, code, momentum in _pairs(events):
        bottom = momentum[:, code == B_JET]
        if bottom.shape[1] and 60 < mass(pair) < 100:
            away = distance(direction(pair[:, None]), direction(bottom))
            found.append(mass(pair + bottom[:, away.argmin()]))
    return np.array(found)


def _pairs(events: Events) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the momentum of the nearest two light jets, and the codes and momenta of all."""
    for code, momentum in _by_event(events):
        light = momentum[:, code == JET]
        one, other = np.triu_indices(light.shape[1], k=1)
        if len(one):
            axis = direction(light)
            away = distance(axis.at(one), axis.at(other))
            nearest = away.argmin()
            if away[nearest] < _NEAR:
                yield light[:, one[nearest]] + light[:, other[nearest]], code, momentum


def _by_event(events: Events) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    momentum, edges = momenta(events), events.offsets
    for first, last in pairwise(edges):
        yield events.particles["obj_type"][first:last], momentum[:, first:last]
