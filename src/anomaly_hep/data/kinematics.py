"""Pure functions of momenta. GeV and radians."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def transverse_momentum(
    px: Float[np.ndarray, " row"], py: Float[np.ndarray, " row"]
) -> Float[np.ndarray, " row"]:
    """Return the momentum transverse to the beam, in the units of its components."""
    return np.sqrt(px * px + py * py)


def pseudorapidity(
    pt: Float[np.ndarray, " row"], pz: Float[np.ndarray, " row"]
) -> Float[np.ndarray, " row"]:
    """Return the pseudorapidity; pt must be above zero."""
    return np.arcsinh(pz / pt)


def wrap_phi(angle: Float[np.ndarray, " row"]) -> Float[np.ndarray, " row"]:
    """Return the same direction in [-pi, pi) radians."""
    return (angle + np.pi) % (2 * np.pi) - np.pi
