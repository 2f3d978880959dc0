"""The classes of boosted jets as Pythia processes: multijets, top quarks, stealth bosons.

A stealth boson S decays to two pseudo-scalars A, and each A to two quarks, so that its jet has four
prongs (arXiv:1705.07885). Units: GeV. Nothing heavy is imported here, since productions need the
names before workers start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from anomaly_hep.simulate.resonances import GRAVITON, graviton, product

STEALTH, PSEUDOSCALAR = 9000011, 9000012
QUARKS = {"1 -1": 0.2, "2 -2": 0.2, "5 -5": 0.6}  # shares of the pseudo-scalar's decays
_WIDTH, _LOWEST = 0.15, 0.6  # of the graviton over its mass: jets of a broad range of pT


@dataclass(frozen=True)
class Process:
    """The Pythia settings of one class.

    `scattering`: two partons scatter, with a lower bound on their pT. `shaped`: jets are kept with
    a probability that gives them the pT spectrum of another class. `vetoed`: partons tell, before
    Pythia finishes an event, whether its jets can pass.
    """

    settings: tuple[str, ...]
    scattering: bool = False
    shaped: bool = False
    vetoed: bool = False


def _stealth(mass: float, pseudoscalar: float, parent: float) -> Process:
    """Return the decay of a graviton to two stealth bosons: hadrons alone, no leptons."""
    return Process((
        *graviton(parent, width=_WIDTH, lowest=_LOWEST),
        *product(STEALTH, "S0 void", "1 0 0", mass, {f"{PSEUDOSCALAR} {PSEUDOSCALAR}": 1}),
        *product(PSEUDOSCALAR, "A0 void", "1 0 0", pseudoscalar, QUARKS),
        f"{GRAVITON}:oneChannel = 1 1.0 100 {STEALTH} {STEALTH}",
    ))  # fmt: skip


_MULTIJETS = ("HardQCD:all = on",)
_TOPS = (
    "Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off", "24:onIfAny = 1 2 3 4 5",
)  # fmt: skip
PROCESSES: Mapping[str, Process] = {
    "QCD": Process(_MULTIJETS, scattering=True, vetoed=True),
    "top": Process(_TOPS, scattering=True, vetoed=True),
    # the graviton's mass gives these jets the pT of multijets ...
    "StealthB80": _stealth(80, 30, 1200),
    # ... which would be too little for a boson of 400 GeV: its quarks would not be in one jet
    "StealthB400": _stealth(400, 80, 2200),
    "QCD_boosted": Process(_MULTIJETS, scattering=True, shaped=True, vetoed=True),
}
PREFIXES: Mapping[str, str] = {label: label for label in PROCESSES}
