"""The scan of one cut: the observed spectrum, its smooth fit, the excesses, and their toys."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64

from anomaly_hep.errors import SearchError
from anomaly_hep.evaluate.intervals import binomial
from anomaly_hep.search.choices import Choices
from anomaly_hep.search.events import Cut, Sample, within
from anomaly_hep.search.likelihood import Fits, fit, fit_smooth
from anomaly_hep.search.results import Deviations, Excess, SmoothFit
from anomaly_hep.search.scan import Scan, gaussian_templates, measured_templates, scan, toys
from anomaly_hep.search.shape import PARAMETERS, Shape
from anomaly_hep.search.significance import ENOUGH, ToyNull, in_deviations, local_p
from anomaly_hep.search.smooth import LEAST_EVENTS, Groups, chosen_parameters
from anomaly_hep.search.spectrum import Spectrum

LEAST_IN_WINDOW = 10.0  # background events expected within two widths of a mass that is tried
_REACH = 2  # widths of the signal on each side that belong to its window
Masses = Float64[np.ndarray, " mass"]


@dataclass(frozen=True, eq=False)
class CutScan:
    """One cut with its spectra and the scan of the observed one.

    `background` is the background's own spectrum, `background_fit` its smooth fit by
    `background_shape`; `smooth` fits the observed one by `shape`. Both shapes differ in the scale
    of weights alone. `shares` are the parts of a signal in each bin, by mass. `toys` are scans of
    background alone, thrown from `smooth`.
    """

    cut: Cut
    observed: Spectrum
    smooth: Fits
    shape: Shape
    background: Spectrum
    background_fit: Fits
    background_shape: Shape
    masses: Masses
    shares: Float64[np.ndarray, "mass bin"]
    scan: Scan
    toys: Scan

    @property
    def templates(self) -> Float64[np.ndarray, "mass bin"]:
        """The effective counts per signal event in each bin, by mass."""
        return self.shares * self.observed.scale

    @property
    def best(self) -> int:
        """Number of the most significant mass."""
        return int(np.argmax(self.scan.q0[0]))

    @cached_property
    def best_fit(self) -> Fits:
        """The fit of the observed spectrum with a signal at the most significant mass."""
        counts, start = self.observed.counts[None], self.smooth.parameters
        return fit(counts, self.shape, start, self.templates[self.best])

    @property
    def local_p(self) -> Masses:
        """The asymptotic local p-value at each mass."""
        return local_p(self.scan.q0[0])

    @property
    def null(self) -> ToyNull:
        """The largest excesses of the toys."""
        return ToyNull.of(self.toys.q0)

    def excess(self) -> Excess:
        """Return the most significant mass, with its p-values."""
        best, null = self.best, self.null
        q0 = float(self.scan.q0[0, best])
        share = null.interval(q0)
        return Excess(
            mass=float(self.masses[best]),
            signal_events=float(self.scan.signal[0, best] * self.templates[best].sum()),
            local_p=float(local_p(q0)),
            local_z=float(np.sqrt(q0)),
            local_p_toys=ToyNull.of(self.toys.q0[:, [best]]).interval(q0),
            global_p=share,
            global_z=Deviations(*in_deviations(share, float(null.p(q0)))),
            extrapolated=share.value * len(self.toys.q0) < ENOUGH,
        )


def described(spectrum: Spectrum, fits: Fits, shape: Shape, thrown: Scan) -> SmoothFit:
    """Return the smooth fit of a spectrum, and how well it describes it, by toys thrown from it."""
    groups = Groups.of(fits.expected[0])
    chi2 = float(groups.chi2(spectrum.counts[None], fits.expected)[0])
    chance = groups.chi2(thrown.counts, thrown.smooth.expected)
    return SmoothFit(
        shape.parameters,
        tuple(shape.coefficients(fits.parameters[0]).tolist()),
        chi2,
        groups.degrees(shape.parameters),
        binomial(int((chance >= chi2).sum()), len(chance)),
    )


def scan_cut(
    cut: Cut,
    background: Sample,
    observed: Sample,
    template: Sample | None,
    edges: Float64[np.ndarray, " edge"],
    choices: Choices,
) -> CutScan:
    """Scan the events that pass a cut; raises SearchError where they are too few for it.

    The order of the shape and the masses that are tried follow from the background alone.
    """
    passed, seen = cut.passed(background), cut.passed(observed)
    own = _spectrum(passed, edges, "background", cut)
    spectrum = _spectrum(seen, edges, "observed", cut)
    own_shape = Shape(edges, choices.energy, PARAMETERS[0], own.scale)
    own_shape = own_shape.with_parameters(chosen_parameters(own, own_shape))
    own_fit = _converged(fit_smooth(own.counts[None], own_shape), cut)
    masses = tried_masses(own, own_fit.expected[0], choices.width)
    if not len(masses):
        raise SearchError(
            f"efficiency={cut.efficiency:g} leaves no mass with {LEAST_IN_WINDOW:.0f} background "
            f"events within {_REACH} widths of the signal and inside the range. Cure: a higher "
            "efficiency, a larger width, a wider mass_range, or more test events"
        )
    shares = signal_shares(masses, template and cut.passed(template), edges, choices.width)
    shape = Shape(edges, choices.energy, own_shape.parameters, spectrum.scale)
    smooth = _converged(fit_smooth(spectrum.counts[None], shape), cut)
    templates, start = shares * spectrum.scale, smooth.parameters[0]
    thrown = toys(smooth.expected[0], choices.toys, _seed(choices, cut))
    return CutScan(
        cut, spectrum, smooth, shape, own, own_fit, own_shape, masses, shares,
        scan(spectrum.counts[None], shape, start, templates),
        scan(thrown, shape, start, templates),
    )  # fmt: skip


def _seed(choices: Choices, cut: Cut) -> list[int]:
    return [choices.seed, 1, round(1e6 * cut.efficiency)]


def signal_shares(
    masses: Masses, events: Sample | None, edges: Float64[np.ndarray, " edge"], width: float
) -> Float64[np.ndarray, "mass bin"]:
    """Return the share of a signal in each bin: Gaussians, or the events' spectrum moved."""
    if events is None:
        return gaussian_templates(masses, width, edges)
    if len(events) < LEAST_EVENTS:
        raise SearchError(
            f"{len(events)} events of the template pass the cut, and a spectrum needs "
            f"{LEAST_EVENTS}. Cure: template=null for a Gaussian, or a higher efficiency"
        )
    return measured_templates(masses, events.mass, events.weight, edges)


def tried_masses(spectrum: Spectrum, expected: Float64[np.ndarray, " bin"], width: float) -> Masses:
    """Return the centres of those bins whose window is inside the range and not too empty."""
    centres = spectrum.centres
    low, high = centres * (1 - _REACH * width), centres * (1 + _REACH * width)
    inside = (low >= spectrum.edges[0]) & (high <= spectrum.edges[-1])
    windows = (centres >= low[:, None]) & (centres <= high[:, None])
    return centres[inside & (windows @ expected >= LEAST_IN_WINDOW)]


def _spectrum(
    sample: Sample, edges: Float64[np.ndarray, " edge"], whose: str, cut: Cut
) -> Spectrum:
    """Return the spectrum of a sample; raises SearchError for too few events to fit."""
    number = int(within(sample, edges[0], edges[-1]).sum())
    if number < LEAST_EVENTS:
        raise SearchError(
            f"efficiency={cut.efficiency:g} leaves {number} {whose} events from {edges[0]:,.0f} to "
            f"{edges[-1]:,.0f} GeV, and a fit needs {LEAST_EVENTS}. Cure: a higher efficiency, a "
            "wider mass_range, or a run with more test events"
        )
    return Spectrum.of(sample.mass, sample.weight, edges)


def _converged(fits: Fits, cut: Cut) -> Fits:
    if not fits.converged.all():
        raise SearchError(
            f"efficiency={cut.efficiency:g}: the smooth fit did not converge. Cure: another "
            "mass_range, or a higher efficiency"
        )
    return fits
