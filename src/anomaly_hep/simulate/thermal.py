"""Soft bombs: a heavy scalar decays to many slow dark mesons, each of them to two dark photons.

The model of arXiv:1612.00850, with the thermal spectrum of its public generator: mesons are drawn
until their energy exceeds the scalar's mass, momenta are shifted to balance and scaled so that
energy is conserved exactly. All events of a batch are treated at once. Units: GeV.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from anomaly_hep.errors import SimulationError

# decay products of dark photons by |PDG code|: mass, and charge of the particle of positive code
PRODUCTS = {11: (0.000511, -1.0), 13: (0.10566, -1.0), 211: (0.13957, 1.0)}

_STEPS = 60  # Newton's method needs about five
_TABLE = 8192  # points of the inverted spectrum; its steps are 0.4 % of the temperature


@dataclass(frozen=True)
class Dark:
    """The dark sector: temperature, masses (GeV), and branching ratios by |PDG code|."""

    temperature: float
    meson_mass: float
    photon_mass: float
    branching: Mapping[int, float]

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.meson_mass <= 2 * self.photon_mass:
            raise SimulationError(
                f"Dark mesons of {self.meson_mass:g} GeV at a temperature of {self.temperature:g} "
                f"GeV cannot decay to two photons of {self.photon_mass:g} GeV. Cure: choose a "
                "temperature above 0 and a meson of more than twice the photon's mass"
            )
        for pid in self.branching:
            if pid not in PRODUCTS or 2 * PRODUCTS[pid][0] >= self.photon_mass:
                known = ", ".join(map(str, PRODUCTS))
                raise SimulationError(
                    f"Dark photons of {self.photon_mass:g} GeV cannot decay to pairs of {pid}. "
                    f"Cure: choose lighter particles among {known}"
                )
        total = sum(self.branching.values())
        if min(self.branching.values()) < 0 or abs(total - 1) > 1e-9:
            raise SimulationError(
                f"Branching ratios of the dark photon sum to {total:g}. Cure: make them sum to 1"
            )


@dataclass(frozen=True, eq=False)
class Products:
    """The final decay products: event, PDG code, charge, and (px, py, pz, E)."""

    event: Int64[np.ndarray, " particle"]
    pid: Int64[np.ndarray, " particle"]
    charge: Float64[np.ndarray, " particle"]
    momentum: Float64[np.ndarray, "4 particle"]


def decay(scalar: Float64[np.ndarray, "4 event"], dark: Dark, rng: np.random.Generator) -> Products:
    """Return the final decay products of the scalars, one scalar per event."""
    mass = np.sqrt(np.maximum(scalar[3] ** 2 - (scalar[:3] ** 2).sum(axis=0), 0.0))
    event, mesons = shower(mass, dark.meson_mass, dark.temperature, rng)
    mesons = boosted(mesons, scalar[:, event])
    photons = np.concatenate(two_body(mesons, dark.photon_mass, rng), axis=1)
    event = np.concatenate([event, event])
    codes = np.array(list(dark.branching), np.int64)
    code = rng.choice(codes, len(event), p=list(dark.branching.values()))
    product_mass = np.select([code == k for k in PRODUCTS], [m for m, _ in PRODUCTS.values()], 0.0)
    charge = np.select([code == k for k in PRODUCTS], [q for _, q in PRODUCTS.values()], 0.0)
    pair = np.concatenate(two_body(photons, product_mass, rng), axis=1)
    return Products(
        np.concatenate([event, event]),
        np.concatenate([code, -code]),
        np.concatenate([charge, -charge]),
        pair,
    )


def shower(
    total: Float64[np.ndarray, " event"], mass: float, temperature: float, rng: np.random.Generator
) -> tuple[Int64[np.ndarray, " meson"], Float64[np.ndarray, "4 meson"]]:
    """Return the mesons of showers at rest: event numbers and momenta (px, py, pz, E).

    Momenta of an event sum to zero, energies to `total` (GeV). Raises SimulationError if `total` is
    too small for two mesons.
    """
    if len(total) and total.min() <= 2 * mass:
        raise SimulationError(
            f"A scalar of {total.min():.3g} GeV holds no two mesons of {mass:g} GeV. "
            "Cure: choose a heavier scalar or lighter mesons"
        )
    event, momentum = _drawn(total, mass, temperature, rng)
    number = np.bincount(event, minlength=len(total))
    surplus = np.stack([np.bincount(event, p, len(total)) for p in momentum])
    momentum -= (surplus / number)[:, event]
    momentum *= _scale(event, (momentum**2).sum(axis=0), mass, total)[event]
    energy = np.sqrt((momentum**2).sum(axis=0) + mass**2)
    return event, np.concatenate([momentum, [energy]])


def _drawn(
    total: np.ndarray, mass: float, temperature: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return independent mesons, as many as are needed to exceed the energy of each event."""
    # a meson's mean energy exceeds hypot(mass, temperature), so that `most` of them are enough
    most = int(total.max(initial=0.0) / np.hypot(mass, temperature)) + 10
    magnitude = thermal_momentum(mass, temperature, (len(total), most), rng)
    sums = np.cumsum(np.hypot(magnitude, mass), axis=1)
    needed = (sums < total[:, None]).sum(axis=1) + 1
    if len(total) and needed.max() > most:  # never observed
        raise SimulationError("A thermal shower did not end. Cure: use another seed")
    # at most as many mesons as leave some kinetic energy
    needed = np.minimum(np.maximum(needed, 2), np.ceil(total / mass).astype(np.int64) - 1)
    kept = np.arange(most) < needed[:, None]
    return np.nonzero(kept)[0], magnitude[kept] * isotropic(int(kept.sum()), rng)


def _scale(event: np.ndarray, momentum2: np.ndarray, mass: float, total: np.ndarray) -> np.ndarray:
    """Return the factor for the momenta of each event that makes the energies sum to `total`.

    Newton's method always converges, as the energy is a rising convex function of the factor.
    """
    scale = np.ones(len(total))
    for _ in range(_STEPS):
        energy = np.sqrt(scale[event] ** 2 * momentum2 + mass**2)
        excess = np.bincount(event, energy, len(total)) - total
        slope = np.bincount(event, scale[event] * momentum2 / energy, len(total))
        step = excess / slope
        # the factor must stay above zero
        scale = np.maximum(scale - step, scale / 4)
        if np.all(np.abs(step) <= 1e-15 * scale):
            break
    return scale


def thermal_momentum(
    mass: float, temperature: float, shape: tuple[int, ...], rng: np.random.Generator
) -> Float64[np.ndarray, ...]:
    """Return |p| distributed as p^2 exp(-E / T), the relativistic Maxwell-Boltzmann spectrum."""
    # only a fraction of about exp(-30) of the spectrum is beyond the table
    edge = np.sqrt((mass + 35 * temperature) ** 2 - mass**2)
    grid = np.linspace(0.0, edge, _TABLE)
    density = grid**2 * np.exp((mass - np.hypot(grid, mass)) / temperature)
    cumulative = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return np.interp(rng.random(shape), cumulative / cumulative[-1], grid)


def isotropic(number: int, rng: np.random.Generator) -> Float64[np.ndarray, "3 particle"]:
    """Return isotropically distributed unit vectors."""
    cosine, phi = rng.uniform(-1, 1, number), rng.uniform(-np.pi, np.pi, number)
    sine = np.sqrt(1 - cosine**2)
    return np.stack([sine * np.cos(phi), sine * np.sin(phi), cosine])


def two_body(
    parent: Float64[np.ndarray, "4 particle"],
    mass: float | Float64[np.ndarray, " particle"],
    rng: np.random.Generator,
) -> tuple[Float64[np.ndarray, "4 particle"], Float64[np.ndarray, "4 particle"]]:
    """Return isotropic decays to two particles of equal mass, at most half the parent's."""
    parent_mass2 = parent[3] ** 2 - (parent[:3] ** 2).sum(axis=0)
    half = np.sqrt(parent_mass2) / 2
    at_rest = np.sqrt(half**2 - mass**2) * isotropic(len(half), rng)
    first = boosted(np.concatenate([at_rest, [half]]), parent)
    return first, parent - first


def boosted(
    momentum: Float64[np.ndarray, "4 particle"], parent: Float64[np.ndarray, "4 particle"]
) -> Float64[np.ndarray, "4 particle"]:
    """Return momenta, boosted from the rest frame of `parent` to the frame where it moves."""
    mass = np.sqrt(parent[3] ** 2 - (parent[:3] ** 2).sum(axis=0))
    along = (momentum[:3] * parent[:3]).sum(axis=0)
    energy = (parent[3] * momentum[3] + along) / mass
    shift = (momentum[3] + energy) / (parent[3] + mass)
    return np.concatenate([momentum[:3] + shift * parent[:3], [energy]])
