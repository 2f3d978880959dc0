"""Pseudo-experiments: significances of injected signal, and excesses of background alone.

Background is thrown from the smooth fit of the run's background after the cut, not drawn from its
events again: each event would come many times, and the fluctuations of the one sample would be in
every experiment. Signal is thrown from the measured spectrum of its events.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from anomaly_hep.evaluate.intervals import TAIL, Interval, binomial
from anomaly_hep.search.choices import Choices
from anomaly_hep.search.cutscan import CutScan
from anomaly_hep.search.events import Sample, injected, within
from anomaly_hep.search.results import FalsePositives, Injection
from anomaly_hep.search.scan import Scan, median, scan, toys
from anomaly_hep.search.significance import ToyNull, standard_deviations
from anomaly_hep.search.smooth import LEAST_EVENTS
from anomaly_hep.search.spectrum import Spectrum

_LEAST_PARTS, _MOST_PARTS = 10, 200
_EVENTS_IN_PART = 2 * LEAST_EVENTS
_DEVIATIONS = 2.0


class Experiments:
    """Pseudo-experiments of one cut. All scans are counted in `fits` and `failed`."""

    def __init__(self, found: CutScan, background: Sample, choices: Choices) -> None:
        self.found, self.background, self.choices = found, background, choices
        self.expected = found.background_fit.expected[0]
        self.fits, self.failed = 0, 0
        # what the significances are read from is thrown independently of what is measured
        self.null = self._thrown(self.expected, choices.toys, 2)

    def at(self, signal: Sample | None) -> int:
        """Return the number of the scanned mass nearest to the median of the signal's masses."""
        if signal is None:
            return len(self.found.masses) // 2
        return int(np.argmin(np.abs(self.found.masses - median(signal.mass, signal.weight))))

    def injections(self, signal: Sample) -> list[Injection]:
        """Return the significances at each of the asked fractions of signal."""
        return [
            self._injection(signal, fraction, 10 + number)
            for number, fraction in enumerate(self.choices.fractions)
        ]

    def _injection(self, signal: Sample, fraction: float, stream: int) -> Injection:
        added = self.added(signal, fraction)
        scans = self._thrown(self.expected + added, self.choices.experiments, stream)
        at = self.at(signal)
        local, anywhere = self._significances(scans, at)
        return Injection(fraction, float(added.sum()), _band(local), _band(anywhere))

    def added(self, signal: Sample, fraction: float) -> Float64[np.ndarray, " bin"]:
        """Return the signal expected in each bin after the cut, in effective counts."""
        passed = self.found.cut.passed(signal)
        content = np.histogram(passed.mass, self.found.observed.edges, weights=passed.weight)[0]
        total = injected(float(self.background.weight.sum()), fraction)
        scaled: Float64[np.ndarray, " bin"] = (
            content / signal.weight.sum() * total * self.found.background.scale
        )
        return scaled

    def false_positives(self, signal: Sample | None) -> FalsePositives:
        """Return how often background alone exceeds two standard deviations."""
        scans = self._thrown(self.expected, self.choices.experiments, 3)
        at, number = self.at(signal), len(scans.q0)
        q0, limit = scans.q0[:, at], _DEVIATIONS
        local = standard_deviations(ToyNull.of(self.null.q0[:, [at]]).p(q0))
        anywhere = standard_deviations(ToyNull.of(self.null.q0).p(scans.q0.max(axis=1)))
        parts = self._parts(at)
        return FalsePositives(
            mass=float(self.found.masses[at]),
            local_asymptotic=binomial(int((np.sqrt(q0) > limit).sum()), number),
            local_toys=binomial(int((local > limit).sum()), number),
            anywhere=binomial(int((anywhere > limit).sum()), number),
            parts=len(parts),
            in_parts=binomial(int((np.sqrt(parts) > limit).sum()), len(parts))
            if len(parts)
            else None,
        )

    def _parts(self, at: int) -> Float64[np.ndarray, " part"]:
        """Return q0 of disjoint parts of the background's own events; empty if they are too few."""
        edges = self.found.observed.edges
        passed = self.found.cut.passed(self.background)
        passed = passed.take(within(passed, edges[0], edges[-1]))
        number = min(len(passed) // _EVENTS_IN_PART, _MOST_PARTS)
        if number < _LEAST_PARTS or np.ptp(passed.weight) > 0:
            return np.zeros(0)
        order = np.random.default_rng([self.choices.seed, 4]).permutation(len(passed))
        counts = [
            Spectrum.of(part.mass, np.ones(len(part)), edges).counts
            for part in (passed.take(rows) for rows in np.array_split(order, number))
        ]
        shift = self.found.background_shape.basis.T @ np.full(len(counts[0]), -np.log(number))
        start = self.found.background_fit.parameters[0] + shift
        return self._scanned(np.array(counts), start, slice(at, at + 1)).q0[:, 0]

    def _significances(
        self, scans: Scan, at: int
    ) -> tuple[Float64[np.ndarray, " experiment"], Float64[np.ndarray, " experiment"]]:
        """Return Z of each experiment at one mass and anywhere; a deficit has 0 at its mass."""
        local = ToyNull.of(self.null.q0[:, [at]]).p(scans.q0[:, at])
        anywhere = ToyNull.of(self.null.q0).p(scans.q0.max(axis=1))
        return np.maximum(standard_deviations(local), 0.0), standard_deviations(anywhere)

    def _thrown(self, expected: Float64[np.ndarray, " bin"], number: int, stream: int) -> Scan:
        """Scan pseudo-experiments of these expectations."""
        seed = [self.choices.seed, stream, round(1e6 * self.found.cut.efficiency)]
        start = self.found.background_fit.parameters[0]
        return self._scanned(toys(expected, number, seed), start, slice(None))

    def _scanned(self, counts: np.ndarray, start: np.ndarray, masses: slice) -> Scan:
        found = self.found
        templates = found.shares[masses] * found.background.scale
        scans = scan(counts, found.background_shape, start, templates)
        self.fits += scans.fits
        self.failed += scans.failed
        return scans


def _band(values: Float64[np.ndarray, " experiment"]) -> Interval:
    """Return the median and the central 68 % of the experiments."""
    low, middle, high = np.quantile(values, [TAIL, 0.5, 1 - TAIL])
    return Interval(float(middle), float(low), float(high))
