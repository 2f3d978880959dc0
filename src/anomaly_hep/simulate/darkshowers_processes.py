"""The classes of the dark-shower data set as Pythia processes: QCD, SUEP and semivisible jets.

Units: GeV. Nothing heavy is imported here, since productions need the names before workers start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

QCD, SUEP, SVJ = "QCD", "SUEP", "SVJ"
# label numbers of the published files
LABELS = {QCD: 0, SUEP: 1, SVJ: 2}
SUEP_MASSES = (125, 200, 300, 400, 700, 1000)
SVJ_MASSES = (2100, 3100, 4100)
CLASSES = (QCD, *(f"{SUEP}{m}" for m in SUEP_MASSES), *(f"{SVJ}{m}" for m in SVJ_MASSES))
# beginnings of the published files' names
PREFIXES = {
    QCD: "qcd_gensim",
    **{f"{SUEP}{m}": f"suep_gensim_h{m}_phi2_dp0p7_dt2" for m in SUEP_MASSES},
    **{f"{SVJ}{m}": f"svj_{m}" for m in SVJ_MASSES},
}

# PDG codes in Pythia: Z', dark quark, dark mesons (each diagonal and off-diagonal), and the
# invisible particle that each meson decays to
_ZPRIME, _QUARK = 4900023, 4900101
_PSEUDOSCALARS, _VECTORS = (4900111, 4900211), (4900113, 4900213)
_INVISIBLE = {**dict.fromkeys(_PSEUDOSCALARS, 51), **dict.fromkeys(_VECTORS, 53)}


def process_of(name: str) -> tuple[str, int]:
    """Return the process of a class, and the mediator's mass (GeV, 0 for QCD)."""
    for process in (SUEP, SVJ):
        if name.startswith(process):
            return process, int(name.removeprefix(process))
    return QCD, 0


def settings(name: str, config: Mapping[str, Any]) -> list[str]:
    """Return the Pythia settings of a class; `config` is the configuration of the simulation."""
    process, mass = process_of(name)
    if process == SUEP:
        return _suep(mass)
    if process == SVJ:
        return _svj(mass, config["svj"])
    return ["HardQCD:all = on", f"PhaseSpace:pTHatMin = {config['qcd']['min_pt_hat']}"]


def _suep(mass: int) -> list[str]:
    """A scalar from gluon fusion, left undecayed: thermal.py decays it.

    Its width is that of a Standard Model Higgs of this mass (GeV), since the multiplicities of the
    published images at 1000 GeV, too, vary by a factor of five.
    """
    return ["HiggsSM:gg2H = on", f"25:m0 = {mass}.", "25:mayDecay = off"]


def _svj(mass: int, model: Mapping[str, Any]) -> list[str]:
    """A Z' to two dark quarks, Pythia's Hidden Valley shower, and partly invisible mesons."""
    meson, scale = float(model["meson_mass"]), float(model["confinement_scale"])
    return [
        "HiddenValley:ffbar2Zv = on",
        f"{_ZPRIME}:m0 = {mass}.",
        f"{_ZPRIME}:mWidth = {model['zprime_width'] * mass:g}",
        f"{_ZPRIME}:mMin = {mass / 2:g}",
        f"{_ZPRIME}:mMax = {1.5 * mass:g}",
        f"{_ZPRIME}:doForceWidth = on",
        f"{_ZPRIME}:onMode = off",
        f"{_ZPRIME}:onIfAny = {_QUARK}",
        # dark quarks have half the mesons' mass
        f"{_QUARK}:m0 = {meson / 2:g}",
        f"HiddenValley:Ngauge = {model['colours']}",
        f"HiddenValley:nFlav = {model['flavours']}",
        "HiddenValley:spinFv = 0",
        "HiddenValley:FSR = on",
        "HiddenValley:fragment = on",
        "HiddenValley:alphaOrder = 1",
        "HiddenValley:setLambda = on",
        f"HiddenValley:Lambda = {scale:g}",
        f"HiddenValley:pTminFSR = {1.1 * scale:g}",
        f"HiddenValley:probVector = {model['vector_fraction']}",
        *_invisible_particles(meson),
        *(line for code in _INVISIBLE for line in _meson(code, meson, model)),
    ]


def _invisible_particles(meson: float) -> list[str]:
    return [
        line
        for code in sorted(set(_INVISIBLE.values()))
        for line in (
            f"{code}:m0 = {meson / 2 - 0.1:g}",
            f"{code}:isResonance = false",
            f"{code}:mayDecay = off",
        )
    ]


def _meson(code: int, mass: float, model: Mapping[str, Any]) -> list[str]:
    """Decays of one meson: a fraction to invisible particles, the others to quarks.

    Pseudoscalars decay by a mass insertion, mostly to the heaviest quarks; vectors to all five.
    """
    invisible_fraction = float(model["invisible_fraction"])
    if code in _VECTORS:
        quarks = dict.fromkeys((1, 2, 3, 4, 5), 0.2)
    else:
        quarks = {int(quark): float(share) for quark, share in model["pseudoscalar"].items()}
    invisible = _INVISIBLE[code]
    return [
        f"{code}:m0 = {mass:g}",
        f"{code}:oneChannel = 1 {invisible_fraction:g} 0 {invisible} -{invisible}",
        *(
            f"{code}:addChannel = 1 {(1 - invisible_fraction) * share:g} 91 {quark} -{quark}"
            for quark, share in quarks.items()
        ),
    ]
