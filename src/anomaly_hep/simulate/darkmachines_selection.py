"""The channels' selections, on the objects that the files hold. Units: GeV."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from anomaly_hep.simulate.darkmachines_objects import B_JET, PHOTON_CODE, Objects
from anomaly_hep.simulate.vectors import transverse


@dataclass(frozen=True)
class Selection:
    """The cuts of one channel.

    HT is the scalar sum of pT of the stored jets and b-jets. `min_jets` of them need `jet_pt`, one
    needs `leading_pt`; leptons are the stored electrons and muons.
    """

    min_ht: float = 0.0
    min_met: float = 0.0
    min_met_over_ht: float = 0.0
    min_jets: int = 0
    jet_pt: float = 0.0
    leading_pt: float = 0.0
    min_leptons: int = 0

    def passes(self, objects: Objects) -> Bool[np.ndarray, " event"]:
        """Return which events the channel has."""
        number, event, pt = len(objects.lengths), objects.event, transverse(objects.momentum)
        jet = objects.code <= B_JET
        lepton = ~jet & (objects.code < PHOTON_CODE)
        ht, met = np.bincount(event, pt * jet, number), transverse(objects.missing)
        hard = np.bincount(event, jet & (pt >= self.jet_pt), number)
        leading = np.bincount(event, jet & (pt >= self.leading_pt), number)
        leptons = np.bincount(event, lepton, number)
        selected: np.ndarray = (
            (ht >= self.min_ht)
            & (met >= self.min_met)
            & (met >= self.min_met_over_ht * ht)
            & (hard >= self.min_jets)
            & ((leading >= 1) | (self.leading_pt <= 0))
            & (leptons >= self.min_leptons)
        )
        return selected
