"""FastJet: clustering, soft drop and N-subjettiness of whole batches; the only file that knows it.

Units: GeV, radians.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import awkward as ak
import fastjet
import numpy as np
import vector
from jaxtyping import Float64, Int64

vector.register_awkward()


@dataclass(frozen=True, eq=False)
class Jets:
    """Jets of a batch, by event; `constituents` are rows of the particles that were clustered."""

    event: Int64[np.ndarray, " jet"]
    px: Float64[np.ndarray, " jet"]
    py: Float64[np.ndarray, " jet"]
    pz: Float64[np.ndarray, " jet"]
    energy: Float64[np.ndarray, " jet"]
    lengths: Int64[np.ndarray, " jet"]
    constituents: Int64[np.ndarray, " constituent"]

    @property
    def pt(self) -> Float64[np.ndarray, " jet"]:
        """Transverse momentum in GeV."""
        return np.hypot(self.px, self.py)

    @property
    def eta(self) -> Float64[np.ndarray, " jet"]:
        """Pseudorapidity."""
        return np.arcsinh(self.pz / self.pt)

    @property
    def phi(self) -> Float64[np.ndarray, " jet"]:
        """Azimuth in (-pi, pi]."""
        return np.arctan2(self.py, self.px)

    def constituents_of(
        self, index: Int64[np.ndarray, " chosen"]
    ) -> tuple[Int64[np.ndarray, " chosen"], Int64[np.ndarray, " constituent"]]:
        """Return how many constituents the jets `index` have, and which, jet after jet."""
        lengths = self.lengths[index]
        first = (np.cumsum(self.lengths) - self.lengths)[index]
        inside = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return lengths, self.constituents[np.repeat(first, lengths) + inside]


def cluster(
    px: Float64[np.ndarray, " particle"],
    py: Float64[np.ndarray, " particle"],
    pz: Float64[np.ndarray, " particle"],
    energy: Float64[np.ndarray, " particle"],
    lengths: Int64[np.ndarray, " event"],
    *,
    radius: float,
    min_pt: float,
) -> Jets:
    """Return the anti-kT jets above `min_pt` (GeV) of each event; the particles are by event."""
    sequence = _sequence(px, py, pz, energy, lengths, fastjet.antikt_algorithm, radius)
    jets = sequence.inclusive_jets(min_pt=min_pt)
    members = sequence.constituent_index(min_pt=min_pt)
    event = np.repeat(np.arange(len(lengths)), ak.to_numpy(ak.num(jets.px)))
    sizes = ak.to_numpy(ak.flatten(ak.num(members, axis=2))).astype(np.int64)
    first = np.cumsum(lengths) - lengths
    local = ak.to_numpy(ak.flatten(members, axis=None)).astype(np.int64)
    return Jets(
        event,
        *(
            ak.to_numpy(ak.flatten(jets[name])).astype(np.float64)
            for name in ("px", "py", "pz", "E")
        ),
        lengths=sizes,
        constituents=local + np.repeat(first[event], sizes),
    )


def substructure(
    px: Float64[np.ndarray, " constituent"],
    py: Float64[np.ndarray, " constituent"],
    pz: Float64[np.ndarray, " constituent"],
    energy: Float64[np.ndarray, " constituent"],
    lengths: Int64[np.ndarray, " jet"],
    *,
    radius: float,
) -> tuple[Float64[np.ndarray, "jet 4"], Float64[np.ndarray, " jet"]]:
    """Return tau1 to tau4 and the soft-drop mass (GeV) of jets given by their constituents.

    N-subjettiness: one-pass kT axes, normalised measure, beta 1, R0 = radius. Soft drop: beta 0,
    z_cut 0.1 on the jet reclustered with Cambridge/Aachen. tau_N is 0 with at most N constituents.
    """
    # wider than the jet, so that each jet is one Cambridge/Aachen jet again
    sequence = _sequence(px, py, pz, energy, lengths, fastjet.cambridge_algorithm, 4 * radius)
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
    mass = ak.to_numpy(groomed.msoftdrop).astype(np.float64)
    # rounding makes the mass of a single massless particle the root of a negative number
    return ak.to_numpy(tau).astype(np.float64), np.nan_to_num(np.maximum(mass, 0.0))


def _sequence(
    px: np.ndarray,
    py: np.ndarray,
    pz: np.ndarray,
    energy: np.ndarray,
    lengths: np.ndarray,
    algorithm: Any,
    radius: float,
) -> Any:
    flat = ak.zip({"px": px, "py": py, "pz": pz, "E": energy}, with_name="Momentum4D")
    return fastjet.ClusterSequence(
        ak.unflatten(flat, lengths), fastjet.JetDefinition(algorithm, radius)
    )
