"""Angles and distances of momenta, given as arrays of shape (component, particle)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64


class Direction(NamedTuple):
    """Pseudorapidity and azimuth (rad)."""

    eta: Float64[np.ndarray, " particle"]
    phi: Float64[np.ndarray, " particle"]

    def at(self, index: np.ndarray) -> Direction:
        """Return the directions of the particles `index`."""
        return Direction(self.eta[index], self.phi[index])


def transverse(
    vector: Float64[np.ndarray, "component particle"],
) -> Float64[np.ndarray, " particle"]:
    """Return the transverse length: pT of a momentum, distance to the beam of a point."""
    # three times as fast as np.hypot, whose protection from overflow is not needed here
    length: np.ndarray = np.sqrt(vector[0] ** 2 + vector[1] ** 2)
    return length


def direction(vector: Float64[np.ndarray, "component particle"]) -> Direction:
    """Return the directions of vectors; along the beam |eta| is large but finite."""
    across = np.maximum(transverse(vector), 1e-9)
    return Direction(np.arcsinh(vector[2] / across), np.arctan2(vector[1], vector[0]))


def wrap(angle: Float64[np.ndarray, " pair"]) -> Float64[np.ndarray, " pair"]:
    """Return angles in [-pi, pi)."""
    wrapped: np.ndarray = np.mod(angle + np.pi, 2 * np.pi) - np.pi
    return wrapped


def distance(first: Direction, second: Direction) -> Float64[np.ndarray, " pair"]:
    """Return Delta R, the distance in (eta, phi), pair by pair."""
    difference = np.stack([first.eta - second.eta, wrap(first.phi - second.phi)])
    return transverse(difference)
