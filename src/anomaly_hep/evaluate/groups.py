"""Signals that belong together, such as one model at several masses, and means over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from anomaly_hep.errors import ConfigError
from anomaly_hep.evaluate.curves import Sample
from anomaly_hep.evaluate.intervals import Interval, mean_auc_interval, mean_fpr_interval

# labels of the signals by group
Groups = Mapping[str, Sequence[str]]


def group_means(
    background: Sample, signals: Mapping[str, Sample], groups: Groups, tpr: int
) -> dict[str, dict[str, Interval | None]]:
    """Return area and background rate at `tpr` % averaged over the signals of each group.

    A signal counts once however many events it has, as in arXiv:2306.12955 Tables 4 to 11. Absent
    ones are left out, and so is a group without any; `groups_left_out` says so.
    """
    means: dict[str, dict[str, Interval | None]] = {}
    for group, labels in groups.items():
        present = [signals[label] for label in labels if label in signals]
        if present:
            means[group] = {
                "auc": mean_auc_interval(background, present),
                f"fpr_at_tpr_{tpr}": mean_fpr_interval(background, present, tpr / 100),
            }
    return means


def groups_left_out(groups: Groups, counts: Mapping[str, int]) -> Iterator[str]:
    """Say which signals the means are without."""
    for group, labels in groups.items():
        absent = [label for label in labels if label not in counts]
        if len(absent) == len(labels):
            yield f"no mean over {group}: none of its signals has an event"
        elif absent:
            yield f"the mean over {group} is without {', '.join(absent)}: no event has that label"


def check_groups(groups: Groups, background: str) -> None:
    """Raise ConfigError for a group that is empty, holds the background or a label twice."""
    for group, labels in groups.items():
        if not labels or len(set(labels)) < len(labels) or background in labels:
            raise ConfigError(
                f"group {group} of the data has the labels {list(labels)}. Cure: name each of its "
                f"signals once, and not the background {background}"
            )


def groups_of(metrics: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the groups of a metrics.json with those labels that have events; {} without groups."""
    data = metrics["data"]
    found = {
        group: [label for label in labels if label in data["events"]]
        for group, labels in (data.get("groups") or {}).items()
    }
    return {group: labels for group, labels in found.items() if labels}
