"""Events that lie outside of what a score was fitted on, counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from anomaly_hep.models.fits.base import FittedScore
from anomaly_hep.models.fits.sources import Columns


@dataclass
class FitRanges:
    """The range of each event column that all scores of it were fitted on, and what is outside.

    Scores take a value outside as the edge of the range.
    """

    ranges: Mapping[str, tuple[float, float]]
    events: int = 0
    outside: int = 0

    @classmethod
    def of(cls, fitted: Mapping[str, FittedScore]) -> FitRanges:
        """Return the ranges of fitted scores, the narrowest of each column; none before a fit."""
        found: dict[str, tuple[float, float]] = {}
        for score in fitted.values():
            for name, (low, high) in score.ranges.items():
                known = found.get(name, (-np.inf, np.inf))
                found[name] = max(low, known[0]), min(high, known[1])
        return cls(found)

    def count(self, columns: Columns) -> None:
        """Count events, and those of them that are outside in one column or another."""
        if self.ranges:
            inside = [
                (columns[name] >= low) & (columns[name] <= high)
                for name, (low, high) in self.ranges.items()
            ]
            self.events += len(inside[0])
            self.outside += int((~np.all(inside, axis=0)).sum())

    def remarks(self) -> Iterator[str]:
        """Yield how many events were outside, if any."""
        return outside_remarks(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Return ranges and counts in plain values."""
        ranges = {name: list(limits) for name, limits in self.ranges.items()}
        return {"ranges": ranges, "events": self.events, "outside": self.outside}


def outside_remarks(counted: Mapping[str, Any]) -> Iterator[str]:
    """Yield how many events were outside, if any, from what `FitRanges.to_json` returned."""
    if counted["outside"]:
        ranges = ", ".join(
            f"{name} = {low:,.6g} to {high:,.6g}" for name, (low, high) in counted["ranges"].items()
        )
        yield (
            f"{counted['outside']:,} of {counted['events']:,} events lie outside of {ranges}, the "
            "range of the background that scores were decorrelated on: they count as at its edge."
        )
