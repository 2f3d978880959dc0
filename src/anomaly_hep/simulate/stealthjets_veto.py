"""Early veto: drops events whose hardest jet cannot pass, before the costly part of Pythia.

When the shower is down to some 10 GeV, the jets' momenta are known to a few per cent; softer
multiparton interactions, which take most of the time, come later. The small loss of jets is
measured in docs/how-to/simulate.md. Units: GeV.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from anomaly_hep.simulate.partons import RADIATED, Parton, cones
from anomaly_hep.simulate.stealthjets_spectrum import Spectrum, uniform

_TOP = 6  # has not decayed when the veto looks, and counts with the momentum that it has
_HARDEST = 50.0  # GeV, of partons that may be the axis of a jet
SCATTERED = 5  # row of the first outgoing parton of the hard scattering in Pythia's records


@dataclass(frozen=True)
class Margins:
    """What partons within `cone` must have when the shower reaches `scale`.

    These are less than the selection asks of jets: a pT of `min_pt`. The pT of jets is taken to be
    within a share `margin` of it where the spectrum is shaped.
    """

    scale: float
    cone: float
    min_pt: float
    margin: float


class LeadingJetVeto:
    """Asks for a hard jet and, with a spectrum, for one that the spectrum may keep."""

    def __init__(self, margins: Margins, spectrum: Spectrum | None) -> None:
        self._margins, self._spectrum = margins, spectrum
        self.scale = margins.scale

    def wrong_process(self, process: Any) -> bool:
        """Keep every hard process."""
        del process
        return False

    def hopeless(self, process: Any, event: Any) -> bool:
        """Return whether the hardest jet of the event cannot be selected."""
        pt = max((jet.pt for jet in self._jets(event)), default=0.0)
        if pt < self._margins.min_pt:
            return True
        if self._spectrum is None:
            return False
        outgoing = process[SCATTERED]
        chance = self._spectrum.highest(pt, outgoing.pT(), self._margins.margin)
        number = uniform(np.array([outgoing.px()]), np.array([outgoing.py()]))
        return bool(number[0] >= chance)

    def _jets(self, event: Any) -> Iterator[Parton]:
        partons = [
            Parton.of(p.px(), p.py(), p.pz())
            for i in range(event.size())
            if (p := event[i]).status() > 0 and (abs(p.id()) in RADIATED or abs(p.id()) == _TOP)
        ]
        for seed in partons:
            if seed.pt > _HARDEST:
                yield from cones(seed, partons, self._margins.cone)
