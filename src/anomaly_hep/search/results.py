"""The results of a search: the content of search.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from anomaly_hep.atomic import write_text
from anomaly_hep.evaluate.intervals import Interval


@dataclass(frozen=True)
class MassDistribution:
    """Number of events, and the mass (GeV) below which 50, 16 and 84 % of their weight lie."""

    events: int
    mass: Interval


@dataclass(frozen=True)
class Deviations:
    """Standard deviations with their interval; no upper end where no toy was beyond."""

    value: float
    low: float
    high: float | None


@dataclass(frozen=True)
class SmoothFit:
    """The dijet function that fits a spectrum without signal.

    `coefficients` are ln p0 (events per GeV), p1, p2 ...; `p` is the share of toys whose chi² is as
    large.
    """

    parameters: int
    coefficients: Sequence[float]
    chi2: float
    degrees: int
    p: Interval


@dataclass(frozen=True)
class Excess:
    """The most significant mass (GeV) of a scan: local and global p-values, one-sided.

    `signal_events` is the fitted yield in effective events. `local_p` is asymptotic,
    `local_p_toys` the share of toys at that mass. `global_p` is the share of toys whose largest
    excess anywhere is as large; below ten toys `global_z` is from the bound of Gross and Vitells,
    and `extrapolated` says so.
    """

    mass: float
    signal_events: float
    local_p: float
    local_z: float
    local_p_toys: Interval
    global_p: Interval
    global_z: Deviations
    extrapolated: bool


@dataclass(frozen=True)
class Injection:
    """Significances of pseudo-experiments with a share of signal, before any cut: median, 68 %.

    `signal_events` are expected after the cut in the range of masses. `local_z` is taken at the
    scanned mass nearest to the signal's, `global_z` anywhere.
    """

    fraction: float
    signal_events: float
    local_z: Interval
    global_z: Interval


@dataclass(frozen=True)
class FalsePositives:
    """How often background alone exceeds two standard deviations; nominally 2.28 %.

    At `mass` (GeV): with asymptotic local p-values and with those of toys; anywhere, globally; and
    in `parts` disjoint parts of the run's own background events, each used once (asymptotic).
    """

    mass: float
    local_asymptotic: Interval
    local_toys: Interval
    anywhere: Interval
    parts: int
    in_parts: Interval | None


@dataclass(frozen=True)
class CutResult:
    """One cut on the score: the scan of the observed events, and pseudo-experiments.

    Masses are in GeV. Both smooth fits are without a signal: of the background's own spectrum, and
    of the observed one, which a signal makes worse. `failed_fits` of `fits` did not converge, toys
    included.
    """

    efficiency: float
    reached: float
    threshold: float | None
    background_mass: MassDistribution
    background_fit: SmoothFit
    observed_events: int
    observed_fit: SmoothFit
    masses: Sequence[float]
    local_p: Sequence[float]
    excess: Excess
    injections: Sequence[Injection]
    false_positives: FalsePositives
    fits: int
    failed_fits: int


@dataclass(frozen=True)
class SearchResults:
    """A search in the events of one run.

    `correlation` is Spearman's, of score and mass of the background. `workspace_p` is the local
    p-value that pyhf finds in workspace.json, of the tightest cut. Masses and energies in GeV.
    """

    run: str
    data: str
    origin: str
    event_noun: str
    score: str
    background: str
    signal: str | None
    observed: str
    template: str
    width: float
    edges: Sequence[float]
    energy: float
    correlation: float
    mass_before: MassDistribution
    toys: int
    experiments: int
    seed: int
    cuts: Sequence[CutResult]
    workspace_p: float
    notes: Sequence[str]

    def write(self, directory: Path) -> None:
        """Write search.json, whose bytes are the same for the same run and choices."""
        text = json.dumps(asdict(self), indent=1, allow_nan=False, ensure_ascii=False)
        write_text(directory / "search.json", text + "\n")
