"""Momenta of massless constituents in the frame of their jet: x along the jet, z along the beam.

Each step takes and returns px, py, pz in GeV, float64, of the constituents of all jets, jet after
jet. Steps of arXiv:2303.14134; the boost and the direction are those of its reference 12.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int64

Momenta = Float64[np.ndarray, "3 particle"]
_NOTHING = 1e-9  # of the jet's energy: what is smaller is a rounding, and has no direction


def centred(momenta: Momenta, lengths: Int64[np.ndarray, " jet"]) -> Momenta:
    """Return the momenta turned about the beam and boosted along it, so that their sum is along x.

    The phi and the pseudorapidity of each jet's sum are 0 then. A sum along the beam has no such
    frame: such a jet stays as it is.
    """
    px, py, pz = momenta
    total_x, total_y = _sums(px, lengths), _sums(py, lengths)
    pt = np.hypot(total_x, total_y)
    cosine, sine = _direction(total_x, total_y, pt > 0, lengths)
    # E + pz and E - pz, without the difference of large numbers
    energy = _magnitude(momenta)
    larger = energy + np.abs(pz)
    squared = px * px + py * py
    smaller = np.divide(squared, larger, out=np.zeros_like(pz), where=larger > 0)
    plus, minus = np.where(pz >= 0, (larger, smaller), (smaller, larger))
    total_plus, total_minus = _sums(plus, lengths), _sums(minus, lengths)
    factor = np.ones(len(lengths))
    possible = (total_plus > 0) & (total_minus > 0) & (pt > 0)
    np.sqrt(np.divide(total_minus, total_plus, out=factor, where=possible), out=factor)
    boost = np.repeat(factor, lengths)
    turned_x, turned_y = _turned(px, py, cosine, sine)
    return np.stack([turned_x, turned_y, (plus * boost - minus / boost) / 2])


def rotated(momenta: Momenta, lengths: Int64[np.ndarray, " jet"]) -> Momenta:
    """Return the momenta turned about x, so that each jet's energy lies on the side of +y.

    The energies' sum, each along its constituent's direction in the plane of y and z, points along
    +y. A jet without such a direction, as one of a single constituent, stays as it is.
    """
    px, py, pz = momenta
    energy, across = _magnitude(momenta), np.hypot(py, pz)
    weight = np.divide(energy, across, out=np.zeros_like(px), where=across > _NOTHING * energy)
    total_y, total_z = _sums(weight * py, lengths), _sums(weight * pz, lengths)
    has_direction = np.hypot(total_y, total_z) > _NOTHING * _sums(energy, lengths)
    cosine, sine = _direction(total_y, total_z, has_direction, lengths)
    return np.stack([px, *_turned(py, pz, cosine, sine)])


def relative(
    momenta: Momenta, lengths: Int64[np.ndarray, " jet"], jet_pt: Float[np.ndarray, " jet"]
) -> Momenta:
    """Return the momenta in units of their jet's pT (GeV)."""
    return momenta / np.repeat(jet_pt.astype(np.float64), lengths)


def four_momenta(momenta: Momenta) -> Float64[np.ndarray, "4 particle"]:
    """Return px, py, pz and the energy, which is that of massless constituents."""
    return np.concatenate([momenta, _magnitude(momenta)[None]])


def in_jet_frame(
    momenta: Momenta, lengths: Int64[np.ndarray, " jet"], jet_pt: Float[np.ndarray, " jet"]
) -> Float64[np.ndarray, "4 particle"]:
    """Return px, py, pz and energy after all steps: centred, rotated, in units of the jet's pT."""
    return four_momenta(relative(rotated(centred(momenta, lengths), lengths), lengths, jet_pt))


def _sums(
    values: Float64[np.ndarray, " particle"], lengths: Int64[np.ndarray, " jet"]
) -> np.ndarray:
    """Return the sum over each jet's constituents; 0 for a jet without any."""
    sums, filled = np.zeros(len(lengths)), lengths > 0
    if filled.any():
        sums[filled] = np.add.reduceat(values, (np.cumsum(lengths) - lengths)[filled])
    return sums


def _magnitude(momenta: Momenta) -> Float64[np.ndarray, " particle"]:
    px, py, pz = momenta
    return np.sqrt(px * px + py * py + pz * pz)


def _direction(
    first: Float64[np.ndarray, " jet"],
    second: Float64[np.ndarray, " jet"],
    exists: np.ndarray,
    lengths: Int64[np.ndarray, " jet"],
) -> tuple[Float64[np.ndarray, " particle"], Float64[np.ndarray, " particle"]]:
    """Return cosine and sine of each jet's direction at its constituents; 1 and 0 without one."""
    size = np.hypot(first, second)
    cosine = np.divide(first, size, out=np.ones_like(size), where=exists)
    sine = np.divide(second, size, out=np.zeros_like(size), where=exists)
    return np.repeat(cosine, lengths), np.repeat(sine, lengths)


def _turned(
    first: np.ndarray, second: np.ndarray, cosine: np.ndarray, sine: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    return cosine * first + sine * second, cosine * second - sine * first
