"""The mass sculpting of every score and baseline in a table of scores, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from anomaly_hep.errors import SculptingError
from anomaly_hep.evaluate.massbins import MASS, BackgroundMasses, MassBins, Values
from anomaly_hep.evaluate.roc import ScoreDistribution
from anomaly_hep.evaluate.sculpting import FEWEST, Sculpted, Sculpting, sculpting_of


@dataclass(frozen=True)
class Sculptings:
    """The sculpting by name of score or baseline, in bins that all share; None without masses."""

    bins: MassBins | None = None
    by_name: Mapping[str, Sculpting] | None = None
    notes: list[str] = field(default_factory=list)


def background_masses(
    table: pd.DataFrame,
    weights: Float64[np.ndarray, " row"],
    rows: Int64[np.ndarray, " background"],
    title: str,
) -> BackgroundMasses:
    """Return the background's masses, which are called `title`; raises SculptingError."""
    if MASS not in table:
        raise SculptingError(
            f"the table of scores has no column '{MASS}'. Cure: train or score again, so that "
            f"data.mass brings the {title}"
        )
    return BackgroundMasses.of(table[MASS].to_numpy(np.float64), weights, rows, title)


def sculpting_of_table(
    table: pd.DataFrame,
    weights: Float64[np.ndarray, " row"],
    rows: Int64[np.ndarray, " background"],
    title: str,
    scores: Mapping[str, Values],
    signals: Mapping[str, Mapping[str, ScoreDistribution]],
) -> Sculptings:
    """Return the sculpting of the background at `rows` by each of the `scores`.

    `title` names the mass; empty for events without one. `signals` are by score and label.
    """
    if not title:
        return Sculptings()
    try:
        background = background_masses(table, weights, rows, title)
    except SculptingError as error:
        return Sculptings(notes=[f"no mass sculpting: {error}"])
    by_name = {n: sculpting_of(background, values, signals[n]) for n, values in scores.items()}
    return Sculptings(background.bins, by_name, [*_notes(background, by_name, len(rows))])


def _notes(
    background: BackgroundMasses, by_name: Mapping[str, Sculpting], events: int
) -> Iterator[str]:
    """Yield what was left out, and which cuts too few background events pass."""
    bins = background.bins
    if bins.left_out:
        yield (
            f"{bins.left_out} of {events} background events have no {bins.title} and are left out "
            "of the mass sculpting"
        )
    few = f"fewer than {FEWEST} background events (counted by weight) pass"
    rejections = {n: {str(r): s for r, s in o.at_rejection.items()} for n, o in by_name.items()}
    for rejection, names in _absent(rejections).items():
        yield f"no mass sculpting at rejection {rejection} for {', '.join(names)}: {few}"
    signals = {name: one.at_signal_efficiency for name, one in by_name.items()}
    for label, names in _absent(signals).items():
        yield f"no mass sculpting where half of {label} passes {', '.join(names)}: {few}"


def _absent(found: Mapping[str, Mapping[str, Sculpted | None]]) -> dict[str, list[str]]:
    """Return the cuts without a value, each with the scores that lack it."""
    absent: dict[str, list[str]] = {}
    for name, cuts in found.items():
        for cut, sculpted in cuts.items():
            if sculpted is None:
                absent.setdefault(cut, []).append(name)
    return absent
