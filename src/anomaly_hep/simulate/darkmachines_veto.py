"""Early veto: drops events that can hardly be in a channel before the costly part of Pythia.

At a shower scale of some 20 GeV the hard jets are there, decays of W, Z, t and new particles are
decided, and their products follow from the resonances' momenta. What that loses is measured in
docs/how-to/simulate.md. Units: GeV.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from anomaly_hep.simulate import jets

INVISIBLE = (12, 14, 16, 52, 1000022)
_LEPTONS = (11, 13, 15)
_ESCAPING = (13, 15)  # muons miss the tracker, taus decay: both may count as missing
_IN_JETS = (1, 2, 3, 4, 5, 21, 11, 22, 15)  # electrons and photons are jets where not isolated
_RADIUS = 0.4
_MAX_ABS_ETA = 3.0  # of jets and leptons, a little beyond that of the objects


class Momentum(NamedTuple):
    """A particle's |PDG code| and momentum."""

    code: int
    px: float
    py: float
    pz: float
    e: float

    @property
    def pt(self) -> float:
        """Transverse momentum."""
        return math.hypot(self.px, self.py)

    @property
    def central(self) -> bool:
        """Whether the particle flies to where objects are looked for."""
        return abs(self.pz) < math.sinh(_MAX_ABS_ETA) * self.pt


@dataclass
class ChannelVeto:
    """What an event must have when its shower reaches `scale`; all bounds below the channel's.

    `min_ht` and `min_jets` of `jet_pt`, one of `leading_pt`, count quarks, gluons, photons,
    electrons and taus; `min_met` the sum of what is invisible, plus the pT of muons and taus;
    `min_leptons` those above `lepton_pt`.
    """

    scale: float
    min_ht: float = 0.0
    min_met: float = 0.0
    min_jets: int = 0
    jet_pt: float = 0.0
    leading_pt: float = 0.0
    min_leptons: int = 0
    lepton_pt: float = 0.0

    def wrong_process(self, process: Any) -> bool:
        """Return whether the decays have too few leptons, or nothing that can be missing."""
        if not self.min_leptons and not self.min_met:
            return False
        final = [process[i] for i in range(process.size())]
        codes = [abs(p.id()) for p in final if p.status() > 0]
        leptons = sum(code in _LEPTONS for code in codes)
        missing = any(code in INVISIBLE or code in _ESCAPING for code in codes)
        return leptons < self.min_leptons or (self.min_met > 0 and not missing)

    def hopeless(self, process: Any, event: Any) -> bool:
        """Return whether the event is far from the channel's selection."""
        products = list(showered(process, event))
        leptons = [p for p in products if p.code in _LEPTONS and p.central]
        if sum(p.pt > self.lepton_pt for p in leptons) < self.min_leptons:
            return True
        if self.min_met and _missing(products) < self.min_met:
            return True
        partons = [p for p in products if p.code in _IN_JETS and p.central]
        if sum(p.pt for p in partons) < self.min_ht:
            return True
        if not self.min_jets:
            return False
        found = jets.transverse_momenta([p[1:] for p in partons], radius=_RADIUS)
        return sum(pt > self.jet_pt for pt in found) < self.min_jets or (
            max(found, default=0.0) < self.leading_pt
        )


def _missing(products: list[Momentum]) -> float:
    unseen = [p for p in products if p.code in INVISIBLE]
    escaping = sum(p.pt for p in products if p.code in _ESCAPING)
    return math.hypot(sum(p.px for p in unseen), sum(p.py for p in unseen)) + escaping


def showered(process: Any, event: Any) -> Iterator[Momentum]:
    """Yield the partons of the shower, resonances replaced by their decay products.

    Pythia decays resonances before the shower, in `process`, and adds the products to `event` after
    it; until then `event` has the resonance with the momentum that radiation left it.
    """
    decayed = {
        i: process[i]
        for i in range(process.size())
        if process[i].status() == -22 and process[process[i].mother1()].status() != -22
    }
    for i in range(event.size()):
        after = event[i]
        if after.status() <= 0:
            continue
        code = after.id()
        same = [k for k, before in decayed.items() if before.id() == code]
        if not same:
            yield Momentum(abs(code), after.px(), after.py(), after.pz(), after.e())
            continue
        # radiation changes phi by far less than the distance between two such resonances
        phi = after.phi()
        number = min(same, key=lambda k: abs(math.remainder(decayed[k].phi() - phi, 2 * math.pi)))
        before = decayed.pop(number)
        boost = _Boost.between(before, after)
        for product in _products(process, number):
            yield boost.moved(product)


def _products(process: Any, resonance: int) -> Iterator[Any]:
    """Yield the last products of a resonance's decays."""
    waiting = [resonance]
    while waiting:
        parent = process[waiting.pop()]
        for child in range(parent.daughter1(), parent.daughter2() + 1):
            if process[child].status() > 0:
                yield process[child]
            else:
                waiting.append(child)


@dataclass(frozen=True)
class _Boost:
    """The boost between two momenta of one mass, computed as in Pythia."""

    beta: tuple[float, float, float]
    gamma: float

    @staticmethod
    def between(before: Any, after: Any) -> _Boost:
        energy = before.e() + after.e()
        half = [
            (y - x) / energy
            for x, y in (
                (before.px(), after.px()),
                (before.py(), after.py()),
                (before.pz(), after.pz()),
            )
        ]
        factor = 2 / (1 + sum(b * b for b in half))
        x, y, z = (factor * b for b in half)
        return _Boost((x, y, z), 1 / math.sqrt(1 - x * x - y * y - z * z))

    def moved(self, product: Any) -> Momentum:
        p, energy = (product.px(), product.py(), product.pz()), product.e()
        along = sum(b * x for b, x in zip(self.beta, p, strict=True))
        shift = self.gamma * (self.gamma * along / (1 + self.gamma) + energy)
        x, y, z = (v + shift * b for v, b in zip(p, self.beta, strict=True))
        return Momentum(abs(product.id()), x, y, z, self.gamma * (energy + along))
