"""FastJet: clustering, soft drop and N-subjettiness of whole batches; the only file that knows it.

Units: GeV, radians.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import awkward as ak
import fastjet
import numpy as np
from jaxtyping import Float64, Int64

_COMPONENTS = ("px", "py", "pz", "E")


@dataclass(frozen=True, eq=False)
class Jets:
    """Jets of a batch, by event; `constituents` are columns of what was clustered, jet after jet.

    `momentum` is (px, py, pz, E), `lengths` the number of constituents.
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
    """Return the anti-kT jets above `min_pt` of each event, whose particles follow each other."""
    sequence = _sequence(momentum, lengths, fastjet.antikt_algorithm, radius)
    jets = sequence.inclusive_jets(min_pt=min_pt)
    members = sequence.constituent_index(min_pt=min_pt)
    event = np.repeat(np.arange(len(lengths)), ak.to_numpy(ak.num(jets.px)))
    sizes = np.asarray(ak.to_numpy(ak.flatten(ak.num(members, axis=2)))).astype(np.int64)
    inside = np.asarray(ak.to_numpy(ak.flatten(members, axis=None))).astype(np.int64)
    first = np.cumsum(lengths) - lengths
    return Jets(
        event,
        np.stack([ak.to_numpy(ak.flatten(jets[name])) for name in _COMPONENTS]).astype(np.float64),
        sizes,
        inside + np.repeat(first[event], sizes),
    )


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
    # wider than any jet, so that each jet is one Cambridge/Aachen jet again
    sequence = _sequence(momentum, lengths, fastjet.cambridge_algorithm, 4 * radius)
    tau = sequence.njettiness(
        measure_definition="NormalizedMeasure",
        axes_definition="OnePass_KT_Axes",
        njets=[1, 2, 3, 4],
        beta=1.0,
        R0=radius,
    )
    groomed = sequence.exclusive_jets_softdrop_grooming(
        njets=1, beta=0.0, symmetry_cut=0.1, R0=radius
    )
    mass = np.asarray(ak.to_numpy(groomed.msoftdrop)).astype(np.float64)
    # rounding makes a massless jet's mass the root of a negative number, which FastJet marks by -m
    return np.asarray(ak.to_numpy(tau)).astype(np.float64), np.maximum(mass, 0.0)


def _sequence(momentum: np.ndarray, lengths: np.ndarray, algorithm: Any, radius: float) -> Any:
    flat = ak.zip(dict(zip(_COMPONENTS, momentum, strict=True)))
    return fastjet.ClusterSequence(
        ak.unflatten(flat, lengths), fastjet.JetDefinition(algorithm, radius)
    )
