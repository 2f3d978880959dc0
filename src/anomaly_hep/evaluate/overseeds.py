"""One number over runs that differ by their seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anomaly_hep.evaluate.cells import Cell, decimals
from anomaly_hep.evaluate.intervals import Interval


@dataclass(frozen=True)
class OverSeeds:
    """One metric over the runs of an ensemble.

    `interval` is the mean with the statistical uncertainty of the test events: all runs share them,
    so its width is the mean of the runs' widths. `seed_spread` is the standard deviation between
    the trainings, with n-1 in the denominator; None where all have the same value (a baseline on
    the same events, or a single run). Both are None where a run lacks the metric.
    """

    interval: Interval | None
    seed_spread: float | None

    @staticmethod
    def of(intervals: Sequence[Interval | None]) -> OverSeeds:
        """Return mean and spread of a metric's values in all runs."""
        known = [interval for interval in intervals if interval is not None]
        if len(known) < len(intervals):
            return OverSeeds(None, None)
        if len(set(known)) == 1:
            return OverSeeds(known[0], None)
        value, low, high = np.array(known, np.float64).T
        mean = float(value.mean())
        down, up = float((value - low).mean()), float((high - value).mean())
        return OverSeeds(Interval(mean, mean - down, mean + up), float(value.std(ddof=1)))

    def to_flat(self) -> dict[str, float | None]:
        """Return the numbers of a row of collected.csv."""
        mean, low, high = self.interval or (None, None, None)
        return {"mean": mean, "low": low, "high": high, "seed_spread": self.seed_spread}


def spread_cell(deviation: float) -> Cell:
    """Return a standard deviation between trainings as tables show it."""
    return Cell(f"±{deviation:.{decimals(deviation)}f}", "")
