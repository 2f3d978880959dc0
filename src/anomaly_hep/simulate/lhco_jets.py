"""Features of the two leading jets of LHC-Olympics-like events, as in the challenge's own files.

Units: GeV, radians.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64, Int64

from anomaly_hep.simulate import jets
from anomaly_hep.simulate.vectors import transverse
from anomaly_hep.types import Events, members

RADIUS = 1.0  # of anti-kT
MIN_PT = 20.0  # of a jet, GeV


def features(events: Events) -> dict[str, Float32[np.ndarray, " event"]]:
    """Return momentum, mass and N-subjettiness (tau1 to tau3) of the two jets of highest pT.

    Named as in the published files, pxj1 to tau3j2. N-subjettiness has R0 = 1 and beta = 1. All
    features of a jet that an event lacks are 0.
    """
    momentum = momenta(events)
    found = jets.cluster(momentum, events.lengths, radius=RADIUS, min_pt=MIN_PT)
    columns: dict[str, np.ndarray] = {}
    for rank, (event, jet) in enumerate(leading(found, len(events), 2), start=1):
        size, rows = members(found.lengths, jet)
        tau, _ = jets.substructure(momentum[:, found.constituents[rows]], size, radius=RADIUS)
        own = found.momentum[:, jet]
        mass = np.sqrt(np.maximum(own[3] ** 2 - (own[:3] ** 2).sum(axis=0), 0.0))
        for name, values in zip(
            ("px", "py", "pz", "m", "tau1", "tau2", "tau3"),
            (*own[:3], mass, *tau.T[:3]),
            strict=True,
        ):
            column = np.zeros(len(events), np.float32)
            column[event] = values
            columns[f"{name}j{rank}"] = column
    return columns


def momenta(events: Events) -> Float64[np.ndarray, "4 particle"]:
    """Return (px, py, pz, E) of all particles, without mass."""
    pt, eta, phi = (
        events.particles[f"part_{name}"].astype(np.float64) for name in ("pt", "eta", "phi")
    )
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)])


def leading(
    found: jets.Jets, number: int, most: int
) -> list[tuple[Int64[np.ndarray, " event"], Int64[np.ndarray, " event"]]]:
    """Return, for each rank by pT, the events that have so many jets, and that jet of each."""
    order = np.lexsort((-transverse(found.momentum), found.event))
    lengths = np.bincount(found.event, minlength=number)
    first = np.cumsum(lengths) - lengths
    ranks = []
    for rank in range(most):
        event = np.flatnonzero(lengths > rank)
        ranks.append((event, order[first[event] + rank]))
    return ranks
