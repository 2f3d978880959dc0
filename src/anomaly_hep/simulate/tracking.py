"""Tracking of charged particles: helices, efficiency and momentum resolution.

Parameters are those of Delphes' cards/delphes_card_CMS.tcl (delphes/delphes @0593ac3). Units: GeV,
mm, radians.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from anomaly_hep.simulate.vectors import Direction, direction, transverse, wrap

RADIUS = 1290.0  # mm, of the field's volume and of the calorimeter's inner face
HALF_LENGTH = 3000.0  # mm
FIELD = 3.8  # tesla, along +z
# radius of curvature (mm) per GeV of pT for unit charge: pT = 0.2998 GeV / (T m) q B R
_CURVATURE = 1e3 / (0.299792458 * FIELD)

_ELECTRON, _MUON = 11, 13


@dataclass(frozen=True, eq=False)
class Paths:
    """Where particles leave the tracker, and their impact parameters (mm) from the origin."""

    end: Direction
    d0: Float64[np.ndarray, " particle"]
    dz: Float64[np.ndarray, " particle"]


def inside(vertex: Float64[np.ndarray, "3 particle"]) -> Bool[np.ndarray, " particle"]:
    """Return which vertices are inside the tracker; particles made outside are not detected."""
    result: np.ndarray = (transverse(vertex) < RADIUS) & (np.abs(vertex[2]) < HALF_LENGTH)
    return result


def propagate(
    momentum: Float64[np.ndarray, "4 particle"],
    vertex: Float64[np.ndarray, "3 particle"],
    charge: Float64[np.ndarray, " particle"],
) -> Paths:
    """Propagate particles to the cylinder of the calorimeter's inner face.

    pT must not be zero and the vertices must be inside the cylinder. At the point of closest
    approach to the z axis, d0 is (x py - y px) / pT, with Delphes' sign, and dz is z.
    """
    end = np.empty_like(vertex)
    d0, dz = np.empty_like(charge), np.empty_like(charge)
    for index, follow in (
        (np.flatnonzero(charge == 0), _straight),
        (np.flatnonzero(charge != 0), _helix),
    ):
        end[:, index], d0[index], dz[index] = follow(
            momentum[:, index], vertex[:, index], charge[index]
        )
    return Paths(direction(end), d0, dz)


def _straight(
    momentum: np.ndarray, vertex: np.ndarray, _: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the end point, d0 and dz of straight lines."""
    unit = momentum[:3] / transverse(momentum)  # per mm in the transverse plane
    x, y, z = vertex
    along, across = x * unit[0] + y * unit[1], x * unit[1] - y * unit[0]
    to_side = np.sqrt(RADIUS**2 - across**2) - along
    length = np.minimum(to_side, _to_end(z, unit[2]))
    return vertex + unit * length, across, z - unit[2] * along


def _helix(
    momentum: np.ndarray, vertex: np.ndarray, charge: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the end point, d0 and dz of helices."""
    pt = transverse(momentum)
    unit_x, unit_y, slope = momentum[:3] / pt
    x, y, z = vertex
    rho = _CURVATURE * pt / np.abs(charge)
    turn = -np.sign(charge)  # +1 is counter-clockwise
    centre_x, centre_y = x - turn * rho * unit_y, y + turn * rho * unit_x
    centre, centre_phi = np.sqrt(centre_x**2 + centre_y**2), np.arctan2(centre_y, centre_x)
    # angle on the circle, counted along the motion, from the point furthest from the axis
    start = turn * wrap(np.arctan2(y - centre_y, x - centre_x) - centre_phi)
    # The distance to the axis grows while the angle goes from -pi to 0, so the exit through the
    # side is there. Curlers, whose circle stays inside, leave through an end.
    cosine = (RADIUS**2 - centre**2 - rho**2) / (2 * np.maximum(centre, 1e-9) * rho)
    exit_angle = -np.arccos(np.clip(cosine, -1.0, 1.0))
    to_side = np.where(cosine < 1.0, rho * np.mod(exit_angle - start, 2 * np.pi), np.inf)
    length = np.minimum(to_side, _to_end(z, slope))
    angle = centre_phi + turn * (start + length / rho)
    end = np.stack(
        [centre_x + rho * np.cos(angle), centre_y + rho * np.sin(angle), z + slope * length]
    )
    # the closest approach to the axis is at angle pi
    return end, np.sign(charge) * (centre - rho), z - slope * rho * wrap(start - np.pi)


def _to_end(z: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Return the transverse path length (mm) until z reaches an end of the cylinder."""
    steep = np.where(np.abs(slope) < 1e-30, 1e-30, slope)
    length: np.ndarray = (np.copysign(HALF_LENGTH, steep) - z) / steep
    return length


def efficiency(
    pt: Float64[np.ndarray, " particle"],
    eta: Float64[np.ndarray, " particle"],
    pid: Int64[np.ndarray, " particle"],
) -> Float64[np.ndarray, " particle"]:
    """Return the probability that a charged particle is tracked; eta is at the calorimeter."""
    barrel, soft, hard = np.abs(eta) <= 1.5, pt <= 1.0, pt > 100.0
    hadron = np.where(barrel, np.where(soft, 0.70, 0.95), np.where(soft, 0.60, 0.85))
    electron = np.where(
        barrel,
        np.where(soft, 0.73, np.where(hard, 0.99, 0.95)),
        np.where(soft, 0.50, np.where(hard, 0.90, 0.83)),
    )
    muon = np.where(barrel, np.where(soft, 0.75, 0.99), np.where(soft, 0.70, 0.98))
    code = np.abs(pid)
    central = np.where(code == _ELECTRON, electron, np.where(code == _MUON, muon, hadron))
    return np.where((np.abs(eta) <= 2.5) & (pt > 0.1), central, 0.0)


# a and b of sqrt(a^2 + (b pT)^2) in |eta| <= 0.5, 0.5-1.5 and above; for hadrons by card, since
# delphes_card_CMS_PileUp.tcl still has older values
_HADRON_RESOLUTION = {
    "CMS": np.array([[0.01, 0.015, 0.025], [1.5e-4, 2.5e-4, 5.5e-4]]),
    "CMS_PileUp": np.array([[0.06, 0.10, 0.25], [1.3e-3, 1.7e-3, 3.1e-3]]),
}
CARDS = tuple(_HADRON_RESOLUTION)
_ELECTRON_RESOLUTION = np.array([[0.03, 0.05, 0.15], [1.3e-3, 1.7e-3, 3.1e-3]])
_MUON_RESOLUTION = np.array([[0.01, 0.015, 0.025], [1.0e-4, 1.5e-4, 3.5e-4]])


def momentum_resolution(
    pt: Float64[np.ndarray, " particle"],
    eta: Float64[np.ndarray, " particle"],
    pid: Int64[np.ndarray, " particle"],
    card: str = "CMS",
) -> Float64[np.ndarray, " particle"]:
    """Return sigma(pT) / pT of tracks, at most 1, for one of CARDS; eta is at the calorimeter."""
    region = np.searchsorted((0.5, 1.5), np.abs(eta))
    code = np.abs(pid)
    constant, slope = np.where(
        code == _ELECTRON,
        _ELECTRON_RESOLUTION[:, region],
        np.where(code == _MUON, _MUON_RESOLUTION[:, region], _HADRON_RESOLUTION[card][:, region]),
    )
    return np.minimum(np.hypot(constant, slope * pt), 1.0)
