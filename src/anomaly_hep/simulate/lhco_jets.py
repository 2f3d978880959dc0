"""The two leading jets of LHC Olympics events: their momenta, masses and N-subjettiness.

Anti-kT, R = 1.0, as in the published files of features; momenta, masses and tau in GeV.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64, Int64

from anomaly_hep.formats import lhco_features
from anomaly_hep.simulate.jets import Jets, cluster, subjettiness
from anomaly_hep.types import Events, members

COLUMNS = ("part_pt", "part_eta", "part_phi")  # that `features` needs
FORMAT = lhco_features  # what keeps them
RADIUS = 1.0
MIN_PT = 20.0  # GeV; the leading jet of the challenge's events has above 1200
_TAUS = 3


def features(events: Events) -> dict[str, Float32[np.ndarray, " event"]]:
    """Return pxj1, pyj1, pzj1, mj1, tau1j1, tau2j1, tau3j1, the same of j2, and mjj; float32, GeV.

    All are zeros for a jet that an event does not have. Particles are massless.
    """
    momentum = _massless(events)
    jets = cluster(momentum, events.lengths, radius=RADIUS, min_pt=MIN_PT)
    found = {}
    for rank in (0, 1):
        chosen = _of_rank(jets, rank)
        for name, values in _quantities(momentum, jets, chosen).items():
            column = np.zeros(len(events), np.float32)
            column[jets.event[chosen]] = values
            found[f"{name}j{rank + 1}"] = column
    return {**found, "mjj": lhco_features.dijet_mass(found)}


def _massless(events: Events) -> Float64[np.ndarray, "4 particle"]:
    pt, eta, phi = (events.particles[name].astype(np.float64) for name in COLUMNS)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)])


def _of_rank(jets: Jets, rank: int) -> Int64[np.ndarray, " chosen"]:
    """Return the jet of each event that has exactly `rank` jets of higher pT, where there is one.

    The jets of an event follow each other, and so do those of all events.
    """
    pt = np.hypot(jets.momentum[0], jets.momentum[1])
    order = np.lexsort((-pt, jets.event))
    first = np.searchsorted(jets.event, jets.event)
    return order[np.arange(len(order)) - first == rank]


def _quantities(
    momentum: Float64[np.ndarray, "4 particle"], jets: Jets, chosen: Int64[np.ndarray, " chosen"]
) -> dict[str, Float64[np.ndarray, " chosen"]]:
    lengths, flat = members(jets.lengths, chosen)
    px, py, pz, energy = jets.momentum[:, chosen]
    squared = energy**2 - px**2 - py**2 - pz**2
    tau = np.zeros((0, _TAUS))
    if len(chosen):
        inside = momentum[:, jets.constituents[flat]]
        tau = subjettiness(inside, lengths, radius=RADIUS, number=_TAUS, normalized=False)
    return {
        "px": px,
        "py": py,
        "pz": pz,
        "m": np.sqrt(np.maximum(squared, 0)),
        **{f"tau{n + 1}": tau[:, n] for n in range(_TAUS)},
    }
