"""Fixed-point numbers: integers with a power-of-two scale, rounded down and saturated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from anomaly_hep.errors import ExportError

Integers = Int64[np.ndarray, "..."]


@dataclass(frozen=True)
class FixedPoint:
    """The type of numbers integer * 2^-fraction of `bits` bits, two's complement where signed."""

    signed: bool
    bits: int
    fraction: int

    @property
    def lowest(self) -> int:
        """Smallest integer."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def highest(self) -> int:
        """Largest integer."""
        return (1 << (self.bits - self.signed)) - 1

    @property
    def lsb(self) -> float:
        """Value of the last bit (LSB)."""
        return float(2.0**-self.fraction)

    def quantize(self, values: Shaped[np.ndarray, ...]) -> Integers:
        """Return real values as integers: rounded down, saturated."""
        scaled = np.floor(np.asarray(values, np.float64) * 2.0**self.fraction)
        result: Integers = np.clip(scaled, self.lowest, self.highest).astype(np.int64)
        return result

    def requantize(self, integers: Integers, fraction: int) -> Integers:
        """Return integers with `fraction` fractional bits as numbers of this type."""
        result: Integers = np.clip(
            shifted(integers, self.fraction - fraction), self.lowest, self.highest
        )
        return result

    def real(self, integers: Integers) -> Float64[np.ndarray, ...]:
        """Return the values of integers."""
        return np.asarray(integers, np.float64) * self.lsb

    def __str__(self) -> str:
        """Return the type as ap_fixed writes it: width and integer bits, the sign among them."""
        return f"{'' if self.signed else 'u'}fixed<{self.bits},{self.bits - self.fraction}>"


def shifted(integers: Integers, places: int) -> Integers:
    """Return integers * 2^places, rounded down where `places` is negative."""
    return integers << places if places >= 0 else integers >> -places


def narrowest(low: int, high: int) -> FixedPoint:
    """Return the narrowest type of integers that holds everything from `low` to `high`."""
    if low < 0:
        return FixedPoint(True, max((-low - 1).bit_length(), max(high, 0).bit_length()) + 1, 0)
    return FixedPoint(False, max(high.bit_length(), 1), 0)


def exact_integers(values: Shaped[np.ndarray, ...], fraction: int, where: str) -> Integers:
    """Return real values as integers with `fraction` fractional bits, without rounding.

    Raises ExportError where a value lies between two integers.
    """
    scaled = np.asarray(values, np.float64) * 2.0**fraction
    integers = np.rint(scaled).astype(np.int64)
    between = int((integers != scaled).sum())
    if between:
        raise ExportError(
            f"{between} of {integers.size} values of {where} are no multiples of 2^-{fraction}: "
            "they were not computed with the types of the integer encoder. Cure: report this as "
            "a defect of the export"
        )
    return integers


def power_of_two(scale: float, where: str) -> int:
    """Return f with scale = 2^-f; raises ExportError for any other scale."""
    mantissa, exponent = np.frexp(scale)
    if mantissa != 0.5:
        raise ExportError(
            f"the scale of {where} is {scale}, not a power of two: shifting bits cannot repeat it. "
            "Cure: quantise with power-of-two scales, as fpga and model.quantization do"
        )
    return int(1 - exponent)
