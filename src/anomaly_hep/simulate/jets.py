"""FastJet: clustering, soft drop and N-subjettiness of whole batches.

The only file that imports fastjet. Units: GeV, radians.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import awkward as ak
import fastjet
import numpy as np
from jaxtyping import Float64, Int64

_COMPONENTS = ("px", "py", "pz", "E")
_Z_CUT = 0.1  # of soft drop
_RECLUSTERING = 4.0  # times the radius, so that each jet is reclustered into a single jet


@dataclass(frozen=True, eq=False)
class Jets:
    """Jets of a batch, grouped by event.

    `momentum` is (px, py, pz, E); `constituents` has `lengths` positions of particles for each jet.
    """

    event: Int64[np.ndarray, " jet"]
    momentum: Float64[np.ndarray, "4 jet"]
    lengths: Int64[np.ndarray, " jet"]
    constituents: Int64[np.ndarray, " constituent"]


def cluster(
    momentum: Float64[np.ndarray, "4 particle"],
    lengths: Int64[np.ndarray, " event"],
    *,
    radius: float,
    min_pt: float,
) -> Jets:
    """Return the anti-kT jets above `min_pt` of each event; particles are grouped by event."""
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, radius)
    sequence = _sequence(momentum, lengths, definition)
    jets = sequence.inclusive_jets(min_pt=min_pt)
    members = sequence.constituent_index(min_pt=min_pt)
    event = np.repeat(np.arange(len(lengths)), ak.to_numpy(ak.num(jets.px)))
    sizes = np.asarray(ak.to_numpy(ak.flatten(ak.num(members, axis=2)))).astype(np.int64)
    in_event = np.asarray(ak.to_numpy(ak.flatten(members, axis=None))).astype(np.int64)
    first = np.cumsum(lengths) - lengths
    return Jets(
        event,
        np.stack([ak.to_numpy(ak.flatten(jets[name])) for name in _COMPONENTS]).astype(np.float64),
        sizes,
        in_event + np.repeat(first[event], sizes),
    )


def of_rank(jets: Jets, rank: int) -> Int64[np.ndarray, " chosen"]:
    """Return the jet of each event that has exactly `rank` jets of higher pT, where there is one.

    The jets of an event follow each other, and so do those of all events.
    """
    pt = np.hypot(jets.momentum[0], jets.momentum[1])
    order = np.lexsort((-pt, jets.event))
    first = np.searchsorted(jets.event, jets.event)
    return order[np.arange(len(order)) - first == rank]


def transverse_momenta(momenta: Sequence[Sequence[float]], *, radius: float) -> list[float]:
    """Return the pT of the anti-kT jets of one event; momenta are (px, py, pz, E)."""
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, radius)
    particles = [fastjet.PseudoJet(*p) for p in momenta]
    return [jet.pt() for jet in fastjet.ClusterSequence(particles, definition).inclusive_jets()]


def substructure(
    momentum: Float64[np.ndarray, "4 constituent"],
    lengths: Int64[np.ndarray, " jet"],
    *,
    radius: float,
) -> tuple[Float64[np.ndarray, "jet 4"], Float64[np.ndarray, " jet"]]:
    """Return tau1 to tau4 and the soft-drop mass of jets given by their constituents.

    N-subjettiness: one-pass kT axes, normalised measure, beta 1, R0 = radius. Soft drop: beta 0,
    z_cut 0.1 on the jet reclustered with Cambridge/Aachen. tau_N is 0 with at most N constituents.
    """
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, _RECLUSTERING * radius)
    tau = subjettiness(momentum, lengths, radius=radius, number=4)
    ends = np.cumsum(lengths)
    rows = momentum.T.tolist()
    mass = [
        _soft_drop_mass(rows[first:last], definition)
        for first, last in zip(ends - lengths, ends, strict=True)
    ]
    return tau, np.array(mass, np.float64)


def subjettiness(
    momentum: Float64[np.ndarray, "4 constituent"],
    lengths: Int64[np.ndarray, " jet"],
    *,
    radius: float,
    number: int,
    normalized: bool = True,
) -> Float64[np.ndarray, "jet tau"]:
    """Return tau1 to tau_`number` of jets given by their constituents: one-pass kT axes, beta 1.

    Not normalised, tau is the sum of pT times the distance to the nearest axis, in GeV; normalised,
    it is divided by the jet's sum of pT times `radius`. tau_N is 0 with at most N constituents.
    """
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, _RECLUSTERING * radius)
    tau = _sequence(momentum, lengths, definition).njettiness(
        measure_definition="NormalizedMeasure" if normalized else "UnnormalizedMeasure",
        axes_definition="OnePass_KT_Axes",
        njets=list(range(1, number + 1)),
        beta=1.0,
        R0=radius,
    )
    return np.asarray(ak.to_numpy(tau)).astype(np.float64)


def _soft_drop_mass(constituents: Sequence[Sequence[float]], definition: Any) -> float:
    # FastJet's own grooming of arrays gives the same numbers but takes five times as long
    sequence = fastjet.ClusterSequence([fastjet.PseudoJet(*p) for p in constituents], definition)
    (jet,) = sequence.inclusive_jets()
    one, other = fastjet.PseudoJet(), fastjet.PseudoJet()
    while jet.has_parents(one, other):
        if min(one.pt(), other.pt()) > _Z_CUT * (one.pt() + other.pt()):
            break
        jet = fastjet.PseudoJet(one if one.pt() > other.pt() else other)
    # by rounding, m^2 of a massless jet can be negative, for which FastJet returns -sqrt(-m^2)
    return max(float(jet.m()), 0.0)


def _sequence(momentum: np.ndarray, lengths: np.ndarray, definition: Any) -> Any:
    flat = ak.zip(dict(zip(_COMPONENTS, momentum, strict=True)))
    return fastjet.ClusterSequence(ak.unflatten(flat, lengths), definition)
