"""Evaluate a table of scores: every score and baseline, for every signal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from anomaly_hep.errors import ConfigError, NonFiniteError, ScoreTableError
from anomaly_hep.evaluate.intervals import mean_interval
from anomaly_hep.evaluate.metrics import Metric
from anomaly_hep.evaluate.paired import mean_auc_gain
from anomaly_hep.evaluate.paper import Paper
from anomaly_hep.evaluate.results import (
    DataDescription,
    EventRates,
    Measured,
    ModelDescription,
    Results,
    Spread,
)
from anomaly_hep.evaluate.roc import ScoreDistribution, check_weights, scaled
from anomaly_hep.evaluate.sculptings import sculpting_of_table
from anomaly_hep.names import ALLOWED, is_name

SCORE_PREFIX = "score_"
# columns of the quality of reconstructed images: squared error summed over pixels, SSIM in [-1, 1]
QUALITIES: Mapping[str, str] = {"mse": "reconstruction_mse", "ssim": "reconstruction_ssim"}

Values = Float64[np.ndarray, " event"]
Rows = Int64[np.ndarray, " _"]


def evaluate(
    table: pd.DataFrame,
    *,
    data: DataDescription,
    model: ModelDescription,
    default_score: str,
    speed: EventRates,
    paper: Paper,
) -> Results:
    """Return the results of a table of scores (docs/reference/metrics.md).

    `data` need not count its events: the table does. Efficiencies, areas and rates are fractions
    with a central 68 % interval, or None with a reason in the notes.

    Raises ScoreTableError for a missing column, a bad weight or an absent background,
    NonFiniteError for a score that is NaN or infinite, ConfigError for a wrong default score.
    """
    names = score_names(table)
    if default_score not in names:
        raise ConfigError(
            f"default score '{default_score}' is not among the scores: {', '.join(names)}"
        )
    weights, classes = event_weights(table), events_by_label(table)
    if data.background not in classes:
        raise ScoreTableError(
            f"no event has the label '{data.background}' of the background (labels: "
            f"{', '.join(sorted(classes)) or 'none'}); evaluate needs background and signals"
        )
    data = replace(data, events={label: len(rows) for label, rows in classes.items()})
    columns = score_columns(table, paper)
    measured: dict[str, Mapping[str, Measured]] = {}
    means: dict[str, dict[str, Measured]] = {}
    signals_of: dict[str, Mapping[str, ScoreDistribution]] = {}
    for name, scores in distributions(table, paper).items():
        tail = scores.pop(data.background)
        measured[name] = {
            label: {metric.key: metric.of(tail, signal) for metric in paper.metrics}
            for label, signal in scores.items()
        }
        signals_of[name] = scores
        means[name] = {}
        for group, labels in data.measured_groups.items():
            signals = [scores[label] for label in labels]
            values = {metric.key: metric.mean(tail, signals) for metric in paper.averaged}
            if paper.reference in columns and name in names:
                rows = [classes[label] for label in labels]
                values[gain_key(paper)] = mean_auc_gain(
                    columns[name], columns[paper.reference], weights, classes[data.background], rows
                )
            means[name][group] = values
    sculptings = sculpting_of_table(
        table, weights, classes[data.background], data.mass, columns, signals_of
    )
    return Results(
        data=replace(data, effective_events=effective_events(weights, classes)),
        model=model,
        default_score=default_score,
        speed=speed,
        paper=paper,
        scores={name: measured[name] for name in names},
        baselines={name: values for name, values in measured.items() if name not in names},
        means=means if data.groups else None,
        reconstruction=_quality(table, classes, weights),
        mass_bins=sculptings.bins,
        sculpting=sculptings.by_name,
        notes=(
            *_left_out(table, data, paper),
            *(note for metric in paper.metrics for note in _absent(metric, measured, data)),
            *sculptings.notes,
        ),
    )


def gain_key(paper: Paper) -> str:
    """Return the key in metrics.json of the gain in mean area over the paper's reference."""
    return f"auc_gain_over_{paper.reference}"


def score_names(table: pd.DataFrame) -> list[str]:
    """Return the names of the scores in a table, without the prefix of their columns."""
    names = [c.removeprefix(SCORE_PREFIX) for c in table.columns if c.startswith(SCORE_PREFIX)]
    if not names:
        raise ScoreTableError(
            f"the table has no score: no column begins with '{SCORE_PREFIX}' "
            f"(columns: {', '.join(map(str, table.columns))})"
        )
    _check_names("score", names)
    return names


def _check_names(what: str, names: Iterable[object]) -> None:
    """Refuse names that figures and tables cannot carry."""
    if wrong := [name for name in names if not is_name(name)]:
        raise ScoreTableError(f"{wrong[0]!r} cannot be the name of a {what}. Cure: {ALLOWED}")


def score_columns(table: pd.DataFrame, paper: Paper) -> dict[str, Values]:
    """Return every score and baseline of a table by name, all finite; high is anomalous."""
    columns = {n: table[SCORE_PREFIX + n].to_numpy(np.float64) for n in score_names(table)}
    for baseline in paper.baselines:
        if baseline.name in columns:
            raise ScoreTableError(f"a score has the name of a baseline: {baseline.name}")
        if set(baseline.columns) <= set(table.columns):
            columns[baseline.name] = baseline(table)
    for name, values in columns.items():
        _check_finite(table, name, values)
    return columns


def events_by_label(table: pd.DataFrame) -> dict[str, Rows]:
    """Return the rows of each label; events without a label ('') are in none."""
    codes, labels = pd.factorize(table["label"])
    _check_names("class", [label for label in labels if label != ""])
    return {
        str(label): np.flatnonzero(codes == code)
        for code, label in enumerate(labels)
        if label != ""
    }


def event_weights(table: pd.DataFrame) -> Values:
    """Return the event weights; raises ScoreTableError if a required column is missing."""
    for column in ("event_id", "label", "weight"):
        if column not in table:
            raise ScoreTableError(f"the table of scores has no column '{column}'; score it again")
    weights: Values = table["weight"].to_numpy(np.float64)
    check_weights(weights, "weight")
    return weights


def effective_events(weights: Values, classes: Mapping[str, Rows]) -> dict[str, float]:
    """Return how many events of equal weight would fluctuate as much, by label: (Σw)²/Σw².

    The result is empty where all events of every class have the same weight.
    """
    if all(np.ptp(scaled(weights[rows])) == 0 for rows in classes.values()):
        return {}
    events = {}
    for label, rows in classes.items():
        shares = scaled(weights[rows])
        events[label] = float(f"{shares.sum() ** 2 / (shares**2).sum():.6g}")
    return events


def distributions(table: pd.DataFrame, paper: Paper) -> dict[str, dict[str, ScoreDistribution]]:
    """Return every score and baseline of a table by name and class."""
    weights, classes = event_weights(table), events_by_label(table)
    return {
        name: {
            label: ScoreDistribution.of(values[rows], weights[rows], name=label)
            for label, rows in classes.items()
        }
        for name, values in score_columns(table, paper).items()
    }


def _quality(
    table: pd.DataFrame, classes: Mapping[str, Rows], weights: Values
) -> dict[str, dict[str, Spread | None]] | None:
    """Return the quality of reconstructed images: mean and deviation by class and quantity.

    arXiv:2306.12955 Table 8 gives both for the background. A class of fewer than two events has
    None; the result is None for a model that reconstructs no images.
    """
    if not set(QUALITIES.values()) <= set(table.columns):
        return None
    quality: dict[str, dict[str, Spread | None]] = {label: {} for label in classes}
    for name, column in QUALITIES.items():
        values = table[column].to_numpy(np.float64)
        _check_finite(table, column, values)
        for label, rows in classes.items():
            measured = mean_interval(values[rows], weights[rows])
            quality[label][name] = None if measured is None else Spread(*measured)
    return quality


def _left_out(table: pd.DataFrame, data: DataDescription, paper: Paper) -> Iterator[str]:
    """Yield notes on events, baselines and signals of groups that the results lack."""
    if unlabelled := len(table) - sum(data.events.values()):
        yield f"{unlabelled} of {len(table)} events have no label and are not evaluated"
    if len(data.events) == 1:
        yield "there is no signal event, so no metric could be computed"
    for baseline in paper.baselines:
        if missing := [column for column in baseline.columns if column not in table]:
            yield f"no baseline {baseline.name}: the table has no column {', '.join(missing)}"
    for group, labels in data.groups.items():
        absent = [label for label in labels if label not in data.events]
        if len(absent) == len(labels):
            yield f"no mean over {group}: none of its signals has an event"
        elif absent:
            yield f"the mean over {group} is without {', '.join(absent)}: no event has that label"


def _absent(
    metric: Metric, measured: Mapping[str, Mapping[str, Measured]], data: DataDescription
) -> Iterator[str]:
    """Yield notes on why a metric is None for some signals."""
    absent = {
        name: [label for label, metrics in signals.items() if metrics[metric.key] is None]
        for name, signals in measured.items()
    }
    absent = {name: labels for name, labels in absent.items() if labels}
    if absent:
        background = data.background
        yield from metric.notes(absent, f"the {data.events[background]} {background} events")


def _check_finite(table: pd.DataFrame, name: str, values: Values) -> None:
    """Raise NonFiniteError, naming the first events whose value is NaN or infinite."""
    bad = ~np.isfinite(values)
    if bad.any():
        rows = table.loc[bad, ["event_id", "label"]].head(3).itertuples(index=False)
        first = "; ".join(f"{row.event_id} ({row.label or 'no label'})" for row in rows)
        raise NonFiniteError(
            f"score '{name}' is not finite for {bad.sum()} of {len(values)} events, first: "
            f"{first}. A curve over the rest would hide them: look at these events"
        )
