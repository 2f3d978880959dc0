"""Deep Set auto-encoders for anomaly detection in particle physics (SciPost Phys. 12, 045).

The paper prints no table. ostdiek2022.csv holds what its author published beside it: the numbers
behind Fig. 6 and 7 for beta = 1 and 0.001 and w = 1 and 10, and those of two other methods of the
Dark Machines challenge (arXiv:2105.14027), whose total improvements over all four channels are in
ostdiek2022_improvements.csv. Efficiencies and areas are in %; none has an interval. Significance
improvements follow from the efficiencies by eq. 8.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from anomaly_hep.evaluate import figures
from anomaly_hep.evaluate.cells import Cell, plain
from anomaly_hep.evaluate.combination import Combination, Combined
from anomaly_hep.evaluate.evaluation import events_by_label, score_columns
from anomaly_hep.evaluate.figures.improvements import (
    improvement_boxes,
    improvements_by_channel,
)
from anomaly_hep.evaluate.general import ONE_TRAINING
from anomaly_hep.evaluate.improvement import ClassScores, Improvements, total_improvements
from anomaly_hep.evaluate.metrics import (
    AREA,
    signal_efficiency_at,
    significance_improvement,
)
from anomaly_hep.evaluate.paper import Baseline, Paper, PublishedRow, Signal, read_rows
from anomaly_hep.evaluate.results import Results
from anomaly_hep.evaluate.resulttable import Column, ResultTable, Row
from anomaly_hep.evaluate.runfiles import RunFiles

SOURCE = "SciPost Phys. 12, 045"
REJECTIONS = (100, 1000, 10_000)
SIGNIFICANCE = significance_improvement(REJECTIONS)
SUMMARY = {"median": "median", "minimum": "lowest", "maximum": "highest"}
_HERE = Path(__file__)

_SUSY = {
    "glgl1400_neutralino1100": ("gluinos 1400/1100", r"$\tilde g\tilde g$ (1400, 1100)"),
    "glgl1600_neutralino800": ("gluinos 1600/800", r"$\tilde g\tilde g$ (1600, 800)"),
    "gluino_1000_neutralino_1": ("gluinos 1000/1", r"$\tilde g\tilde g$ (1000, 1)"),
    "sqsq_sq1800_neut800": ("squarks 1800/800", r"$\tilde q\tilde q$ (1800, 800)"),
    "sqsq1_sq1400_neut800": ("squarks 1400/800", r"$\tilde q\tilde q$ (1400, 800)"),
    "stop2b1000_neutralino300": ("stops 1000/300", r"$\tilde t\tilde t$ (1000, 300)"),
    "stlp_st1000": ("RPV stops 1000", r"RPV $\tilde t\tilde t$ (1000)"),
    "chaneut_cha200_neut50": ("χ±χ0 200/50", r"$\chi^\pm\chi^0$ (200, 50)"),
    "chaneut_cha250_neut150": ("χ±χ0 250/150", r"$\chi^\pm\chi^0$ (250, 150)"),
    "chaneut_cha300_neut100": ("χ±χ0 300/100", r"$\chi^\pm\chi^0$ (300, 100)"),
    "chaneut_cha400_neut200": ("χ±χ0 400/200", r"$\chi^\pm\chi^0$ (400, 200)"),
    "chacha_cha300_neut140": ("χ+χ- 300/140", r"$\chi^+\chi^-$ (300, 140)"),
    "chacha_cha400_neut60": ("χ+χ- 400/60", r"$\chi^+\chi^-$ (400, 60)"),
    "chacha_cha600_neut200": ("χ+χ- 600/200", r"$\chi^+\chi^-$ (600, 200)"),
    "pp23mt_50": ("Z′ → μτ, 3 ℓ, 50", r"$Z'$, 3 leptons (50)"),
    "pp24mt_50": ("Z′ → μτ, 4 ℓ, 50", r"$Z'$, 4 leptons (50)"),
    "monojet_Zp2000_DM_50": ("Z′ + jet 2000/50", r"$Z'$ + jet (2000, 50)"),
    "monoV_Zp2000_DM_1": ("Z′ + V 2000/1", r"$Z'$ + V (2000, 1)"),
    "monotop_200_A": ("single top + χ 200", r"mono-top (200)"),
    "Zprime_tt_3000": ("Z′ → tt 3000", r"$Z' \to t\bar t$ (3000)"),
}
_CHALLENGE = (
    "The challenge's rows are over channels 1, 2a, 2b and 3 of its own events and signals, as "
    "published beside the paper, without intervals."
)
_OURS = {
    "simulated": "ours on events of our own simulation, with other cross-sections and a detector "
    "of its own",
    "published": "ours on the published files",
    "user": "ours on the user's own files",
}


def sentence(results: Results) -> str:
    """Return a sentence on the median and the range of the default score's improvements."""
    cells = results.cells(results.default_score, SIGNIFICANCE.key)
    values = {s: cells[s].value for s in results.signals if s in cells}
    if not values:
        return "There are too few events to measure a significance improvement."
    best, worst = (pick(values, key=lambda s: values[s]) for pick in (max, min))
    return (
        f"A cut on the {results.title(results.default_score)} improves the significance of "
        f"{len(values)} signals in this channel by a median factor of "
        f"{np.median(list(values.values())):.2g}, {_with_interval(results, best)} at best and "
        f"{_with_interval(results, worst)} at worst."
    )


def _with_interval(results: Results, signal: str) -> str:
    cell = plain(*results.cells(results.default_score, SIGNIFICANCE.key)[signal])
    return f"{cell.value} ({cell.spread}) for {results.paper.text(signal)}"


def remarks(results: Results, rows: Sequence[PublishedRow]) -> Iterator[str]:
    """Yield what may be compared with the published rows that are shown."""
    if rows:
        yield (
            f"The paper's rows ({SOURCE}, numbers published beside its Fig. 6 and 7) were measured "
            f"on the challenge's events, {_OURS[results.data.origin]}; they have no intervals. "
            "With a background of equal weights they count events, ours weights."
        )
    if results.data.origin == "simulated":
        yield "Sums of weights are no yields of the challenge: see docs/how-to/simulate.md."


def combination(models: Sequence[Combined]) -> Combination:
    """Return the total improvements of all models over their channels, with figures.

    Models are compared on the channels that all of them have.
    """
    shared = [c for c in models[0].runs if all(c in m.runs for m in models)] if models else []
    if not shared or not models[0].runs[shared[0]].results.signals:
        return Combination()
    found = {m.name: _improvements(m, shared) for m in models}
    table = _table(models, shared, found)
    boxes = {f"{m.name}": found[m.name][_default(m, shared)] for m in models}
    drawn = {
        "total_improvement": improvement_boxes(boxes, _title(models, shared)),
        "significance_by_channel": improvements_by_channel(
            {m.name: {c: m.runs[c].results for c in shared} for m in models},
            SIGNIFICANCE.key,
            _title(models, shared),
        ),
    }
    return Combination([table], drawn, list(_numbers(found, shared)))


def _default(model: Combined, shared: Sequence[str]) -> str:
    return model.runs[shared[0]].results.default_score


def _title(models: Sequence[Combined], shared: Sequence[str]) -> str:
    data = models[0].runs[shared[0]].results.data
    origin = "simulated events" if data.origin == "simulated" else f"{data.origin} events"
    return f"Dark Machines, {origin}, channels {', '.join(shared)}"


def _improvements(model: Combined, shared: Sequence[str]) -> dict[str, Improvements]:
    background = model.runs[shared[0]].results.data.background
    channels = {channel: _classes(model.runs[channel]) for channel in shared}
    return total_improvements(channels, background, REJECTIONS)


def _classes(run: RunFiles) -> dict[str, ClassScores]:
    table, columns = run.table, score_columns(run.table, run.paper)
    weights = table["weight"].to_numpy(np.float64)
    return {
        label: ClassScores(weights[rows], {name: v[rows] for name, v in columns.items()})
        for label, rows in events_by_label(table).items()
    }


def _table(
    models: Sequence[Combined],
    shared: Sequence[str],
    found: Mapping[str, Mapping[str, Improvements]],
) -> ResultTable:
    """Return the table of total improvements: their summary, then each signal."""
    paper = models[0].runs[shared[0]].paper
    every = [one for scores in found.values() for one in scores.values()]
    signals = paper.ordered({signal for one in every for signal in one.replicas})
    rows = []
    for model in models:
        results = model.runs[shared[0]].results
        for name in (n for n in results.names if n in found[model.name]):
            one = found[model.name][name]
            cells = {key: plain(*value) for key, value in one.summary().items()}
            cells["ratio"] = plain(*one.ratio(found[model.name][results.default_score]))
            cells |= {signal: plain(*one.of(signal)) for signal in one.replicas}
            section = "baselines" if name in results.baselines else "scores"
            if section == "scores" or model is models[0]:
                title = results.title(name)
                rows.append(
                    Row(
                        title if section == "baselines" else f"{model.name}: {title}",
                        section,
                        cells,
                        chosen=name == results.default_score,
                    )
                )
    rows.sort(key=lambda row: row.section != "scores")
    columns = [Column(key, text, text) for key, text in SUMMARY.items()]
    columns.append(Column("ratio", "median over that of the model's score", "over the\nmodel's"))
    columns += [Column(s, paper.text(s), paper.signal(s).heading) for s in signals]
    tested = " ".join(f"Channel {c}: {models[0].runs[c].results.data.counts}." for c in shared)
    measured = (
        f"Median, lowest and highest of {len(signals)} signals. Intervals: central 68 % of "
        f"bootstrap replicas of signal and background events, one training each. {tested}"
    )
    return ResultTable(
        f"Total improvement over channels {', '.join(shared)}: eps_S / sqrt(eps_B), the largest",
        [columns],
        [*rows, *_published()],
        [measured, _CHALLENGE],
    )


def _published() -> Iterator[Row]:
    with _HERE.with_name("ostdiek2022_improvements.csv").open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            cells = {key: Cell(line[key], "") for key in SUMMARY}
            yield Row(f"challenge: {line['row']}", "published", cells)


def _numbers(
    found: Mapping[str, Mapping[str, Improvements]], shared: Sequence[str]
) -> Iterator[dict[str, Any]]:
    for model, scores in found.items():
        for name, one in scores.items():
            about = {"model": model, "score": name, "channels": " ".join(shared)}
            values = {**one.summary(), **{s: one.of(s) for s in one.replicas}}
            for key, (value, low, high) in values.items():
                yield about | {"of": key, "value": value, "low": low, "high": high}


PAPER = Paper(
    source=SOURCE,
    headlines=(SIGNIFICANCE, AREA),
    metrics=(AREA, *map(signal_efficiency_at, REJECTIONS), SIGNIFICANCE),
    sentence=sentence,
    signals=tuple(Signal(label, *names) for label, names in _SUSY.items()),
    baselines=(
        Baseline("met", "missing pT", "GeV", ("met",)),
        Baseline("ht", "HT of jets", "GeV", ("ht",)),
        Baseline("n_objects", "objects", "number", ("n_objects",)),
    ),
    rows=read_rows(_HERE.with_suffix(".csv")),
    rows_measured="Published by its author beside the paper; one training each.",
    remarks=remarks,
    one_training=ONE_TRAINING,
    plots=(
        figures.EFFICIENCIES,
        replace(figures.ROC_OF_SCORES),
        figures.ALL_HISTOGRAMS,
        figures.HISTOGRAM_OF_DEFAULT,
        figures.LOSSES,
    ),
    combination=combination,
)
