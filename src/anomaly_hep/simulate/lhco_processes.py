"""The classes of LHC-Olympics-like events as Pythia processes: multijets and five resonances.

Masses are the challenge's (arXiv:2101.08320). Units: GeV. Nothing heavy is imported here, since
productions need the names before workers start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from anomaly_hep.simulate.resonances import GRAVITON, graviton, product, resonance

BACKGROUND_TRUTH = 0


@dataclass(frozen=True)
class Signal:
    """A resonance: its name, its truth in files and masterkeys, Pythia's settings.

    `share` is relative to the other signals of its class.
    """

    name: str
    truth: int
    settings: tuple[str, ...]
    share: float = 1.0


@dataclass(frozen=True)
class Composition:
    """What the files of a class hold: background, signals, or both where it is a black box.

    The truth of a black box is not in its files; it is in their masterkeys, if there is a signal.
    """

    signals: tuple[Signal, ...] = ()
    black_box: bool = False


MULTIJETS = ("HardQCD:all = on",)
# Of what decays to particles that users define, Pythia computes the cross-section for W' alone: its
# Z' sums over the fermions that it knows, and would vanish.
_RESONANCE, _HEAVY, _LIGHT, _EXCITED_GLUON = 34, 9000001, 9000002, 9000003
_WIDTH = 0.01  # of the heavy resonances over their masses


def _pair(mass: float, heavy: float, light: float, *, prongs: int) -> tuple[str, ...]:
    """W' to two particles, of which each decays to two or, violating baryon number, three quarks.

    The light one is charged, as a W' needs; nothing else depends on that.
    """
    if prongs == 2:
        heavy_names, heavy_decay, light_decay = "X0 void", "1 -1", "2 -1"
    else:
        heavy_names, heavy_decay, light_decay = "X0 X0bar", "2 1 1", "2 2 1"
    return (
        "NewGaugeBoson:ffbar2Wprime = on",
        *resonance(_RESONANCE, mass, width=_WIDTH),
        *product(_HEAVY, heavy_names, "1 0 0", heavy, {heavy_decay: 1}),
        *product(_LIGHT, "Y+ Y-", "1 3 0", light, {light_decay: 1}),
        f"{_RESONANCE}:oneChannel = 1 1.0 100 {_HEAVY} {_LIGHT}",
    )


_DIJET = (*graviton(4200, width=_WIDTH), f"{GRAVITON}:onMode = off", f"{GRAVITON}:onIfAny = 1 2 3")
_TRIJET = (
    *graviton(4200, width=_WIDTH),
    *product(_EXCITED_GLUON, "gKK void", "3 0 2", 2217, {"1 -1": 1}),
    f"{GRAVITON}:oneChannel = 1 1.0 100 21 {_EXCITED_GLUON}",
)
CLASSES: Mapping[str, Composition] = {
    "QCD": Composition(),
    "two_prong": Composition((Signal("two_prong", 1, _pair(3500, 500, 100, prongs=2)),)),
    "three_prong": Composition((Signal("three_prong", 1, _pair(3500, 500, 100, prongs=3)),)),
    "BlackBox1": Composition(
        (Signal("BlackBox1", 1, _pair(3823, 732, 378, prongs=2)),), black_box=True
    ),
    "BlackBox2": Composition(black_box=True),
    # as many events as published: 1200 of two jets, 2000 of three
    "BlackBox3": Composition(
        (
            Signal("BlackBox3_dijet", 1, _DIJET, 1200),
            Signal("BlackBox3_trijet", 2, _TRIJET, 2000),
        ),
        black_box=True,
    ),
}
PREFIXES: Mapping[str, str] = {label: label for label in CLASSES}
