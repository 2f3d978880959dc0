"""Partons of Pythia's record while it is still being made, and the jets that they will become.

Units: GeV, radians.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

# |PDG codes| of what becomes part of jets: photons, too, since quarks sometimes radiate hard ones
RADIATED = frozenset({1, 2, 3, 4, 5, 21, 22})


class Parton(NamedTuple):
    """A momentum with its direction; plain numbers are faster than arrays for so few."""

    px: float
    py: float
    pz: float
    pt: float
    eta: float
    phi: float

    @staticmethod
    def of(px: float, py: float, pz: float) -> Parton:
        """Return the parton with this momentum."""
        pt = math.hypot(px, py)
        return Parton(px, py, pz, pt, math.asinh(pz / max(pt, 1e-9)), math.atan2(py, px))

    def distance(self, other: Parton) -> float:
        """Return Delta R."""
        delta_phi = math.remainder(self.phi - other.phi, 2 * math.pi)
        return math.hypot(self.eta - other.eta, delta_phi)


def total(partons: Sequence[Parton]) -> Parton:
    """Return the sum of momenta."""
    return Parton.of(
        sum(p.px for p in partons), sum(p.py for p in partons), sum(p.pz for p in partons)
    )


def cones(axis: Parton, partons: Sequence[Parton], radius: float) -> Iterator[Parton]:
    """Yield the sum of momenta within `radius` of the axis, then around the axis of that sum."""
    for _ in range(2):
        axis = total([p for p in partons if p.distance(axis) < radius])
        yield axis
