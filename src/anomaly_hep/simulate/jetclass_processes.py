"""The ten classes of JetClass as leading-order Pythia processes (JetClass used MadGraph)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_INVISIBLE_Z = ("23:onMode = off", "23:onIfAny = 12 14 16")
_HADRONIC_W = ("24:onMode = off", "24:onIfAny = 1 2 3 4 5")
_HIGGS = ("HiggsSM:ffbar2HZ = on", "25:m0 = 125.", *_INVISIBLE_Z, "25:onMode = off")
_TOP = ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off")


@dataclass(frozen=True)
class Process:
    """The Pythia settings of one class, and the resonance whose jets are kept.

    `resonance` is the |PDG code| of the particle that a jet must contain (None: all jets are kept),
    `charged_leptons` the number in its decay, for decays that Pythia's settings cannot select.
    """

    settings: tuple[str, ...]
    resonance: int | None = None
    charged_leptons: int | None = None


PROCESSES: Mapping[str, Process] = {
    "QCD": Process((
        "WeakBosonAndParton:qqbar2gmZg = on", "WeakBosonAndParton:qg2gmZq = on",
        "WeakZ0:gmZmode = 2", *_INVISIBLE_Z,
    )),
    "Hbb": Process((*_HIGGS, "25:onIfMatch = 5 -5"), 25),
    "Hcc": Process((*_HIGGS, "25:onIfMatch = 4 -4"), 25),
    "Hgg": Process((*_HIGGS, "25:onIfMatch = 21 21"), 25),
    "H4q": Process((*_HIGGS, "25:onIfMatch = 24 -24", *_HADRONIC_W), 25),
    "Hqql": Process((
        *_HIGGS, "25:onIfMatch = 24 -24", "24:onMode = off", "24:onIfAny = 1 2 3 4 5 11 13",
    ), 25, charged_leptons=1),
    # both Z bosons of an event give a jet; in JetClass the second decays to neutrinos
    "Zqq": Process((
        "WeakDoubleBoson:ffbar2gmZgmZ = on", "WeakZ0:gmZmode = 2",
        "23:onMode = off", "23:onIfAny = 1 2 3 4 5",
    ), 23),
    "Wqq": Process((
        "WeakDoubleBoson:ffbar2ZW = on", "WeakZ0:gmZmode = 2", *_INVISIBLE_Z, *_HADRONIC_W,
    ), 24),
    "Tbqq": Process((*_TOP, "24:onIfAny = 1 2 3 4 5"), 6),
    "Tbl": Process((*_TOP, "24:onIfAny = 11 13"), 6),
}  # fmt: skip

# beginnings of the published files' names
PREFIXES = {
    "QCD": "ZJetsToNuNu",
    "Hbb": "HToBB",
    "Hcc": "HToCC",
    "Hgg": "HToGG",
    "H4q": "HToWW4Q",
    "Hqql": "HToWW2Q1L",
    "Zqq": "ZToQQ",
    "Wqq": "WToQQ",
    "Tbqq": "TTBar",
    "Tbl": "TTBarLep",
}
