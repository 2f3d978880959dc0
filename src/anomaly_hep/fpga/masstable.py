"""Thresholds that depend on the mass: a table in (mass, quantile) that the chip looks up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int64, Real

from anomaly_hep.errors import ConfigError
from anomaly_hep.fpga.fixedpoint import FixedPoint
from anomaly_hep.models.fits.decorrelated import MassQuantile

_FEWEST = 10  # training background events above the threshold that decides
_AT_LEVEL = 100  # and above the highest of the others


@dataclass(frozen=True, eq=False)
class MassTable:
    """The chip's thresholds for each mass, ascending in quantile level.

    column: of the events, with the mass in GeV. mass: the type of the mass at its port. shares: of
    background above the thresholds of each level, descending. deciding: the level at which the
    trigger fires. thresholds: integer scores, by the integer of the mass. quantiles: the fitted
    score from which they come. events: training background behind the fit.
    """

    column: str
    mass: FixedPoint
    shares: tuple[float, ...]
    deciding: int
    thresholds: Int64[np.ndarray, "mass level"]
    quantiles: MassQuantile
    events: int

    def quantize(
        self, masses: Float[np.ndarray, " event"]
    ) -> tuple[Int64[np.ndarray, " event"], Bool[np.ndarray, " event"]]:
        """Return masses in GeV as integers of the port, and which were beyond its range."""
        beyond = (masses < 0) | (masses >= (self.mass.highest + 1) * self.mass.lsb)
        return self.mass.quantize(masses), beyond

    def quantile(
        self, scores: Int64[np.ndarray, " event"], masses: Int64[np.ndarray, " event"]
    ) -> Int64[np.ndarray, " event"]:
        """Return the number of levels whose threshold at its mass each integer score exceeds."""
        return (scores[:, None] > self.thresholds[masses]).sum(1)

    def decorrelated(
        self, scores: Int64[np.ndarray, " event"], masses: Int64[np.ndarray, " event"]
    ) -> Float[np.ndarray, " event"]:
        """Return minus the logarithm of the background share above each score at its mass."""
        return self.quantiles.score(np.stack([scores, centres(self.mass, masses)], axis=1))


def mass_port(
    column: str, bits: int, masses: Float[np.ndarray, " event"], rejection: float
) -> FixedPoint:
    """Return the finest type of so many bits, steps a power of two of GeV, that holds all masses.

    `masses` are those of the training background, in GeV. Raises ConfigError for masses that the
    chip cannot tell apart, and for fewer events than thresholds of this rejection take.
    """
    number = len(masses)
    if not 1 < rejection <= number / _FEWEST:
        raise ConfigError(
            f"fpga.rejection={rejection:g} leaves {number / rejection:.3g} of {number:,} training "
            f"background events above thresholds that depend on the mass, which take {_FEWEST}. "
            f"Cure: a rejection above 1 and at most {number // _FEWEST}, or more events"
        )
    highest = float(masses.max())
    _, exponent = math.frexp(max(highest, 1.0))  # highest < 2^exponent
    kind = FixedPoint(False, bits, bits - exponent)
    if not np.ptp(kind.quantize(masses)):
        raise ConfigError(
            f"all {number:,} training background events have the same {column} on the chip (up to "
            f"{highest:g} GeV, in steps of {kind.lsb:g}). Cure: more fpga.mass_bits, or "
            "fpga.decorrelate=null"
        )
    return kind


def mass_table(
    column: str,
    mass: FixedPoint,
    scores: Int64[np.ndarray, " event"],
    masses: Float[np.ndarray, " event"],
    score_type: FixedPoint,
    rejection: float,
) -> MassTable:
    """Return the table from the chip's integer scores of training background, with masses in GeV.

    The levels are background shares of 1/2, 1/4, ..., of which at least 100 events lie above the
    last, and 1 / `rejection`, which decides. A threshold is the fitted one, rounded down, which is
    the same cut on integers, and limited to what the score can be.
    """
    shares = _shares(len(scores), rejection)
    fit = quantiles(column, scores, centres(mass, mass.quantize(masses)))
    entries = centres(mass, np.arange(mass.highest + 1))
    fitted = fit.table(np.array(shares), entries).thresholds
    thresholds = np.clip(np.floor(fitted), score_type.lowest, score_type.highest)
    return MassTable(
        column,
        mass,
        shares,
        shares.index(1 / rejection),
        np.maximum.accumulate(thresholds.astype(np.int64), axis=1),
        fit,
        len(scores),
    )


def quantiles(
    column: str, scores: Real[np.ndarray, " event"], masses: Float[np.ndarray, " event"]
) -> MassQuantile:
    """Return the background quantile of a score by mass, fitted on background scores."""
    fit = MassQuantile(score="score", mass=column, events=len(scores))
    values = np.stack([scores, masses], axis=1).astype(np.float64)
    fit.fit(values, np.ones(len(scores)))
    return fit


def centres(kind: FixedPoint, masses: Int64[np.ndarray, " event"]) -> Float[np.ndarray, " event"]:
    """Return the middle, in GeV, of the masses that have the same integer."""
    return kind.real(masses) + kind.lsb / 2


def write_table(table: MassTable, path: Path) -> None:
    """Write the table as CSV: a line for each integer of the mass, a threshold for each level."""
    heads = ["mass", "mass_from_GeV", *(f"share_{share:.6g}" for share in table.shares)]
    lines = [",".join(heads)]
    for mass, thresholds in enumerate(table.thresholds.tolist()):
        lines.append(",".join(map(str, [mass, f"{mass * table.mass.lsb:g}", *thresholds])))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _shares(events: int, rejection: float) -> tuple[float, ...]:
    halvings = int(math.log2(events / _AT_LEVEL)) if events > _AT_LEVEL else 0
    return tuple(sorted({1 / rejection, *(2.0**-n for n in range(1, halvings + 1))}, reverse=True))
