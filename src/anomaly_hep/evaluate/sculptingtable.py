"""The table of mass sculpting of a run: every score and baseline, beside a random cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from anomaly_hep.evaluate.cells import Cell, plain
from anomaly_hep.evaluate.intervals import Interval
from anomaly_hep.evaluate.massbins import MassBins
from anomaly_hep.evaluate.results import Results
from anomaly_hep.evaluate.resulttable import Column, ResultTable, Row
from anomaly_hep.evaluate.sculpting import FEWEST, REJECTIONS, Sculpting

CORRELATION = "distance_correlation"
RANDOM = "random cut of equal size"


def key_at(rejection: int) -> str:
    """Return the key of the relative entropy at a background rejection."""
    return f"relative_entropy_at_rejection_{rejection}"


def sculpting_numbers(one: Sculpting) -> dict[str, Interval]:
    """Return the relative entropies at rejections, in nats, and the distance correlation."""
    entropies = {key_at(r): s.relative_entropy for r, s in one.at_rejection.items() if s}
    return {**entropies, CORRELATION: one.distance_correlation}


def floor_numbers(one: Sculpting) -> dict[str, Interval]:
    """Return what random cuts of the same rejections give."""
    return {key_at(r): s.floor for r, s in one.at_rejection.items() if s}


def sculpting_columns(found: Sequence[Sculpting]) -> list[Column]:
    """Return the columns of the rejections that some score has, and of the correlation."""
    known = [r for r in REJECTIONS if any(one.at_rejection.get(r) for one in found)]
    return [
        *(Column(key_at(r), f"rejection {r}", f"rejection\n{r}") for r in known),
        Column(CORRELATION, "distance correlation", "distance\ncorrelation"),
    ]


def sculpting_table(results: Results) -> ResultTable | None:
    """Return the table of a run's mass sculpting; None without masses."""
    if not results.sculpting or results.mass_bins is None:
        return None
    rows, signals = [], results.signals
    for section, names in results.sections.items():
        for name in names:
            one = results.sculpting[name]
            numbers = sculpting_numbers(one)
            numbers |= {
                label: s.relative_entropy for label, s in one.at_signal_efficiency.items() if s
            }
            chosen = name == results.default_score
            rows.append(Row(results.title(name), section, _cells(numbers), chosen=chosen))
    floors = floor_numbers(results.sculpting[results.default_score])
    rows.append(Row(RANDOM, "published", _cells(floors)))
    paper = results.paper
    blocks = [sculpting_columns(list(results.sculpting.values()))]
    if signals:
        blocks.append(
            [
                Column(label, f"half of {paper.text(label)}", f"half of\n{paper.text(label)}")
                for label in signals
            ]
        )
    title = sculpting_title(results.mass_bins)
    return ResultTable(title, blocks, rows, [sculpting_remark(results.mass_bins)])


def sculpting_title(bins: MassBins) -> str:
    """Return the title of tables of the sculpting of a mass."""
    return f"Sculpting of the background's {bins.title}: relative entropy in nats"


def sculpting_remark(bins: MassBins) -> str:
    """Return how the numbers are to be read."""
    return (
        f"Relative entropy of the background's {bins.title} after the cut against before, in "
        f"{len(bins)} bins of equal content: 0 is no sculpting, {RANDOM} is what chance gives. "
        "Cuts are at a background rejection, or where half of a signal passes; those that fewer "
        f"than {FEWEST} background events pass are left out. Distance correlation is that of the "
        "quantiles of score and mass, 0 for independent ones. Floors of all cuts: metrics.json."
    )


def _cells(numbers: Mapping[str, Interval]) -> dict[str, Cell]:
    return {key: plain(*interval) for key, interval in numbers.items()}
