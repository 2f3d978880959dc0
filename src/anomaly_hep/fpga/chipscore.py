"""Scores that fit on a chip, in integers and in floating point, and the trigger threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64, Real
from torch import Tensor

from anomaly_hep.errors import ConfigError
from anomaly_hep.fpga.design_settings import ScoreName
from anomaly_hep.fpga.fixedpoint import FixedPoint, narrowest, shifted

# the type of the LUT's exp(log-variance): values below 16 in steps of 1/64
TABLE = FixedPoint(False, 10, 6)


def outputs_of(name: ScoreName, latent_dim: int) -> int:
    """Return an encoder's number of outputs: the means, and for the KL the log-variances too."""
    return latent_dim if name == "squared" else 2 * latent_dim


def float_score(name: ScoreName, outputs: Float[Tensor, "event output"]) -> Float[Tensor, " event"]:
    """Return half the sum of mu^2, or the KL divergence to a unit normal, in floating point."""
    if name == "squared":
        return 0.5 * outputs.square().sum(1)
    mean, log_variance = outputs.chunk(2, dim=1)
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(1)


@dataclass(frozen=True)
class ChipScore:
    """The score from an encoder's integer outputs: twice the float score, without its constant.

    The factor 1/2 and the -1 of each latent dimension only move the threshold, so no gate is spent
    on them. `latent` is the type of one output, `outputs` their number.
    """

    name: ScoreName
    latent: FixedPoint
    outputs: int

    @property
    def fraction(self) -> int:
        """Fractional bits of the score."""
        square = 2 * self.latent.fraction
        if self.name == "squared":
            return square
        return max(square, self.latent.fraction, TABLE.fraction)

    @property
    def type(self) -> FixedPoint:
        """Type of the score, wide enough for every latent vector."""
        values = np.arange(self.latent.lowest, self.latent.highest + 1)
        dimensions = self.outputs if self.name == "squared" else self.outputs // 2
        square = self._squares(values)
        low, high = int(square.min()), int(square.max())
        if self.name == "kl":
            terms = self._variance_terms(values)
            low, high = low + int(terms.min()), high + int(terms.max())
        narrow = narrowest(min(low, 0) * dimensions, high * dimensions)
        return FixedPoint(narrow.signed, narrow.bits, self.fraction)

    def table(self) -> Int64[np.ndarray, " entry"]:
        """Return the LUT: exp(log-variance) for every log-variance, in ascending order."""
        entries = np.arange(self.latent.lowest, self.latent.highest + 1)
        return TABLE.quantize(np.exp(self.latent.real(entries)))

    def __call__(self, latents: Int64[np.ndarray, "event output"]) -> Int64[np.ndarray, " event"]:
        """Return the integer scores."""
        if self.name == "squared":
            return self._squares(latents).sum(1)
        mean, log_variance = np.split(latents, 2, axis=1)
        return (self._squares(mean) + self._variance_terms(log_variance)).sum(1)

    def _squares(self, mean: Int64[np.ndarray, ...]) -> Int64[np.ndarray, ...]:
        return shifted(mean * mean, self.fraction - 2 * self.latent.fraction)

    def _variance_terms(self, values: Int64[np.ndarray, ...]) -> Int64[np.ndarray, ...]:
        exponential = self.table()[values - self.latent.lowest]
        return shifted(exponential, self.fraction - TABLE.fraction) - shifted(
            values, self.fraction - self.latent.fraction
        )

    def real(self, scores: Int64[np.ndarray, " event"]) -> Float64[np.ndarray, " event"]:
        """Return integer scores on the scale of the float score."""
        offset = 0.0 if self.name == "squared" else self.outputs / 2
        return 0.5 * (scores * 2.0**-self.fraction - offset)


def check_rejection(rejection: float, events: int) -> None:
    """Raise ConfigError for a rejection that no threshold on so many background events has."""
    if not 1 < rejection <= events:
        raise ConfigError(
            f"fpga.rejection={rejection:g} cannot be set with {events} validation events of "
            "background. Cure: more of them, or a lower rejection above 1, which is a higher "
            "rate_hz where fpga.threshold sets it"
        )


def threshold(background: Real[np.ndarray, " event"], rejection: float) -> float | int:
    """Return the smallest score that at most one background event in `rejection` exceeds.

    A trigger fires where score > threshold. `background` are scores of the validation background.
    """
    check_rejection(rejection, len(background))
    allowed = math.floor(len(background) / rejection)
    score: float | int = np.sort(background)[len(background) - allowed - 1].item()
    return score
