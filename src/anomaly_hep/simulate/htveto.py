"""Early veto on HT: drops events whose partons are far too soft before the costly part of Pythia.

When the shower has evolved down to a few GeV, the scalar sum of parton pT is nearly an upper bound
on the HT of jets. The efficiency loss is measured in docs/how-to/simulate.md. Units: GeV.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

_GLUON, _PHOTON, _SCALAR = 21, 22, 25


@dataclass
class HTVeto:
    """Requires `min_ht` of partons within `max_abs_eta` when the shower reaches `scale`.

    An undecayed scalar counts with its transverse mass: its products hardly have more HT.
    """

    scale: float
    min_ht: float
    max_abs_eta: float

    def wrong_process(self, process: Any) -> bool:
        """Keep every hard process."""
        del process
        return False

    def hopeless(self, process: Any, event: Any) -> bool:
        """Return whether the partons' HT is below the bound."""
        del process
        slope = math.sinh(self.max_abs_eta)
        total = 0.0
        for i in range(event.size()):
            particle = event[i]
            if particle.status() <= 0:
                continue
            code = abs(particle.id())
            if code == _SCALAR:
                total += particle.mT()
            elif code < 6 or code in (_GLUON, _PHOTON):
                pt = particle.pT()
                if abs(particle.pz()) < slope * pt:
                    total += pt
        return total < self.min_ht
