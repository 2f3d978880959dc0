"""Spectra of the invariant mass: equal logarithmic bins, and contents that fluctuate as counts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import hist
import numpy as np
from jaxtyping import Float64

from anomaly_hep.errors import SearchError

Values = Float64[np.ndarray, " event"]
Bins = Float64[np.ndarray, " bin"]
Edges = Float64[np.ndarray, " edge"]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Sums of weights, and of squared weights, in bins of the mass (edges in GeV)."""

    edges: Edges
    content: Bins
    variance: Bins

    @staticmethod
    def of(masses: Values, weights: Values, edges: Edges) -> Spectrum:
        """Fill a spectrum; masses beyond the edges are left out.

        Raises SearchError where negative weights outweigh the positive ones in a bin.
        """
        histogram = hist.Hist(hist.axis.Variable(edges), storage=hist.storage.Weight())
        histogram.fill(masses, weight=weights)
        filled = Spectrum(edges, histogram.values(), histogram.variances())
        for low, content, square in zip(edges[:-1], filled.content, filled.variance, strict=True):
            if content < 0 or (content == 0 < square):
                raise SearchError(
                    f"the weights of the events at masses from {low:,.0f} GeV on have the sum "
                    f"{content:g}, which no Poisson distribution has. Cure: a larger width, "
                    "another mass_range, or a higher efficiency"
                )
        return filled

    @cached_property
    def scale(self) -> Bins:
        """Counts per unit of weight in each bin: 1 where every weight is 1.

        Sum w / sum w² makes content x scale fluctuate like a Poisson count of that mean (Bohm and
        Zech, arXiv:1309.1287); an empty bin has the value of the whole spectrum.
        """
        total = float(self.content.sum() / self.variance.sum()) if self.variance.any() else 1.0
        empty = self.variance == 0
        return np.where(empty, total, self.content / np.where(empty, 1.0, self.variance))

    @property
    def counts(self) -> Bins:
        """The effective number of events in each bin."""
        return self.content * self.scale

    @property
    def centres(self) -> Bins:
        """The geometric centre of each bin, in GeV."""
        return np.sqrt(self.edges[1:] * self.edges[:-1])


def logarithmic_edges(low: float, high: float, step: float) -> Edges:
    """Return edges from at most `low` to at least `high` GeV, each 1 + `step` times the last.

    They lie on one grid, powers of 1 + step in GeV, whatever the range is.
    """
    ratio = np.log1p(step)
    first = int(np.floor(np.log(low) / ratio + 1e-9))
    last = int(np.ceil(np.log(high) / ratio - 1e-9))
    return np.exp(ratio * np.arange(first, max(last, first + 1) + 1))


def inside(masses: Values, edges: Edges) -> np.ndarray:
    """Return which masses lie between the first and the last edge."""
    return (masses >= edges[0]) & (masses < edges[-1])
