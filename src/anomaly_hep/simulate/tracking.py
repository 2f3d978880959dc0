"""Charged particles: helices, tracking efficiency, momentum and impact-parameter resolution.

Numbers are those of Delphes' cards/delphes_card_CMS.tcl (delphes/delphes @0593ac3). Impact
parameters, which that card does not smear, follow JetClass's own card (see impact_parameters).
Units: GeV, mm, radians; pT in GeV enters the formulas of the card directly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

RADIUS = 1290.0  # mm, of the field and of the calorimeter's inner face
HALF_LENGTH = 3000.0  # mm
FIELD = 3.8  # tesla
# Radius of curvature in mm of a particle with 1 GeV and unit charge: pT = 0.2998 GeV/(T m) q B R.
_CURVATURE = 1e3 / (0.299792458 * FIELD)

ELECTRON, MUON = 11, 13


@dataclass(frozen=True, eq=False)
class Paths:
    """Where particles leave the tracker, and their impact parameters with respect to the origin."""

    eta: Float64[np.ndarray, " particle"]
    phi: Float64[np.ndarray, " particle"]
    d0: Float64[np.ndarray, " particle"]
    dz: Float64[np.ndarray, " particle"]


def inside(
    x: Float64[np.ndarray, " particle"],
    y: Float64[np.ndarray, " particle"],
    z: Float64[np.ndarray, " particle"],
) -> Bool[np.ndarray, " particle"]:
    """Return which vertices (mm) are inside the tracker; particles born outside are not seen."""
    return (np.hypot(x, y) < RADIUS) & (np.abs(z) < HALF_LENGTH)


def propagate(
    px: Float64[np.ndarray, " particle"],
    py: Float64[np.ndarray, " particle"],
    pz: Float64[np.ndarray, " particle"],
    x: Float64[np.ndarray, " particle"],
    y: Float64[np.ndarray, " particle"],
    z: Float64[np.ndarray, " particle"],
    charge: Float64[np.ndarray, " particle"],
) -> Paths:
    """Follow particles from (x, y, z), in mm, to the cylinder on which the calorimeter begins.

    pT must not be zero and the vertices must be inside the cylinder. d0 has Delphes' sign:
    (x py - y px) / pT at the point of closest approach to the z axis.
    """
    neutral = charge == 0
    straight = _straight(px, py, pz, x, y, z)
    # neutral particles get any charge here, their results are not used
    helix = _helix(px, py, pz, x, y, z, np.where(neutral, 1.0, charge))
    eta, phi, d0, dz = (np.where(neutral, s, h) for s, h in zip(straight, helix, strict=True))
    return Paths(eta, phi, d0, dz)


def _straight(
    px: np.ndarray, py: np.ndarray, pz: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray
) -> tuple[np.ndarray, ...]:
    pt = np.hypot(px, py)
    ux, uy, slope = px / pt, py / pt, pz / pt
    along, across = x * ux + y * uy, x * uy - y * ux
    to_side = np.sqrt(RADIUS**2 - across**2) - along
    length = np.minimum(to_side, _to_end(z, slope))
    end_x, end_y = x + ux * length, y + uy * length
    eta, phi = _direction(end_x, end_y, z + slope * length)
    return eta, phi, across, z - slope * along


def _helix(
    px: np.ndarray,
    py: np.ndarray,
    pz: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    charge: np.ndarray,
) -> tuple[np.ndarray, ...]:
    pt = np.hypot(px, py)
    slope = pz / pt
    rho = _CURVATURE * pt / np.abs(charge)
    turn = -np.sign(charge)  # +1 is counter-clockwise; the field points along +z
    centre_x, centre_y = x - turn * rho * py / pt, y + turn * rho * px / pt
    centre, centre_phi = np.hypot(centre_x, centre_y), np.arctan2(centre_y, centre_x)
    # angle on the circle, counted along the motion; the point furthest from the axis is at 0
    start = turn * _wrap(np.arctan2(y - centre_y, x - centre_x) - centre_phi)
    # The distance to the axis grows while the angle goes from -pi to 0, so the way out through
    # the side is there; curlers, whose circle stays inside, only leave through an end.
    cosine = (RADIUS**2 - centre**2 - rho**2) / (2 * np.maximum(centre, 1e-9) * rho)
    exit_angle = -np.arccos(np.clip(cosine, -1.0, 1.0))
    to_side = np.where(cosine < 1.0, rho * np.mod(exit_angle - start, 2 * np.pi), np.inf)
    length = np.minimum(to_side, _to_end(z, slope))
    angle = centre_phi + turn * (start + length / rho)
    end_x, end_y = centre_x + rho * np.cos(angle), centre_y + rho * np.sin(angle)
    eta, phi = _direction(end_x, end_y, z + slope * length)
    # closest approach to the axis is at angle pi
    from_closest = rho * _wrap(start - np.pi)
    return eta, phi, np.sign(charge) * (centre - rho), z - slope * from_closest


def _to_end(z: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Transverse path length (mm) until z reaches one end of the cylinder."""
    steep = np.where(slope == 0, 1e-30, slope)
    return (np.copysign(HALF_LENGTH, steep) - z) / steep


def _direction(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.arcsinh(z / np.maximum(np.hypot(x, y), 1e-9)), np.arctan2(y, x)


def _wrap(angle: np.ndarray) -> np.ndarray:
    return np.mod(angle + np.pi, 2 * np.pi) - np.pi


def efficiency(
    pt: Float64[np.ndarray, " particle"],
    eta: Float64[np.ndarray, " particle"],
    pid: Int64[np.ndarray, " particle"],
) -> Float64[np.ndarray, " particle"]:
    """Return the probability that a charged particle becomes a track; eta is at the calorimeter."""
    barrel, soft, hard = np.abs(eta) <= 1.5, pt <= 1.0, pt > 100.0
    hadron = np.where(barrel, np.where(soft, 0.70, 0.95), np.where(soft, 0.60, 0.85))
    electron = np.where(
        barrel,
        np.where(soft, 0.73, np.where(hard, 0.99, 0.95)),
        np.where(soft, 0.50, np.where(hard, 0.90, 0.83)),
    )
    muon = np.where(barrel, np.where(soft, 0.75, 0.99), np.where(soft, 0.70, 0.98))
    kind = np.abs(pid)
    chosen = np.where(kind == ELECTRON, electron, np.where(kind == MUON, muon, hadron))
    return np.where((np.abs(eta) <= 2.5) & (pt > 0.1), chosen, 0.0)


# sqrt(a^2 + (b pT)^2) in |eta| <= 0.5, 0.5-1.5 and 1.5-2.5
_RESOLUTION = {
    "hadron": ((0.01, 0.015, 0.025), (1.5e-4, 2.5e-4, 5.5e-4)),
    "electron": ((0.03, 0.05, 0.15), (1.3e-3, 1.7e-3, 3.1e-3)),
    "muon": ((0.01, 0.015, 0.025), (1.0e-4, 1.5e-4, 3.5e-4)),
}


def momentum_resolution(
    pt: Float64[np.ndarray, " particle"],
    eta: Float64[np.ndarray, " particle"],
    pid: Int64[np.ndarray, " particle"],
) -> Float64[np.ndarray, " particle"]:
    """Return the relative resolution of the track's pT, at most 1; eta is at the calorimeter."""
    region = np.searchsorted((0.5, 1.5), np.abs(eta))
    kind = np.abs(pid)
    result = np.empty_like(pt)
    for name, chosen in (
        ("electron", kind == ELECTRON),
        ("muon", kind == MUON),
        ("hadron", (kind != ELECTRON) & (kind != MUON)),
    ):
        constant, slope = (np.array(values)[region] for values in _RESOLUTION[name])
        result[chosen] = np.hypot(constant, slope * pt)[chosen]
    return np.minimum(result, 1.0)
