"""The search in the events of a run: cuts, spectra, scans, pseudo-experiments, what is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from anomaly_hep.atomic import write_text
from anomaly_hep.errors import ConfigError, SearchError
from anomaly_hep.evaluate.intervals import TAIL, Interval
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.search.choices import Choices
from anomaly_hep.search.cutscan import CutScan, described, scan_cut
from anomaly_hep.search.events import Cut, RunEvents, Sample, mixture, read_events, within
from anomaly_hep.search.experiments import Experiments
from anomaly_hep.search.results import CutResult, MassDistribution, SearchResults, SmoothFit
from anomaly_hep.search.scan import median
from anomaly_hep.search.smooth import fit_edges
from anomaly_hep.search.workspace import pyhf_p, workspace

_WORST = 0.05  # p-value of chi² below which a reader is warned
_EXPLAINS = 3.0  # standard deviations of an excess that may be why a fit without signal is bad


@dataclass(frozen=True, eq=False)
class Search:
    """The results of a search, the scans behind them, and the workspace of the tightest cut."""

    results: SearchResults
    scans: Sequence[CutScan]
    workspace: dict[str, Any]

    def write(self, directory: Path) -> None:
        """Write search.json and workspace.json."""
        self.results.write(directory)
        write_text(directory / "workspace.json", json.dumps(self.workspace, indent=1) + "\n")


@dataclass(frozen=True, eq=False)
class _Data:
    """What is searched: the observed events and where they come from, signal and template."""

    observed: Sample
    words: str
    signal_name: str | None
    signal: Sample | None
    template: Sample | None


def search(files: RunFiles, choices: Choices) -> Search:
    """Search the test events of a run; raises SearchError or ConfigError where that cannot be."""
    events = read_events(files, choices.score)
    background = events.samples[events.background]
    notes = list(_notes_on_events(events, len(files.table)))
    data = _data(files, events, choices, notes)
    # two bins for each width of the signal
    edges = fit_edges(background, choices.width / 2, choices.energy, choices.mass_range)
    scans = _scans(background, data, edges, choices, notes)
    cuts = [_cut_result(one, background, data, choices) for one in scans]
    content = _workspace(scans[-1])
    results = files.results
    found = SearchResults(
        run=str(files.directory),
        data=results.data.title,
        origin=results.data.origin,
        event_noun=results.data.event_noun,
        score=events.score,
        background=events.background,
        signal=data.signal_name,
        observed=data.words,
        template=choices.template or f"Gaussian of {100 * choices.width:g} % of the mass",
        width=choices.width,
        edges=edges.tolist(),
        energy=choices.energy,
        correlation=events.correlation,
        mass_before=_distribution(background, edges),
        toys=choices.toys,
        experiments=choices.experiments,
        seed=choices.seed,
        cuts=cuts,
        workspace_p=pyhf_p(content),
        notes=[*notes, *_notes_on_cuts(cuts)],
    )
    return Search(found, scans, content)


def _data(files: RunFiles, events: RunEvents, choices: Choices, notes: list[str]) -> _Data:
    """Return what is observed: classes as they are, or background with a share of signal."""
    signals = [label for label in files.results.signals if label in events.samples]
    name = choices.signal or (signals[0] if signals else None)
    if name == events.background:
        raise ConfigError(
            f"signal={name} is the background. Cure: one of {', '.join(signals) or 'no signal'}"
        )
    signal = None if name is None else events.sample(name, "signal")
    template = None if choices.template is None else events.sample(choices.template, "template")
    background, fraction = events.samples[events.background], choices.fraction
    if choices.observed is not None:
        observed = events.together(choices.observed, "observed")
        return _Data(observed, " and ".join(choices.observed), name, signal, template)
    if signal is None or fraction == 0:
        if signal is None:
            notes.append("The run has no signal: nothing was injected.")
        return _Data(background, f"{events.background} alone", name, signal, template)
    observed = mixture(background, signal, fraction, [choices.seed, 5])
    words = f"{events.background} with {100 * fraction:g} % {name} (pseudo-data)"
    return _Data(observed, words, name, signal, template)


def _scans(
    background: Sample,
    data: _Data,
    edges: Float64[np.ndarray, " edge"],
    choices: Choices,
    notes: list[str],
) -> list[CutScan]:
    """Scan every cut; of those that nobody asked for, what is too empty is left out and said."""
    scans = []
    for efficiency in choices.efficiencies:
        cut = Cut.at(background, efficiency)
        try:
            scans.append(scan_cut(cut, background, data.observed, data.template, edges, choices))
        except SearchError as error:
            if choices.efficiency is not None or not scans:
                raise
            notes.append(f"Left out: {str(error).split('. Cure', 1)[0]}.")
    return scans


def _cut_result(found: CutScan, background: Sample, data: _Data, choices: Choices) -> CutResult:
    edges = found.observed.edges
    seen = found.cut.passed(data.observed)
    tried = Experiments(found, background, choices)
    return CutResult(
        efficiency=found.cut.efficiency,
        reached=found.cut.reached,
        threshold=found.cut.threshold,
        background_mass=_distribution(found.cut.passed(background), edges),
        background_fit=described(
            found.background, found.background_fit, found.background_shape, tried.null
        ),
        observed_events=int(within(seen, edges[0], edges[-1]).sum()),
        observed_fit=described(found.observed, found.smooth, found.shape, found.toys),
        masses=found.masses.tolist(),
        local_p=found.local_p.tolist(),
        excess=found.excess(),
        injections=[] if data.signal is None else tried.injections(data.signal),
        false_positives=tried.false_positives(data.signal),
        fits=tried.fits + found.scan.fits + found.toys.fits,
        failed_fits=tried.failed + found.scan.failed + found.toys.failed,
    )


def _distribution(sample: Sample, edges: Float64[np.ndarray, " edge"]) -> MassDistribution:
    """Return number and quantiles of the events in the range of masses."""
    chosen = sample.take(within(sample, edges[0], edges[-1]))
    middle, low, high = (
        median(chosen.mass, chosen.weight, share) for share in (0.5, TAIL, 1 - TAIL)
    )
    return MassDistribution(len(chosen), Interval(middle, low, high))


def _workspace(found: CutScan) -> dict[str, Any]:
    best = found.best
    # a scan without any excess still has a signal to write
    signal = found.templates[best] * max(float(found.scan.signal[0, best]), 1.0)
    return workspace(found.observed.counts, found.smooth.expected[0], signal, found.shape)


def _notes_on_events(events: RunEvents, number: int) -> Sequence[str]:
    if not events.left_out:
        return []
    return [f"{events.left_out:,} of {number:,} events have no mass above 0 GeV: left out."]


def _notes_on_cuts(cuts: Sequence[CutResult]) -> list[str]:
    """Return what a reader must know of single cuts."""
    notes = []
    for cut in cuts:
        where = f"efficiency {cut.efficiency:g}"
        if cut.background_fit.p.value < _WORST:
            notes.append(_misfit(cut.background_fit, f"the background at {where}"))
        elif cut.observed_fit.p.value < _WORST and cut.excess.global_z.value < _EXPLAINS:
            notes.append(_misfit(cut.observed_fit, f"the observed events at {where}"))
        if cut.failed_fits:
            notes.append(
                f"At {where} {cut.failed_fits:,} of {cut.fits:,} fits, toys included, did not "
                "converge; their q0 are lower limits."
            )
    return notes


def _misfit(smooth: SmoothFit, what: str) -> str:
    return (
        f"The smooth shape does not describe {what} (chi² {smooth.chi2:.1f} for {smooth.degrees} "
        f"degrees of freedom, p {smooth.p.value:.2g} by toys): p-values there cannot be relied on."
    )
