"""Every figure of a run: made from its files, saved below figures/."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from matplotlib.figure import Figure

from anomaly_hep.errors import RunDirectoryError, ScoreTableError
from anomaly_hep.evaluate.figures.efficiencies import efficiency_summary
from anomaly_hep.evaluate.figures.histograms import score_histogram, score_histograms
from anomaly_hep.evaluate.figures.masses import (
    mass_of_background,
    sculpting_by_efficiency,
    sculpting_by_rejection,
)
from anomaly_hep.evaluate.figures.reconstructions import (
    reconstructed_images,
    reconstructed_particles,
)
from anomaly_hep.evaluate.figures.roccurves import roc_by_signal, roc_of_score, rocs_by_group
from anomaly_hep.evaluate.figures.significance import FEWEST, improvement_of_score
from anomaly_hep.evaluate.figures.style import save
from anomaly_hep.evaluate.figures.training import loss_curves, loss_terms
from anomaly_hep.evaluate.paper import Paper, Plot
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.models.outputs import ImageReconstruction, ParticleReconstruction
from anomaly_hep.names import ALLOWED, is_name

Figures = Mapping[str, Figure]


def write_figures(run_directory: Path) -> list[Path]:
    """Draw the paper's figures of a run, and those of masses, and return their paths.

    Needs metrics.json, scores.parquet, config.yaml and ledger.json (else MissingDataError);
    metrics.csv gives the loss curves and reconstructions.npz the events before and after.
    """
    run = RunFiles(run_directory)
    directory = run.directory / "figures"
    if directory.is_symlink():
        raise RunDirectoryError(
            f"{directory} is a link to {directory.readlink()}, and figures are written into the "
            "run alone. Cure: remove the link"
        )
    return [
        save(figure, directory / f"{_file_name(plot.name + ending)}.png")
        for plot in plots_of(run.paper)
        for ending, figure in plot.draw(run).items()
    ]


def plots_of(paper: Paper) -> tuple[Plot, ...]:
    """Return a paper's kinds of figures and those of every run whose events have a mass."""
    return tuple(dict.fromkeys((*paper.plots, *MASS_PLOTS)))


def _file_name(name: str) -> str:
    """Return the name of a figure, of which a part is a score or a class; refuse a path."""
    if not is_name(name):
        raise ScoreTableError(f"{name!r} cannot be the name of a figure. Cure: {ALLOWED}")
    return name


def _efficiencies(run: RunFiles) -> Figures:
    return {"": efficiency_summary(run.results, 100, run.published)} if run.results.signals else {}


def _roc(run: RunFiles) -> Figures:
    if not run.results.signals:
        return {}
    return {"": roc_by_signal(run.distributions, run.results, run.published)}


def _roc_of_scores(run: RunFiles) -> Figures:
    names = run.results.scores if run.results.signals else ()
    return {name: roc_of_score(name, run.distributions[name], run.results) for name in names}


def _improvements(run: RunFiles) -> Figures:
    names = run.results.scores if run.results.signals else ()
    return {n: improvement_of_score(n, run.distributions[n], run.results) for n in names}


def _rocs_by_group(run: RunFiles) -> Figures:
    name = run.results.default_score
    if not run.results.data.measured_groups:
        return {}
    return {"": rocs_by_group(name, run.distributions[name], run.results)}


def _histograms(run: RunFiles, names: Iterable[str]) -> Figures:
    return {name: score_histogram(name, run.distributions[name], run.results) for name in names}


def _particles(run: RunFiles) -> Figures:
    events = run.reconstructions(ParticleReconstruction)
    return {} if events is None else {"": reconstructed_particles(events, run.results)}


def _images(run: RunFiles) -> Figures:
    events = run.reconstructions(ImageReconstruction)
    return {} if events is None else {"": reconstructed_images(events, run.results)}


def _masses(run: RunFiles) -> Figures:
    background = run.background_masses
    if background is None:
        return {}
    return {
        name: mass_of_background(name, run.columns[name], background, run.results)
        for name in run.results.scores
    }


def _sculpting(run: RunFiles) -> Figures:
    background = run.background_masses
    if background is None:
        return {}
    return {"": sculpting_by_rejection(run.columns, background, run.results)}


def _sculpting_for_signals(run: RunFiles) -> Figures:
    background = run.background_masses
    if background is None or not run.results.signals:
        return {}
    columns, samples = run.columns, run.distributions
    return {"": sculpting_by_efficiency(columns, samples, background, run.results)}


def _losses(run: RunFiles) -> Figures:
    if run.losses is None or not loss_terms(run.losses):
        return {}
    return {"": loss_curves(run.losses, run.results)}


EFFICIENCIES = Plot(
    "efficiencies",
    "Signal efficiency where 1 in 100 background events passes. Bars: central 68 % interval; of "
    "published rows, the spread of several trainings.",
    _efficiencies,
)
ROC = Plot(
    "roc",
    "ROC curve of every score and baseline, signal by signal; the band is the 68 % interval of the "
    "default score, a thin line the paper's working point.",
    _roc,
)
ROC_OF_SCORES = Plot("roc_", "ROC curves of one score for all signals.", _roc_of_scores)
IMPROVEMENTS = Plot(
    "improvement_",
    "Significance improvement of a cut on one score for all signals, with 68 % intervals. Curves "
    f"end where fewer than {FEWEST} background events pass.",
    _improvements,
)
ROCS_BY_GROUP = Plot(
    "groups", "ROC curves of the default score for every signal of a group.", _rocs_by_group
)
ALL_HISTOGRAMS = Plot(
    "distributions",
    "Distribution of every score and baseline in the background and in each group of signals, "
    "which have equal weight. The outermost bins hold what lies beyond.",
    lambda run: {"": score_histograms(run.distributions, run.results)},
)
_BEYOND = "Distribution of one score in each class. The outermost bins hold what lies beyond."
HISTOGRAMS = Plot(
    "histogram_",
    _BEYOND,
    lambda run: _histograms(run, (*run.results.scores, *run.results.baselines)),
)
HISTOGRAM_OF_DEFAULT = Plot(
    "histogram_", _BEYOND, lambda run: _histograms(run, [run.results.default_score])
)
PARTICLES = Plot(
    "particles",
    "Particles before (above) and after (below) the autoencoder; the area of a disc is the "
    "particle's share of the transverse momentum.",
    _particles,
)
IMAGES = Plot(
    "images",
    "Images before and after the autoencoder: the truth, the reconstructed probability of each "
    "pixel, and where it exceeds one half.",
    _images,
)
LOSSES = Plot(
    "losses",
    "Loss terms while training and in validation, phase after phase.",
    _losses,
)
MASSES = Plot(
    "mass_",
    "Mass of the background before and after cuts on one score, each of sum 1, and the ratio to "
    "before. The outermost bins hold what lies beyond.",
    _masses,
)
SCULPTING = Plot(
    "sculpting",
    "Mass sculpting: relative entropy of the background's mass after a cut against before. Grey: "
    "what random cuts of equal size give. Curves end where too few background events pass.",
    _sculpting,
)
SCULPTING_FOR_SIGNALS = Plot(
    "sculpting_efficiency",
    "The same against the signal efficiency of the cut, signal by signal. Hollow points are not "
    "above what 84 % of random cuts give.",
    _sculpting_for_signals,
    wide=True,
)

MASS_PLOTS = (SCULPTING, SCULPTING_FOR_SIGNALS, MASSES)
GENERAL_PLOTS = (
    EFFICIENCIES,
    ROC,
    ROC_OF_SCORES,
    ROCS_BY_GROUP,
    HISTOGRAMS,
    PARTICLES,
    IMAGES,
    LOSSES,
)
