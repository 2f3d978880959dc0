"""What the channels are made of, as Pythia processes: the Standard Model's, and the signals.

Names of processes and signals are the challenge's (arXiv:2105.14027). Units: GeV. Nothing heavy is
imported here, since productions need the names before workers start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from anomaly_hep.simulate.darkmachines_slha import (
    CHARGINO,
    GLUINO,
    NEUTRALINO,
    NEUTRALINO2,
    SQUARKS,
    STOP,
    Decay,
    Spectrum,
)

CHANNELS = ("1", "2a", "2b", "3")
BACKGROUND = "SM"
INVISIBLE, MISMEASURED, EITHER = "invisible", "mismeasured", "either"
# shares of decays to charged leptons, all three together (Particle Data Group, 2022)
_W_TO_LEPTONS, _Z_TO_LEPTONS = 0.3258, 0.1010


@dataclass(frozen=True)
class Process:
    """One process in a channel: its name in the files, and Pythia's settings.

    `branching` is the share of forced decays where Pythia's cross-section is without it.
    `missing` tells what the missing momentum is, which decides what an early veto may ask for: what
    is INVISIBLE, MISMEASURED jets, or EITHER.
    """

    name: str
    settings: tuple[str, ...]
    spectrum: Spectrum | None = None
    branching: float = 1.0
    missing: str = INVISIBLE

    def above(self, pt_hat: float) -> Process:
        """Return the process with a bound on the transverse momentum of the hard scattering."""
        return replace(self, settings=(*self.settings, f"PhaseSpace:pTHatMin = {pt_hat:g}"))

    def below(self, pt_hat: float) -> Process:
        """Return the process with an upper bound on that momentum."""
        return replace(self, settings=(*self.settings, f"PhaseSpace:pTHatMax = {pt_hat:g}"))

    def forced(self, *decays: str, branching: float = 1.0) -> Process:
        """Return the process with decays of resonances forced."""
        return replace(self, settings=(*self.settings, *decays), branching=branching)


_W_LEPTONS = ("24:onMode = off", "24:onIfAny = 11 13 15")
_Z_LEPTONS = ("23:onMode = off", "23:onIfAny = 11 13 15")
_Z_NEUTRINOS = ("23:onMode = off", "23:onIfAny = 12 14 16")
_Z_BOTH = ("23:onMode = off", "23:onIfAny = 11 12 13 14 15 16")

_TT = Process("ttbar", ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on"))
_TOP = Process("single_top", ("Top:qq2tq(t:W) = on", "Top:ffbar2tqbar(s:W) = on"))
_W = Process("w_jets", ("WeakBosonAndParton:qqbar2Wg = on", "WeakBosonAndParton:qg2Wq = on"))
_Z = Process("z_jets", (
    "WeakBosonAndParton:qqbar2gmZg = on", "WeakBosonAndParton:qg2gmZq = on", "WeakZ0:gmZmode = 2",
))  # fmt: skip
_WW = Process("ww", ("WeakDoubleBoson:ffbar2WW = on",))
_ZW = Process("zw", ("WeakDoubleBoson:ffbar2ZW = on", "WeakZ0:gmZmode = 2"))
_ZZ = Process("zz", ("WeakDoubleBoson:ffbar2gmZgmZ = on", "WeakZ0:gmZmode = 2"))
_QCD = Process("njets", ("HardQCD:all = on",), missing=MISMEASURED)
_PHOTON = Process("gam_jets", ("PromptPhoton:qg2qgamma = on", "PromptPhoton:qqbar2ggamma = on"),
                   missing=MISMEASURED)  # fmt: skip

# the parts of the background in each channel; conf/simulation says how many events each has
PARTS: Mapping[str, Mapping[str, Process]] = {
    # without the hadronic decays of top pairs, some 4 % of them
    "1": {
        "ttbar": _TT.above(100),
        "w_jets": _W.forced(*_W_LEPTONS).above(220),
        "z_jets": _Z.forced(*_Z_NEUTRINOS).above(220),
        "single_top": _TOP.forced(*_W_LEPTONS).above(150),
        "ww": _WW.above(200),
        "njets_soft": _QCD.above(250).below(600),
        "njets_hard": _QCD.above(600),
    },
    # without events whose third lepton comes from a b quark
    "2a": {
        "zw": _ZW.forced(*_Z_LEPTONS, *_W_LEPTONS),
        "zz": _ZZ.forced(*_Z_LEPTONS),
    },
    "2b": {
        "ttbar": _TT.forced(*_W_LEPTONS),
        "ww": _WW.forced(*_W_LEPTONS),
        "zw": _ZW.forced(*_Z_LEPTONS),
        "zz": _ZZ.forced(*_Z_BOTH),
        "z_jets": replace(_Z, missing=EITHER).forced(*_Z_LEPTONS).above(50),
    },
    "3": {
        "ttbar": replace(_TT, missing=EITHER).above(100),
        "w_jets": _W.forced(*_W_LEPTONS).above(180),
        "z_jets": _Z.forced(*_Z_NEUTRINOS).above(180),
        "single_top": _TOP.forced(*_W_LEPTONS).above(150),
        "ww": _WW.above(150),
        "gam_jets": _PHOTON.above(250),
        "njets_soft": _QCD.above(200).below(600),
        "njets_hard": _QCD.above(600),
    },
}


def _quarks_and(gluino: int, neutralino: int) -> Spectrum:
    """Gluinos that decay to a pair of light quarks and a neutralino, by phase space alone."""
    pairs: list[Decay] = [(0.25, (quark, -quark, NEUTRALINO)) for quark in (1, 2, 3, 4)]
    return Spectrum({GLUINO: gluino, NEUTRALINO: neutralino}, {GLUINO: pairs})


def _gluinos(name: str, gluino: int, neutralino: int) -> Process:
    return Process(
        name,
        ("SUSY:gg2gluinogluino = on", "SUSY:qqbar2gluinogluino = on"),
        _quarks_and(gluino, neutralino),
    )


_SQUARK_PAIRS = ("SUSY:gg2squarkantisquark = on", "SUSY:qqbar2squarkantisquark = on")


def _squarks(name: str, squarks: tuple[int, ...], mass: int, neutralino: int) -> Process:
    """Pairs of squarks, of equal masses."""
    decays = {code: [(1.0, (code % 10, NEUTRALINO))] for code in squarks}
    masses = {**dict.fromkeys(squarks, float(mass)), NEUTRALINO: neutralino}
    settings = (*_SQUARK_PAIRS, "SUSY:qq2squarksquark = on")
    return Process(name, settings, Spectrum(masses, decays))


def _stops(name: str, spectrum: Spectrum) -> Process:
    return Process(name, (*_SQUARK_PAIRS, f"SUSY:idA = {STOP}"), spectrum)


def _charged_and_neutral(mass: int, lightest: int) -> Process:
    """A chargino and the second neutralino, to W, Z and two of the lightest neutralinos."""
    return Process(
        f"chaneut_cha{mass}_neut{lightest}",
        ("SUSY:qqbar2chi+-chi0 = on", f"SUSY:idA = {CHARGINO}", f"SUSY:idB = {NEUTRALINO2}"),
        Spectrum(
            {CHARGINO: mass, NEUTRALINO2: mass, NEUTRALINO: lightest},
            {
                CHARGINO: [(1.0, (NEUTRALINO, 24))],
                NEUTRALINO2: [(1.0, (NEUTRALINO, 23))],
            },
        ),
    )


def _charged_pair(mass: int, lightest: int) -> Process:
    """Two charginos, to W pairs that decay to leptons, and two of the lightest neutralinos."""
    return Process(
        f"chacha_cha{mass}_neut{lightest}",
        ("SUSY:qqbar2chi+chi- = on", f"SUSY:idA = {CHARGINO}", f"SUSY:idB = {CHARGINO}"),
        Spectrum({CHARGINO: mass, NEUTRALINO: lightest}, {CHARGINO: [(1.0, (NEUTRALINO, 24))]}),
    ).forced(*_W_LEPTONS, branching=_W_TO_LEPTONS**2)


_GLGL1400 = _gluinos("glgl1400_neutralino1100", 1400, 1100)
_GLGL1600 = _gluinos("glgl1600_neutralino800", 1600, 800)
_GLUINO = _gluinos("gluino_1000.0_neutralino_1.0", 1000, 1)
_SQUARK1400 = _squarks("sqsq1_sq1400_neut800", SQUARKS[:4], 1400, 800)
_SQUARK1800 = _squarks("sqsq_sq1800_neut800", SQUARKS, 1800, 800)
_STOP = _stops("stop2b1000_neutralino300", Spectrum(
    # the chargino is next to the neutralino: what else it decays to is soft
    {STOP: 1000, NEUTRALINO: 300, CHARGINO: 305},
    {
        STOP: [(0.5, (6, NEUTRALINO)), (0.5, (5, CHARGINO))],
        CHARGINO: [(0.67, (NEUTRALINO, 2, -1)), (0.33, (NEUTRALINO, 12, -11))],
    },
))  # fmt: skip
_STOP_TO_LEPTONS = _stops("stlp_st1000", Spectrum(
    {STOP: 1000}, {STOP: [(0.5, (5, -11)), (0.5, (5, -13))]}
))  # fmt: skip
_MONOJET = Process("monojet_Zp2000.0_DM_50.0", (
    "DM:ffbar2Zp2XX = on", "55:m0 = 2000.", "55:mWidth = 50.", "55:mMin = 1000.",
    "55:doForceWidth = on", "52:m0 = 50.", "55:onMode = off", "55:onIfAny = 52",
))  # fmt: skip
_ZPRIME = Process("Zprime_tt_3000", (
    "NewGaugeBoson:ffbar2gmZZprime = on", "Zprime:gmZmode = 3", "32:m0 = 3000.",
    "32:onMode = off", "32:onIfAny = 6",
), missing=EITHER)  # fmt: skip
_CHANEUT = tuple(
    _charged_and_neutral(mass, lightest)
    for mass, lightest in ((200, 50), (250, 150), (300, 100), (400, 200))
)
_THREE_LEPTONS = tuple(
    signal.forced(*_Z_LEPTONS, *_W_LEPTONS, branching=_Z_TO_LEPTONS * _W_TO_LEPTONS)
    for signal in _CHANEUT
)
_TWO_LEPTONS = tuple(signal.forced(*_Z_LEPTONS, branching=_Z_TO_LEPTONS) for signal in _CHANEUT[:2])
_CHACHA = tuple(_charged_pair(m, lightest) for m, lightest in ((300, 140), (400, 60), (600, 200)))
_SIGNALS = {
    "1": (_GLGL1400, _GLGL1600, _MONOJET, _SQUARK1400, _SQUARK1800, _STOP_TO_LEPTONS, _STOP,
          _ZPRIME),
    "2a": _THREE_LEPTONS,
    "2b": (*_CHACHA, *_TWO_LEPTONS, _STOP_TO_LEPTONS),
    "3": (_GLGL1400, _GLGL1600, _GLUINO, _MONOJET, _SQUARK1400, _SQUARK1800, _STOP_TO_LEPTONS,
          _STOP, _ZPRIME),
}  # fmt: skip
# the signals of each channel, by name
SIGNALS: Mapping[str, Mapping[str, Process]] = {
    channel: {signal.name: signal for signal in signals} for channel, signals in _SIGNALS.items()
}
# beginnings of the published files' names, before the channel
PREFIXES: Mapping[str, str] = {
    BACKGROUND: "background",
    **{name: name for signals in SIGNALS.values() for name in signals},
}
