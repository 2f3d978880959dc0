"""Triggering dark showers with conditional dual auto-encoders (arXiv:2306.12955).

Tables 4, 5, 8, 10 and 11 are in anzalone2023.csv: area under the ROC and background rate at 40 %
signal efficiency by mass, both in %, with means over the masses; Table 8 has mean and deviation
over QCD events. Tables 6 and 7 repeat rows of 10 and 11. Background rates that the paper prints as
nearly zero are absent; according to its means each is below 0.02 %.

Two things are not as printed. The rows that the paper calls BCE are its sums of absolute errors
(SAE): its code exchanges truth and prediction, which turns the cross-entropy into 15.42 SAE. A true
BCE was not published. And its row '(mask)' of the CoDAE is the result of counting hits: with the
AE's row '(mask)', which decreases with their number, it adds up to 100 at every mass. Rows marked
'inferred' have no name in the text that we have: the CoDVAE's come in the order of the CoDAE's; its
SAE equals its SSE within the noise of the latent sample, as Bernoulli modes make them; its
predicted energy falls short where most is true. The AE's SAE is printed twice, as BCE and as SAE.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from anomaly_hep.evaluate import figures
from anomaly_hep.evaluate.evaluation import gain_key
from anomaly_hep.evaluate.figures.latent import latent_scatter
from anomaly_hep.evaluate.figures.roccurves import roc_by_signal
from anomaly_hep.evaluate.general import ONE_TRAINING
from anomaly_hep.evaluate.headline import best_and_worst_area, inline
from anomaly_hep.evaluate.intervals import Interval
from anomaly_hep.evaluate.metrics import AREA, RATE_AT_40
from anomaly_hep.evaluate.paper import (
    MEAN,
    Baseline,
    Paper,
    Plot,
    PublishedRow,
    Signal,
    read_rows,
)
from anomaly_hep.evaluate.results import Results
from anomaly_hep.evaluate.runfiles import RunFiles

SOURCE = "arXiv:2306.12955"
# counting hits is as good as the latent space of the paper's models
HITS, TRACKS = "hits", "n_tracks"
# scores that are the components of the latent vector, as in Fig. 3
LATENT = ("latent_1", "latent_2")
SUPERVISED = "Supervised CCT"
_OURS = {
    "simulated": "ours on events of our own simulation",
    "published": "ours on published files, a small part of it",
    "user": "ours on the user's own files",
}


def sentence(results: Results) -> str:
    """Return a sentence on how well the default score, and counting hits, separate each group."""
    groups, name = results.data.measured_groups, results.default_score
    if not groups:
        return best_and_worst_area(results)
    areas, rates = (results.cells(name, metric.key) for metric in (AREA, RATE_AT_40))
    parts = []
    for group, labels in groups.items():
        text = f"{inline(areas[MEAN + group])} for {group}"
        if len(labels) > 1:
            text += f" (mean over {len(labels)} masses)"
        if MEAN + group in rates:
            text += (
                f", where {inline(rates[MEAN + group])} of {results.data.background} passes with "
                "40 % of the signal"
            )
        parts.append(text)
    main = (
        f"The {results.title(name)} separates signals from {results.data.background} with an area "
        f"under the ROC curve of {'; and of '.join(parts)}."
    )
    if HITS not in results.baselines:
        return main
    counted = results.cells(HITS, AREA.key)
    gains = results.cells(name, gain_key(results.paper))
    counts = " and ".join(f"{inline(counted[MEAN + group])} for {group}" for group in groups)
    leads = " and ".join(f"{_points(gains[MEAN + group])} for {group}" for group in groups)
    return (
        f"{main} Counting {results.title(HITS)} alone reaches {counts}. On the same events the "
        f"score is ahead by {leads}."
    )


def _points(interval: Interval) -> str:
    """Return a difference of two areas, in points of a percent."""
    value, low, high = (100 * number for number in interval)
    return f"{value:+.2f} ± {(high - low) / 2:.2f} points"


def remarks(results: Results, rows: Sequence[PublishedRow]) -> Iterator[str]:
    """Yield what may be compared, and which of the paper's row names are misleading."""
    if not rows:
        return
    yield (
        f"The paper's rows ({SOURCE}) were measured on its whole test sample, "
        f"{_OURS[results.data.origin]}; they are one training each, without intervals, and '–' "
        "where it prints nearly zero. Order and signs of the latent components are arbitrary: "
        "they depend on the training."
    )
    if any("BCE" in row.row for row in rows) and {"sae", "bce"} & set(results.scores):
        yield (
            "The row that the paper calls BCE is its sum of absolute errors: its code exchanges "
            "truth and prediction. It stands below our SAE; a true BCE was not published."
        )
    if any(row.inferred for row in rows):
        yield (
            "'inferred': the paper's name of the row is not in the text that we have and was "
            "reasoned from the numbers."
        )


def rocs_by_mass(run: RunFiles) -> Mapping[str, Figure]:
    """Return for each group the ROC curves of every score and of two counts, mass by mass."""
    results = run.results
    # only the published rows and baselines that the default score is compared with
    rows = [r for r in run.published if r.score in (results.default_score, HITS, TRACKS)]
    rows += [row for row in run.published if row.row == SUPERVISED and row not in rows]
    shown = {n: d for n, d in run.distributions.items() if n in {*results.scores, HITS, TRACKS}}
    return {
        group: roc_by_signal(shown, results, rows, labels)
        for group, labels in results.data.measured_groups.items()
    }


def latent_space(run: RunFiles) -> Mapping[str, Figure]:
    """Return the latent vectors of single events, as in Fig. 3."""
    if not set(LATENT) <= set(run.results.scores) or not run.results.data.measured_groups:
        return {}
    return {"": latent_scatter(run.table, run.results, LATENT)}


PAPER = Paper(
    source=SOURCE,
    headlines=(AREA, RATE_AT_40),
    sentence=sentence,
    # mediator masses in GeV
    signals=(
        *(Signal(f"SUEP{m}", "SUEP", mass=m) for m in (125, 200, 300, 400, 700, 1000)),
        *(Signal(f"SVJ{m}", "SVJ", mass=m) for m in (2100, 3100, 4100)),
    ),
    # section 5.2
    baselines=(
        Baseline(HITS, "hit pixels", "number", ("hits",)),
        Baseline(TRACKS, "tracks", "number", ("n_tracks",)),
        Baseline("energy_tracker", "tracker energy", "GeV", ("energy_tracker",)),
        Baseline("energy_ecal", "ECAL energy", "GeV", ("energy_ecal",)),
        Baseline("energy_hcal", "HCAL energy", "GeV", ("energy_hcal",)),
        Baseline("energy", "total energy", "GeV", ("energy",)),
    ),
    reference=HITS,
    columns=("mass",),
    rows=read_rows(Path(__file__).with_suffix(".csv")),
    rows_measured="Measured by its authors on their own events, one training each.",
    shown_with_all=(SUPERVISED,),
    remarks=remarks,
    one_training=ONE_TRAINING,
    plots=(
        Plot(
            "latent",
            f"The two latent components of single events, as in Fig. 3 of {SOURCE}. Of the "
            "background a random part is drawn.",
            latent_space,
        ),
        figures.IMAGES,
        Plot(
            "group_roc_",
            "ROC curve of every score and of baselines, mass by mass; the band is the 68 % "
            "interval of the default score, the vertical line the paper's working point.",
            rocs_by_mass,
            wide=True,
        ),
        figures.ROCS_BY_GROUP,
        figures.ALL_HISTOGRAMS,
        figures.HISTOGRAM_OF_DEFAULT,
        figures.LOSSES,
    ),
)
