"""Particles that Pythia does not know: heavy resonances and what they decay to, as its settings.

Units: GeV. Nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping

GRAVITON = 5100039  # of Randall and Sundrum; its production is Pythia's
_PRODUCT_WIDTH = 0.001  # over the mass; far below any resolution
_RANGE = 0.05  # of a product's mass


def resonance(code: int, mass: float, *, width: float, lowest: float = 0.7) -> tuple[str, ...]:
    """Return the settings of a heavy resonance; `width` and its `lowest` mass are over `mass`."""
    return (
        f"{code}:m0 = {mass:g}",
        f"{code}:mWidth = {width * mass:g}",
        f"{code}:mMin = {lowest * mass:g}",
        f"{code}:doForceWidth = on",
    )


def graviton(mass: float, *, width: float, lowest: float = 0.7) -> tuple[str, ...]:
    """Return the settings of a graviton from quarks and gluons."""
    return (
        "ExtraDimensionsG*:ffbar2G* = on",
        "ExtraDimensionsG*:gg2G* = on",
        *resonance(GRAVITON, mass, width=width, lowest=lowest),
    )


def product(
    code: int, names: str, quantum_numbers: str, mass: float, decays: Mapping[str, float]
) -> tuple[str, ...]:
    """Return the settings of a new particle, narrow and decaying at once.

    `names` are those of particle and antiparticle ("void": it has none), `quantum_numbers`
    2 spin + 1, 3 charge and colour; `decays` has the share of each decay.
    """
    low, high = (1 - _RANGE) * mass, (1 + _RANGE) * mass
    width = _PRODUCT_WIDTH * mass
    return (
        f"{code}:all = {names} {quantum_numbers} {mass:g} {width:g} {low:g} {high:g} 0.",
        f"{code}:isResonance = on",
        *(f"{code}:addChannel = 1 {share:g} 101 {codes}" for codes, share in decays.items()),
    )
