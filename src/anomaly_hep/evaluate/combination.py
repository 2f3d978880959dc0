"""Runs of one model on the channels of one data set, which count together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from anomaly_hep.evaluate.ensembles import CHANNEL, Ensemble
from anomaly_hep.evaluate.resulttable import ResultTable
from anomaly_hep.evaluate.runfiles import RunFiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Combined:
    """The runs of one model by channel: the first seed of each.

    `choices` are those that distinguish it from other models of the same kind.
    """

    name: str
    choices: Mapping[str, Any]
    runs: Mapping[str, RunFiles]


@dataclass(frozen=True)
class Combination:
    """What a paper makes of several channels: tables, figures by name, and numbers for JSON."""

    tables: Sequence[ResultTable] = ()
    figures: Mapping[str, Figure] = field(default_factory=dict)
    numbers: Sequence[Mapping[str, Any]] = ()


def combined(ensembles: Iterable[Ensemble]) -> list[Combined]:
    """Return the ensembles that differ in their channel alone as one, by their choices.

    Ensembles of data without channels are left out.
    """
    found: dict[str, Combined] = {}
    for ensemble in ensembles:
        channel = (ensemble.config.get("data") or {}).get("channel")
        if channel is None:
            continue
        choices = {key: value for key, value in ensemble.choices.items() if key != CHANNEL}
        title = ensemble.results.model.full_title
        name = ", ".join([title, *(f"{key}={value}" for key, value in choices.items())])
        runs = found.get(name, Combined(name, choices, {})).runs
        run = ensemble.runs[0].files
        found[name] = Combined(name, choices, {str(channel): run, **runs})
    ordered = sorted(found.values(), key=lambda one: (_rank(one.choices), one.name))
    return [Combined(one.name, one.choices, dict(sorted(one.runs.items()))) for one in ordered]


def _rank(choices: Mapping[str, Any]) -> list[tuple[float, str]]:
    """Return what orders choices by their values, numbers by size."""
    numbers = [(v if isinstance(v, int | float) else 0.0, str(v)) for v in choices.values()]
    return [(float(number), text) for number, text in numbers]
