"""The two leading jets of LHC Olympics events: their momenta, masses and N-subjettiness.

Anti-kT, R = 1.0, as in the published files of features; momenta, masses and tau in GeV.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64, Int64

from anomaly_hep.formats import lhco_features
from anomaly_hep.simulate.jets import Jets, cluster, of_rank, subjettiness
from anomaly_hep.types import Events, members

COLUMNS = ("part_pt", "part_eta", "part_phi")  # that `features` needs
FORMAT = lhco_features  # what keeps them
RADIUS = 1.0
MIN_PT = 20.0  # GeV; the leading jet of the challenge's events has above 1200
_TAUS = 3


def features(events: Events) -> dict[str, Float32[np.ndarray, " event"]]:
    """Return pxj1, pyj1, pzj1, mj1, tau1j1, tau2j1, tau3j1 and the same of j2; GeV.

    All are zeros for a jet that an event does not have. Particles are massless.
    """
    momentum = _massless(events)
    jets = cluster(momentum, events.lengths, radius=RADIUS, min_pt=MIN_PT)
    found = {}
    for rank in (0, 1):
        chosen = of_rank(jets, rank)
        for name, values in _quantities(momentum, jets, chosen).items():
            column = np.zeros(len(events), np.float32)
            column[jets.event[chosen]] = values
            found[f"{name}j{rank + 1}"] = column
    return found


def _massless(events: Events) -> Float64[np.ndarray, "4 particle"]:
    pt, eta, phi = (events.particles[name].astype(np.float64) for name in COLUMNS)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)])


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
