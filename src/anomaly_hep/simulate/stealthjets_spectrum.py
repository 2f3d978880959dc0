"""Multijets with the pT spectrum of another class: which jets are kept. Units: GeV.

Pythia makes hard scatterings of high pT more often than nature by (pT of the scattering)^power. A
jet is kept with a probability that undoes this, so that jets of a pT are those of multijets, and
gives the wanted spectrum:

    probability = keep(pT of the jet) * (pT of the jet / pT of the scattering)^power
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

# the digits of the azimuth of the hard scattering after these are a random number of the event
_TURNS = 1e6


@dataclass(frozen=True)
class Spectrum:
    """`keep` at the jets' `pt`, interpolated in its logarithm and zero outside it.

    `power` is that of the bias, `min_pt_hat` and `max_pt_hat` bound the pT of the scattering.
    """

    power: float
    min_pt_hat: float
    max_pt_hat: float
    pt: tuple[float, ...]
    keep: tuple[float, ...]

    @property
    def settings(self) -> tuple[str, ...]:
        """Pythia's settings of the biased scatterings."""
        return (
            f"PhaseSpace:pTHatMin = {self.min_pt_hat:g}",
            f"PhaseSpace:pTHatMax = {self.max_pt_hat:g}",
            "PhaseSpace:bias2Selection = on",
            f"PhaseSpace:bias2SelectionPow = {self.power:g}",
        )

    def probability(
        self, pt: Float64[np.ndarray, " jet"], pt_hat: Float64[np.ndarray, " jet"]
    ) -> Float64[np.ndarray, " jet"]:
        """Return the probability to keep jets; above 1 where the table asks too much."""
        chance: np.ndarray = self._keep(pt) * (pt / pt_hat) ** self.power
        return chance

    def highest(self, pt: float, pt_hat: float, margin: float) -> float:
        """Return what no probability exceeds, of jets of `pt` give or take a share `margin`."""
        low, high = (1 - margin) * pt, (1 + margin) * pt
        places = [low, *(p for p in self.pt if low < p < high), high]
        return float(self._keep(np.array(places)).max()) * (high / pt_hat) ** self.power

    def _keep(self, pt: Float64[np.ndarray, " jet"]) -> Float64[np.ndarray, " jet"]:
        logarithm = np.interp(pt, self.pt, np.log(self.keep), left=-np.inf, right=-np.inf)
        keep: np.ndarray = np.exp(logarithm)
        return keep


def uniform(
    px: Float64[np.ndarray, " event"], py: Float64[np.ndarray, " event"]
) -> Float64[np.ndarray, " event"]:
    """Return a number in [0, 1) that belongs to the hard scattering with this outgoing momentum.

    The azimuth is uniform and nothing depends on it, so its last digits are random; whoever looks
    at the event, while it is made or later, finds the same.
    """
    number: np.ndarray = np.mod(np.abs(np.arctan2(py, px)) / math.pi * _TURNS, 1.0)
    return number
