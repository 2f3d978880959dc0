"""Scores that fit on a chip, as integers and as their float counterparts, and the threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64, Real
from torch import Tensor

from anomaly_hep.errors import ConfigError
from anomaly_hep.fpga.fixedpoint import FixedPoint, bits_for, shifted

# squared: sum of mu^2, no exponential and no variances (as CMS's AXOL1TL has it).
# kl: the whole KL divergence, its exponential as a table.
KINDS = ("squared", "kl")
# exp(log-variance): values below 16 in steps of 1/64
TABLE = FixedPoint(False, 10, 6)


def check_kind(kind: str) -> None:
    """Raise ConfigError for a score that does not exist."""
    if kind not in KINDS:
        raise ConfigError(f"fpga.score={kind} does not exist. Cure: choose {' or '.join(KINDS)}")


def outputs_of(kind: str, latent_dim: int) -> int:
    """Return how many outputs an encoder needs: means, and for the KL log-variances behind them."""
    return latent_dim if kind == "squared" else 2 * latent_dim


def float_score(kind: str, outputs: Float[Tensor, "event output"]) -> Float[Tensor, " event"]:
    """Return the float counterpart: half the sum of mu^2, or the KL divergence to a unit normal."""
    if kind == "squared":
        return 0.5 * outputs.square().sum(1)
    mean, log_variance = outputs.chunk(2, dim=1)
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(1)


@dataclass(frozen=True)
class ChipScore:
    """The score of integer latents: twice the float counterpart, but for a constant.

    Constants (1/2, and -1 per latent dimension) move the threshold alone, so no gate is spent on
    them. latent: type of an output of the encoder.
    """

    kind: str
    latent: FixedPoint
    outputs: int

    @property
    def fraction(self) -> int:
        """Bits of the score behind the point."""
        square = 2 * self.latent.fraction
        if self.kind == "squared":
            return square
        return max(square, self.latent.fraction, TABLE.fraction)

    @property
    def type(self) -> FixedPoint:
        """Type of the score, wide enough for every latent vector."""
        values = np.arange(self.latent.lowest, self.latent.highest + 1)
        dims = self.outputs if self.kind == "squared" else self.outputs // 2
        square = self._squares(values)
        low, high = int(square.min()), int(square.max())
        if self.kind == "kl":
            rest = self._variance_terms(values)
            low, high = low + int(rest.min()), high + int(rest.max())
        kind = bits_for(min(low, 0) * dims, high * dims)
        return FixedPoint(kind.signed, kind.bits, self.fraction)

    def table(self) -> Int64[np.ndarray, " entry"]:
        """Return exp(log-variance) for every log-variance, from the lowest on."""
        entries = np.arange(self.latent.lowest, self.latent.highest + 1)
        return TABLE.quantize(np.exp(self.latent.real(entries)))

    def __call__(self, latents: Int64[np.ndarray, "event output"]) -> Int64[np.ndarray, " event"]:
        """Return the integer scores."""
        if self.kind == "squared":
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
        """Return integer scores on the scale of the float counterpart."""
        offset = 0.0 if self.kind == "squared" else self.outputs / 2
        return 0.5 * (scores * 2.0**-self.fraction - offset)


def threshold(background: Real[np.ndarray, " event"], rejection: float) -> float | int:
    """Return the smallest score that at most one background event in `rejection` exceeds.

    A trigger fires where score > threshold. The events are validation background.
    """
    if not 1 < rejection <= len(background):
        raise ConfigError(
            f"fpga.rejection={rejection} cannot be set with {len(background)} validation events "
            "of background. Cure: more of them, or a lower rejection above 1"
        )
    allowed = math.floor(len(background) / rejection)
    cut: float | int = np.sort(background)[len(background) - allowed - 1].item()
    return cut
