"""SUSY spectra as SLHA text: the masses and decays that a signal names, all else out of reach.

Units: GeV. Nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NEUTRALINO, NEUTRALINO2, CHARGINO = 1000022, 1000023, 1000024
GLUINO, STOP = 1000021, 1000006
# those of the first two generations
SQUARKS = tuple(side * 1_000_000 + flavour for side in (1, 2) for flavour in (1, 2, 3, 4))
_OTHERS = (
    *(side * 1_000_000 + flavour for side in (1, 2) for flavour in (5, 6, 11, 13, 15)),
    1000012, 1000014, 1000016, 1000025, 1000035, 1000037,
)  # fmt: skip
_FAR = 5000.0
_WIDTH = 0.1  # of every particle that decays; far below any resolution

Decay = tuple[float, Sequence[int]]


@dataclass(frozen=True)
class Spectrum:
    """The particles within reach: their masses (GeV), and their decays (share, products)."""

    masses: Mapping[int, float]
    decays: Mapping[int, Sequence[Decay]]

    def slha(self) -> str:
        """Return the spectrum as SLHA text, with unmixed states."""
        particles = (*SQUARKS, *_OTHERS, GLUINO, NEUTRALINO, NEUTRALINO2, CHARGINO)
        masses = {**dict.fromkeys(particles, _FAR), **self.masses}
        lines = [*_STANDARD_MODEL, "BLOCK MASS"]
        lines += [f" {code} {mass:.6e}" for code, mass in (*_HIGGSES, *masses.items())]
        for name, size in (("NMIX", 4), ("UMIX", 2), ("VMIX", 2)):
            lines += _unit(name, size)
        for name in ("STOPMIX", "SBOTMIX", "STAUMIX"):
            lines += _unit(name, 2)
        for code, channels in self.decays.items():
            lines.append(f"DECAY {code} {_WIDTH:.6e}")
            for share, products in channels:
                listed = " ".join(map(str, products))
                lines.append(f" {share:.8e} {len(products)} {listed}")
        return "\n".join(lines) + "\n"


def _unit(name: str, size: int) -> list[str]:
    entries = [f" {i} {j} {float(i == j)}" for i in range(1, size + 1) for j in range(1, size + 1)]
    return [f"BLOCK {name}", *entries]


_HIGGSES = ((25, 125.0), (35, _FAR), (36, _FAR), (37, _FAR))
_STANDARD_MODEL = (
    "BLOCK MODSEL", " 1 0",
    "BLOCK SMINPUTS", " 1 1.279e+02", " 2 1.16637e-05", " 3 1.184e-01", " 4 9.11876e+01",
    " 5 4.18", " 6 1.731e+02", " 7 1.77686",
    "BLOCK ALPHA", " -1.0e-01",
    "BLOCK HMIX Q= 1.0e+03", " 1 1.0e+03", " 2 1.0e+01", " 3 2.44e+02", " 4 2.5e+07",
    "BLOCK AU Q= 1.0e+03", " 3 3 0.0",
    "BLOCK AD Q= 1.0e+03", " 3 3 0.0",
    "BLOCK AE Q= 1.0e+03", " 3 3 0.0",
)  # fmt: skip
