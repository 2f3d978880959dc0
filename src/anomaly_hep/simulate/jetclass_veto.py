"""Early veto: drops events whose jets cannot pass the selection before the costly part of Pythia.

When the shower has evolved down to about 10 GeV, 0.5 ms into the 6 ms of an event, jet momenta are
known to a few per cent: softer multiparton interactions, which take most of the time, add some GeV.
Events that miss the selection by a wide margin are dropped here. The small loss of jets is measured
in docs/how-to/simulate.md. Units: GeV, radians.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from anomaly_hep.simulate.jetclass_processes import Process
from anomaly_hep.simulate.partons import RADIATED, Parton, cones, total

_NEUTRINOS = (12, 14, 16)
_UNSTABLE = (6, 23, 24, 25)
_CHARGED_LEPTONS = (11, 13, 15)
_PRODUCED = -22  # Pythia's status of a resonance of the hard process that has decayed


@dataclass(frozen=True)
class Margins:
    """The window for parton-level jets, wider than the selection.

    `scale` is the shower scale of the veto; `min_pt`, `max_pt` and `max_abs_eta` bound the momentum
    sum within `cone` of the jet axis, `spread` bounds the distance of decay products from it.
    """

    scale: float
    cone: float
    min_pt: float
    max_pt: float
    max_abs_eta: float
    spread: float


class KinematicVeto:
    """The veto for one class of jets; with `margins` None it only drops wrong decays."""

    def __init__(self, process: Process, margins: Margins | None) -> None:
        self._process, self._margins = process, margins
        self.scale = 0.0 if margins is None else margins.scale

    def wrong_process(self, process: Any) -> bool:
        """Return whether no resonance decays to the class's number of charged leptons."""
        wanted = self._process.charged_leptons
        if wanted is None:
            return False
        return not any(
            sum(abs(process[d].id()) in _CHARGED_LEPTONS for d in _products(process, i)) == wanted
            for i in self._resonances(process)
        )

    def hopeless(self, process: Any, event: Any) -> bool:
        """Return whether no jet of the event is near the selection."""
        if self._margins is None:
            return False
        return not any(self._passes(jet, parts) for jet, parts in self._jets(process, event))

    def _passes(self, jet: Parton, parts: list[Parton]) -> bool:
        margins = self._margins
        assert margins is not None
        return (
            margins.min_pt < jet.pt < margins.max_pt
            and abs(jet.eta) < margins.max_abs_eta
            and all(part.distance(jet) < margins.spread for part in parts)
        )

    def _jets(self, process: Any, event: Any) -> Iterator[tuple[Parton, list[Parton]]]:
        """Yield parton-level jets (several axes are tried for each) and their decay products."""
        final = [p for i in range(event.size()) if (p := event[i]).status() > 0]
        partons = [Parton.of(p.px(), p.py(), p.pz()) for p in final if abs(p.id()) in RADIATED]
        if self._process.resonance is None:
            for seed in partons:
                if seed.pt > 50.0:
                    for jet in self._cones(seed, partons):
                        yield jet, []
            return
        showered = [p for p in final if abs(p.id()) == self._process.resonance]
        for i in self._resonances(process):
            before = process[i]
            same = [p for p in showered if p.id() == before.id()]
            if not same:
                continue
            # radiation changes phi by far less than the distance between two such resonances
            after = min(
                same, key=lambda p: abs(math.remainder(p.phi() - before.phi(), 2 * math.pi))
            )
            parts = [moved(process[d], before, after) for d in _products(process, i)]
            for jet in self._cones(total(parts), partons + parts):
                yield jet, parts

    def _cones(self, axis: Parton, partons: list[Parton]) -> Iterator[Parton]:
        """Yield the sum of momenta in a cone around the axis, then around the axis of that sum."""
        assert self._margins is not None
        return cones(axis, partons, self._margins.cone)

    def _resonances(self, process: Any) -> list[int]:
        code = self._process.resonance
        return [
            i
            for i in range(process.size())
            if process[i].status() == _PRODUCED and abs(process[i].id()) == code
        ]


def _products(process: Any, resonance: int) -> list[int]:
    """Return the visible decay products in the hard process, through intermediate W, Z and t."""
    products, waiting = [], [resonance]
    while waiting:
        parent = process[waiting.pop()]
        for child in range(parent.daughter1(), parent.daughter2() + 1):
            code = abs(process[child].id())
            if code in _UNSTABLE:
                waiting.append(child)
            elif code not in _NEUTRINOS:
                products.append(child)
    return products


def moved(product: Any, before: Any, after: Any) -> Parton:
    """Return a decay product after the shower changed the momentum of its resonance.

    It gets the boost that takes the resonance from `before` to `after`, computed as in Pythia from
    the difference of the momenta over the sum of the energies.
    """
    energy = before.e() + after.e()
    half = [(getattr(after, c)() - getattr(before, c)()) / energy for c in ("px", "py", "pz")]
    factor = 2 / (1 + sum(b * b for b in half))
    beta = [factor * b for b in half]
    gamma = 1 / math.sqrt(1 - sum(b * b for b in beta))
    p = (product.px(), product.py(), product.pz())
    along = sum(b * x for b, x in zip(beta, p, strict=True))
    shift = gamma * (gamma * along / (1 + gamma) + product.e())
    return Parton.of(*(x + shift * b for x, b in zip(p, beta, strict=True)))
