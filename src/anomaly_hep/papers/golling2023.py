"""The mass-ive issue: anomaly detection in jet physics (arXiv:2303.14134).

The paper prints no number: areas and sculpting are in its figures alone, so there are no published
rows. What it claims in words is measured in docs/results/stealth-jets.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from matplotlib.figure import Figure

from anomaly_hep.evaluate import figures
from anomaly_hep.evaluate.figures.jets import (
    average_jets,
    masses_before_and_after,
    scores_of_trainings,
)
from anomaly_hep.evaluate.general import ONE_TRAINING
from anomaly_hep.evaluate.headline import best_and_worst_area
from anomaly_hep.evaluate.metrics import AREA, signal_efficiency_at
from anomaly_hep.evaluate.paper import Baseline, Paper, Plot, PublishedRow, Signal
from anomaly_hep.evaluate.results import Results
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.models.outputs import JetReconstruction

SOURCE = "arXiv:2303.14134"
_MASSES, _MOMENTUM = ("relative_mass", "reconstructed_relative_mass"), "jet_pt"
# the scores of Fig. 5, of the same network trained on either background
_TRAINED_TWICE = ("mse", "knn")
COMPARED = ("IB-VAE trained on QCD", "IB-VAE trained on top")


def remarks(results: Results, rows: Sequence[PublishedRow]) -> Iterator[str]:
    """Yield what the jets are."""
    del rows  # there are none
    if results.data.origin == "simulated":
        yield (
            "A boson of 400 GeV is contained in a jet of R = 1.0 only above a pT of about 850 GeV, "
            "and its pT is twice that of QCD: QCD (boosted) has its pT spectrum."
        )


def _averages(run: RunFiles) -> Mapping[str, Figure]:
    events = run.reconstructions(JetReconstruction)
    return {} if events is None else {"": average_jets(events, run.results)}


def _masses(run: RunFiles) -> Mapping[str, Figure]:
    if not {*_MASSES, _MOMENTUM} <= set(run.table.columns):
        return {}
    return {"": masses_before_and_after(run.table, _MASSES, _MOMENTUM, run.results)}


def comparison(runs: Mapping[str, RunFiles]) -> Mapping[str, Figure]:
    """Return Fig. 5: two scores of the network trained on either background."""
    results = next(iter(runs.values())).results
    if any(not set(_TRAINED_TWICE) <= set(run.results.scores) for run in runs.values()):
        return {}
    tables = {name: run.table for name, run in runs.items()}
    return {"trainings": scores_of_trainings(tables, _TRAINED_TWICE, results)}


PAPER = Paper(
    source=SOURCE,
    headlines=(AREA,),
    metrics=(AREA, signal_efficiency_at(10), signal_efficiency_at(100), signal_efficiency_at(1000)),
    sentence=best_and_worst_area,
    # section 2
    signals=(
        Signal("QCD", "QCD", colour="slate"),  # where the background is another class
        Signal("top", "top", colour="orange"),
        Signal("StealthB80", "StealthB", mass=80, colour="red"),
        Signal("StealthB400", "StealthB", mass=400, colour="violet"),
        Signal("QCD_boosted", "QCD (boosted)", colour="brown", line="--"),
    ),
    baselines=(
        Baseline("jet_mass", "jet mass", "GeV", ("jet_mass",)),
        Baseline("jet_pt", "jet pT", "GeV", (_MOMENTUM,)),
    ),
    remarks=remarks,
    one_training=ONE_TRAINING,
    compared=COMPARED,
    comparison=comparison,
    plots=(
        figures.ROC_OF_SCORES,
        figures.HISTOGRAMS,
        figures.ROC,
        Plot(
            "average_jets",
            "Mean share of pT by place about the jet axis, before and after the autoencoder, and "
            "how much of it lies elsewhere.",
            _averages,
            wide=True,
        ),
        Plot(
            "masses_before_and_after",
            "Mass of the jets' constituents that the network sees, before and after the "
            "autoencoder.",
            _masses,
        ),
        figures.LOSSES,
    ),
)
