"""From a table of scores to metrics.json: every score and baseline, for every signal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from anomaly_hep.atomic import write_text
from anomaly_hep.errors import ConfigError, NonFiniteError, ScoreTableError
from anomaly_hep.evaluate.baselines import FAMILIES, NEEDS, baselines, family_of
from anomaly_hep.evaluate.curves import Sample, check_weights
from anomaly_hep.evaluate.groups import Groups, check_groups, group_means, groups_left_out
from anomaly_hep.evaluate.intervals import (
    Interval,
    auc_interval,
    efficiency_interval,
    fpr_interval,
)
from anomaly_hep.evaluate.paired import mean_auc_gain
from anomaly_hep.evaluate.reconstruction import COLUMNS as RECONSTRUCTION_COLUMNS
from anomaly_hep.evaluate.reconstruction import reconstruction_quality

REJECTIONS = (10, 100, 1000)
# Signal efficiency in % at which arXiv:2306.12955 gives the rate of background.
TPR = 40
# What is known without a model and hard to beat; means say what a score gains on it.
REFERENCE = "hits"
GAIN_KEY = f"auc_gain_over_{REFERENCE}"
FPR_KEY = f"fpr_at_tpr_{TPR}"
SCORE_PREFIX = "score_"
# Columns to copy from the files into the table of scores, by what an event is.
EVENT_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "jets": tuple(column for needs in FAMILIES["jets"].values() for column in needs),
    "images": ("mass", *(column for needs in FAMILIES["images"].values() for column in needs)),
}
ORIGINS = ("simulated", "published", "user")

Metrics = dict[str, Interval | None]
Samples = dict[str, Sample]


def evaluate(
    table: pd.DataFrame, *, background: str = "QCD", metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the content of metrics.json for a table of scores (docs/reference/metrics.md).

    `metadata` brings the parts that scores do not know: 'data' (name, origin, generator and, where
    signals belong together, groups {group: [labels]}), 'model', 'default_score' and 'speed'.
    Efficiencies, areas and rates are fractions, each [value, low, high] with a central 68 %
    interval, or null with a reason in 'notes'.

    Raises ScoreTableError for a missing column, a bad weight or an absent background,
    NonFiniteError for a score that is NaN or infinite, ConfigError for contradicting metadata.
    """
    groups: Groups = metadata.get("data", {}).get("groups") or {}
    _check_metadata(metadata, score_names(table))
    check_groups(groups, background)
    weights, classes = _weights(table), events_by_label(table)
    if background not in classes:
        raise ScoreTableError(
            f"no event has the label '{background}' of the background (labels: "
            f"{', '.join(sorted(classes)) or 'none'}); evaluate needs background and signals"
        )
    counts = {label: len(index) for label, index in classes.items()}
    results, means = {}, {}
    columns = score_columns(table)
    for name, values in columns.items():
        samples = {c: Sample.of(values[i], weights[i], name=c) for c, i in classes.items()}
        tail = samples.pop(background)
        results[name] = {label: _metrics(tail, signal) for label, signal in samples.items()}
        means[name] = group_means(tail, samples, groups, TPR)
    models = {name: results[name] for name in score_names(table)}
    content = {
        **metadata,
        "data": {**metadata["data"], "background": background, "events": counts},
        "scores": models,
        "baselines": {name: result for name, result in results.items() if name not in models},
        "notes": [
            *_left_out(table, counts),
            *groups_left_out(groups, counts),
            *_too_few(results, f"the {counts[background]} {background} events"),
        ],
    }
    if groups:
        content["means"] = means
        if REFERENCE in columns:
            _add_gains(means, models, columns, weights, classes, background, groups)
    if set(RECONSTRUCTION_COLUMNS.values()) <= set(table.columns):
        for column in RECONSTRUCTION_COLUMNS.values():
            _check_scores(table, column, table[column].to_numpy(np.float64))
        content["reconstruction"] = reconstruction_quality(table, classes, weights)
    return content


def _add_gains(
    means: dict[str, dict[str, Metrics]],
    models: Iterable[str],
    columns: Mapping[str, Float64[np.ndarray, " event"]],
    weights: Float64[np.ndarray, " event"],
    classes: Mapping[str, Int64[np.ndarray, " _"]],
    background: str,
    groups: Groups,
) -> None:
    """Add to each mean how much larger it is than that of the reference, on the same events."""
    for name in models:
        for group, mean in means[name].items():
            signals = [classes[label] for label in groups[group] if label in classes]
            mean[GAIN_KEY] = mean_auc_gain(
                columns[name], columns[REFERENCE], weights, classes[background], signals
            )


def write_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Write metrics.json: sorted keys, so the same numbers are the same bytes."""
    text = json.dumps(metrics, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_text(path, text + "\n")


def score_names(table: pd.DataFrame) -> list[str]:
    """Return the names of the scores in a table, without the prefix of their columns."""
    names = [c.removeprefix(SCORE_PREFIX) for c in table.columns if c.startswith(SCORE_PREFIX)]
    if not names:
        raise ScoreTableError(
            f"the table has no score: no column begins with '{SCORE_PREFIX}' "
            f"(columns: {', '.join(map(str, table.columns))})"
        )
    return names


def score_columns(table: pd.DataFrame) -> dict[str, Float64[np.ndarray, " event"]]:
    """Return every score and baseline of a table by name, all finite; high is anomalous."""
    known = {column for needs in NEEDS.values() for column in needs}
    events = {column: table[column].to_numpy(np.float64) for column in table if column in known}
    columns = {n: table[SCORE_PREFIX + n].to_numpy(np.float64) for n in score_names(table)}
    if shared := set(columns) & set(NEEDS):
        raise ScoreTableError(f"scores with the name of a baseline: {', '.join(sorted(shared))}")
    columns |= baselines(events)
    for name, values in columns.items():
        _check_scores(table, name, values)
    return columns


def events_by_label(table: pd.DataFrame) -> dict[str, Int64[np.ndarray, " _"]]:
    """Return the rows of each label; events without a label ('') are in none."""
    codes, labels = pd.factorize(table["label"])
    return {
        str(label): np.flatnonzero(codes == code)
        for code, label in enumerate(labels)
        if label != ""
    }


def _left_out(table: pd.DataFrame, counts: Mapping[str, int]) -> list[str]:
    """Say which events and baselines the results are without."""
    notes = []
    if unlabelled := len(table) - sum(counts.values()):
        notes.append(f"{unlabelled} of {len(table)} events have no label and are not evaluated")
    if len(counts) == 1:
        notes.append("there is no signal event, so no metric could be computed")
    for name, needs in FAMILIES[family_of(table.columns)].items():
        if missing := [column for column in needs if column not in table]:
            notes.append(f"no baseline {name}: the table has no column {', '.join(missing)}")
    return notes


def _weights(table: pd.DataFrame) -> Float64[np.ndarray, " event"]:
    """Return the events' weights, after a look for the columns that every table has."""
    for column in ("event_id", "label", "weight"):
        if column not in table:
            raise ScoreTableError(f"the table of scores has no column '{column}'; score it again")
    weights: Float64[np.ndarray, " event"] = table["weight"].to_numpy(np.float64)
    check_weights(weights, "weight")
    return weights


def _metrics(background: Sample, signal: Sample) -> Metrics:
    metrics: Metrics = {"auc": auc_interval(background, signal)}
    for rejection in REJECTIONS:
        metrics[efficiency_key(rejection)] = efficiency_interval(background, signal, rejection)
    metrics[FPR_KEY] = fpr_interval(background, signal, TPR / 100)
    return metrics


def efficiency_key(rejection: int) -> str:
    """Return the name in metrics.json of the signal efficiency at a rejection."""
    return f"efficiency_at_rejection_{rejection}"


def _too_few(results: Mapping[str, Mapping[str, Metrics]], events: str) -> Iterator[str]:
    """Say which results are null because too few events would pass the cut that they are read at.

    For an efficiency these are background events, for a rate of background those of a signal.
    """
    for rejection in REJECTIONS:
        if names := _without(results, efficiency_key(rejection)):
            yield (
                f"no efficiency at rejection {rejection} for {', '.join(names)}: of {events} fewer "
                "than one (counted by weight) would pass; evaluate more of them"
            )
    for name in _without(results, FPR_KEY):
        signals = [label for label, m in results[name].items() if m[FPR_KEY] is None]
        yield (
            f"no background rate at signal efficiency {TPR} % for {name} on {', '.join(signals)}: "
            "fewer than one event of that signal (counted by weight) would pass"
        )


def _without(results: Mapping[str, Mapping[str, Metrics]], key: str) -> list[str]:
    return [n for n, r in results.items() if any(m[key] is None for m in r.values())]


def _check_scores(table: pd.DataFrame, name: str, values: Float64[np.ndarray, " event"]) -> None:
    """Raise NonFiniteError that names the first events whose score is NaN or infinite."""
    bad = ~np.isfinite(values)
    if bad.any():
        rows = table.loc[bad, ["event_id", "label"]].head(3).itertuples(index=False)
        first = "; ".join(f"{row.event_id} ({row.label or 'no label'})" for row in rows)
        raise NonFiniteError(
            f"score '{name}' is not finite for {bad.sum()} of {len(values)} events, first: "
            f"{first}. A curve over the rest would hide them: look at these events"
        )


def _check_metadata(metadata: Mapping[str, Any], names: list[str]) -> None:
    """Raise ConfigError for metadata that would make metrics.json wrong or incomplete."""
    missing = {"data", "model", "default_score", "speed"} - set(metadata)
    if missing:
        raise ConfigError(f"metadata for metrics.json lacks {', '.join(sorted(missing))}")
    if metadata["default_score"] not in names:
        raise ConfigError(
            f"default score '{metadata['default_score']}' is not among the scores: "
            f"{', '.join(names)}"
        )
    origin = metadata["data"].get("origin")
    if origin not in ORIGINS:
        raise ConfigError(f"data origin '{origin}' is none of {', '.join(ORIGINS)}")
    if not metadata["data"].get("name"):
        raise ConfigError("metadata for metrics.json does not name its data")
