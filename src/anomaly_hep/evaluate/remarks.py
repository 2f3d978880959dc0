"""Remarks below a result table that keep its numbers from being misread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from anomaly_hep.evaluate.fitranges import outside_remarks
from anomaly_hep.evaluate.results import Results

SUPERVISED = (
    "SUPERVISED: this model was trained with the labels of the signals. It says what can be "
    "reached, not what an anomaly search finds; do not rank it among the others."
)

_FEW, _SHARE = 10, 0.1  # effective events below which a remark is made, and their share of all


def labels_in_training(results: Results) -> str | None:
    """Return the remark on classes whose labels the training saw; None if it saw none."""
    model = results.model
    if not model.supervised:
        return None
    if model.supervision == "supervised":
        return SUPERVISED
    seen = dict.fromkeys(label for phase in model.labels.values() for label in phase)
    names = ["every signal" if name == "*" else results.paper.text(name) for name in seen]
    return (
        f"SEMI-SUPERVISED: a part of this model was trained with the labels of {', '.join(names)}. "
        "For these a score says what can be reached, not what an anomaly search finds."
    )


def signal_in_training(results: Results) -> str | None:
    """Return the remark that training events included unlabelled signal; None if they did not."""
    share = results.data.signal_in_training
    if not share or results.model.supervised:
        return None
    return (
        f"WEAKLY SUPERVISED: signal events of each group, {100 * float(share):g} % of the "
        "background's number, were among the training events, without labels."
    )


def loss_remarks(ledger: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was left out of a run's data, from its ledger.json."""
    if refused := ledger.get("refused"):
        named = ", ".join(f"{file['path']} ({file['problem']})" for file in refused[:3])
        more = f" and {len(refused) - 3} more" if len(refused) > 3 else ""
        yield f"Left out, being bad: {named}{more}; see ledger.json."
    if left_out := ledger.get("left_out"):
        events = sum(file["events"] for file in left_out)
        reasons: Counter[str] = Counter()
        for file in left_out:
            reasons.update(file["reasons"])
        said = "; ".join(f"{number:,}: {reason}" for reason, number in reasons.most_common(3))
        yield f"Left out, being impossible: {events:,} {ledger['event_noun']} ({said})."


def fit_remarks(ledger: Mapping[str, Any]) -> Iterator[str]:
    """Yield how well decorrelated scores are known, and what lay outside, from ledger.json."""
    counted: Counter[str] = Counter()
    for notes in ledger.get("fits", {}).values():
        if behind := notes.get("events_behind"):
            said = ", ".join(
                f"{typical:.3g} at {rejection} ({least:.2g})"
                for rejection, (least, typical) in behind.items()
            )
            counted[
                f"decorrelated from {notes['decorrelated_from']}: behind the cut at a rejection "
                f"stand so many background events of a bin of it (of the smallest): {said}."
            ] += 1
    for text, number in counted.items():
        yield f"{number} {'score' if number == 1 else 'scores'} {text}"
    if outside := ledger.get("outside_of_fits"):
        yield from outside_remarks(outside)


def run_remarks(ledger: Mapping[str, Any]) -> Iterator[str]:
    """Yield the remarks on a run's data and fits, from its ledger.json."""
    yield from loss_remarks(ledger)
    yield from fit_remarks(ledger)


def few_events(results: Results) -> str | None:
    """Return the remark on classes too small, or too unevenly weighted, for good intervals.

    They have less than 10 effective events, (Σw)²/Σw², or less than a tenth of their events.
    """
    few = []
    for label, events in results.data.events.items():
        effective = results.data.effective_events.get(label, float(events))
        if effective < max(_FEW, _SHARE * events):
            counted = f" as {effective:.3g}" if effective < events else ""
            few.append(f"{label} ({events:,} events{' count' + counted if counted else ''})")
    if not few:
        return None
    return (
        f"FEW EVENTS: {', '.join(few)}. The intervals rest on so few that they are rough, and can "
        "miss what rare heavy events would change."
    )


def reading_remarks(results: Results) -> Iterator[str]:
    """Yield how to read the rows of a run: supervised ones, areas below 50 %, means."""
    if remark := labels_in_training(results):
        yield remark
    if remark := signal_in_training(results):
        yield remark
    if remark := few_events(results):
        yield remark
    if results.data.trained_on:
        yield f"Trained on other events than these: on {results.data.trained_on} ones."
    if groups := results.data.measured_groups:
        yield (
            f"Means ({', '.join(groups)}) count each signal once; their intervals account for "
            "the background that all signals share. An area below 50 % is given as it is: the "
            "signal then has the lower scores."
        )
