"""Event records written by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anomaly_hep.simulate.generator import Particles

MASSES = {11: 0.000511, 13: 0.10566, 22: 0.0, 111: 0.13498, 130: 0.49761, 211: 0.13957,
          310: 0.49761, 2112: 0.93957, 2212: 0.93827, 5: 4.8, 24: 80.4, 6: 172.5}  # fmt: skip
CHARGES = {11: -1, 13: -1, 211: 1, 2212: 1}


@dataclass
class Particle:
    """One line of a record; final unless it has daughters."""

    pid: int
    pt: float
    eta: float = 0.0
    phi: float = 0.0
    vertex: tuple[float, float, float] = (0.0, 0.0, 0.0)
    daughters: tuple[int, int] = (0, 0)


def record(*events: Sequence[Particle]) -> Particles:
    """Return a batch of events of these particles."""
    flat = [particle for event in events for particle in event]
    pid = np.array([p.pid for p in flat], np.int64)
    pt, eta, phi = (np.array([getattr(p, n) for p in flat], float) for n in ("pt", "eta", "phi"))
    mass = np.array([MASSES.get(abs(p.pid), 0.0) for p in flat])
    charge = [np.sign(p.pid) * CHARGES.get(abs(p.pid), 0) for p in flat]
    p3 = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])
    final = np.array([p.daughters == (0, 0) for p in flat])
    return Particles(
        lengths=np.array([len(event) for event in events], np.int64),
        pid=pid,
        status=np.where(final, 1, -22).astype(np.int64),
        daughter1=np.array([p.daughters[0] for p in flat], np.int64),
        daughter2=np.array([p.daughters[1] for p in flat], np.int64),
        charge=np.array(charge, np.float64),
        momentum=np.concatenate([p3, [np.sqrt((p3**2).sum(axis=0) + mass**2)]]),
        vertex=np.array([p.vertex for p in flat], np.float64).reshape(-1, 3).T,
    )


class Entry:
    """One particle of a record while Pythia still makes it; speaks as Pythia's particles do."""

    def __init__(
        self, pid: int, pt: float, eta: float = 0.0, phi: float = 0.0, *, mass: float = 0.0,
        status: int = 23, daughters: tuple[int, int] = (0, 0),
    ) -> None:  # fmt: skip
        self._pid, self._status, self._daughters, self._mass = pid, status, daughters, mass
        self._p = (pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta))
        self._e = math.sqrt(sum(p * p for p in self._p) + mass**2)

    def id(self) -> int:
        return self._pid

    def status(self) -> int:
        return self._status

    def daughter1(self) -> int:
        return self._daughters[0]

    def daughter2(self) -> int:
        return self._daughters[1]

    def px(self) -> float:
        return self._p[0]

    def py(self) -> float:
        return self._p[1]

    def pz(self) -> float:
        return self._p[2]

    def e(self) -> float:
        return self._e

    def m(self) -> float:
        return self._mass

    def pT(self) -> float:  # noqa: N802 - Pythia's name
        return math.hypot(self._p[0], self._p[1])

    def phi(self) -> float:
        return math.atan2(self._p[1], self._p[0])


class Record(list[Entry]):
    """A record while Pythia still makes it."""

    def size(self) -> int:
        return len(self)
