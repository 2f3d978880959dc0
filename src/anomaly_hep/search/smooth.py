"""Where a smooth shape describes the background: range of masses, number of parameters, chi²."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import xlogy
from scipy.stats import chi2

from anomaly_hep.errors import SearchError
from anomaly_hep.search.events import Sample, within
from anomaly_hep.search.likelihood import Counts, fit_smooth
from anomaly_hep.search.shape import PARAMETERS, Shape
from anomaly_hep.search.spectrum import Spectrum, logarithmic_edges

LEAST_EVENTS = 50  # in a spectrum that is fitted
_EXPECTED = 5.0  # events in a group of bins that enters chi²
_WORST = 0.05  # p-value below which a shape does not describe a spectrum
_USUAL = 4  # parameters: p0 to p3


@dataclass(frozen=True, eq=False)
class Groups:
    """Neighbouring bins that enter chi² together: where each group begins."""

    first: Int64[np.ndarray, " group"]

    @staticmethod
    def of(expected: Float64[np.ndarray, " bin"]) -> Groups:
        """Collect bins from the highest mass down until each group expects enough events."""
        first, total = [], 0.0
        for index in range(len(expected) - 1, -1, -1):
            total += float(expected[index])
            if total >= _EXPECTED:
                first.append(index)
                total = 0.0
        # what is left at the lower end belongs to the last group
        return Groups(np.array([0, *reversed(first[:-1])]))

    def chi2(self, counts: Counts, expected: Counts) -> Float64[np.ndarray, " spectrum"]:
        """Return 2 sum(mu - n + n ln(n / mu)) over the groups (Baker and Cousins 1984)."""
        n = np.add.reduceat(counts, self.first, axis=1)
        mu = np.maximum(np.add.reduceat(expected, self.first, axis=1), 1e-300)
        total: Float64[np.ndarray, " spectrum"] = 2 * (mu - n + xlogy(n, n / mu)).sum(axis=1)
        return total

    def degrees(self, parameters: int) -> int:
        """Return the degrees of freedom of a fit."""
        return max(len(self.first) - parameters, 1)


def chosen_parameters(spectrum: Spectrum, shape: Shape) -> int:
    """Return how many parameters the spectrum needs, by likelihood-ratio tests.

    One more is taken where it gains more than chance does in 95 % of cases: the F-test of the
    Poisson likelihood.
    """
    heights = []
    for number in PARAMETERS:
        fits = fit_smooth(spectrum.counts[None], shape.with_parameters(number))
        heights.append(float(fits.log_likelihood[0]))
    chosen = PARAMETERS[0]
    for number, low, high in zip(PARAMETERS[1:], heights[:-1], heights[1:], strict=True):
        if chi2.sf(max(2 * (high - low), 0.0), 1) >= _WORST:
            break
        chosen = number
    return chosen


def fit_edges(
    background: Sample, step: float, energy: float, asked: Sequence[float] | None
) -> Float64[np.ndarray, " edge"]:
    """Return the edges of the bins of a search; raises SearchError where too few events lie there.

    Without a range asked for, they begin at the first edge above the most frequent mass from which
    the dijet function describes the uncut background (p above 5 %), where a trigger or a selection
    no longer shapes it, and end beyond its heaviest event.
    """
    if asked is not None:
        edges = logarithmic_edges(asked[0], asked[1], step)
        _check_events(background, edges)
        return edges
    beyond = float(np.nextafter(background.mass.max(), np.inf))
    edges = logarithmic_edges(float(background.mass.min()), beyond, step)
    peak = int(np.argmax(Spectrum.of(background.mass, background.weight, edges).content))
    edges = edges[peak + 1 :]
    _check_events(background, edges)
    best = (0.0, edges)
    most = int(within(background, edges[0], edges[-1]).sum())
    for first in range(len(edges) - 1):
        tried = edges[first:]
        if within(background, tried[0], tried[-1]).sum() < max(most / 2, LEAST_EVENTS):
            break
        p = _probability(background, tried, energy)
        if p >= _WORST:
            return tried
        best = max(best, (p, tried), key=lambda pair: pair[0])
    return best[1]


def _check_events(background: Sample, edges: Float64[np.ndarray, " edge"]) -> None:
    number = int(within(background, edges[0], edges[-1]).sum()) if len(edges) > 1 else 0
    if number < LEAST_EVENTS or len(edges) < 2 * _USUAL:
        where = f" from {edges[0]:,.0f} to {edges[-1]:,.0f} GeV" if len(edges) else ""
        raise SearchError(
            f"{number} background events in {max(len(edges) - 1, 0)} bins{where} are too few for a "
            f"fit, which needs {LEAST_EVENTS} in {2 * _USUAL - 1}. Cure: another mass_range, a "
            "smaller width, or a run with more test events"
        )


def _probability(sample: Sample, edges: Float64[np.ndarray, " edge"], energy: float) -> float:
    """Return the p-value of chi² of the usual shape."""
    spectrum = Spectrum.of(sample.mass, sample.weight, edges)
    shape = Shape(edges, energy, _USUAL, spectrum.scale)
    fits = fit_smooth(spectrum.counts[None], shape)
    groups = Groups.of(fits.expected[0])
    value = float(groups.chi2(spectrum.counts[None], fits.expected)[0])
    return float(chi2.sf(value, groups.degrees(_USUAL)))
