"""What has to be said below a result table, so that its numbers are not misread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from anomaly_hep.evaluate.groups import groups_of
from anomaly_hep.evaluate.published import PublishedRow

SUPERVISED = (
    "SUPERVISED: this model was trained with the labels of the signals. It says what can be "
    "reached, not what an anomaly search finds; do not rank it among the others."
)


def signal_in_training(metrics: Mapping[str, Any]) -> str | None:
    """Say that unlabelled signal events were among the training events; None where none were."""
    share = metrics["data"].get("signal_in_training")
    if not share or is_supervised(metrics):
        return None
    return (
        f"WEAKLY SUPERVISED: signal events of each group, {100 * float(share):g} % of the "
        "background's number, were among the training events, without labels."
    )


def is_supervised(metrics: Mapping[str, Any]) -> bool:
    """Whether the model has seen signal labels in training."""
    return bool(metrics["model"].get("supervised"))


def reading_remarks(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Say how to read the rows of a run: supervised ones, areas below 50 %, means."""
    if is_supervised(metrics):
        yield SUPERVISED
    if said := signal_in_training(metrics):
        yield said
    if trained_on := metrics["data"].get("trained_on"):
        yield f"Trained on other events than these: on {trained_on} ones."
    if groups := groups_of(metrics):
        yield (
            f"Means ({', '.join(groups)}) count each signal once; their intervals know that all "
            "signals meet the same background. An area below 50 % is given as it is: low scores "
            "are the signal's."
        )


def published_remarks(metrics: Mapping[str, Any], rows: Sequence[PublishedRow]) -> Iterator[str]:
    """Say what may be compared: published numbers are from other events than ours."""
    for paper in dict.fromkeys(row.paper for row in rows):
        of_paper = [row for row in rows if row.paper == paper]
        if any(row.spread for row in of_paper):
            yield _jets(paper, metrics)
        else:
            yield _images(paper, metrics)
            yield from _traps(of_paper, metrics)


def _jets(paper: str, metrics: Mapping[str, Any]) -> str:
    ours = {
        "simulated": "ours on jets of our own simulation (another detector, far fewer jets)",
        "published": "ours on the published files",
        "user": "ours on the user's own files",
    }[metrics["data"]["origin"]]
    return (
        f"The paper's rows ({paper}) were measured on JetClass, {ours}; their ± is the spread of "
        "five trainings. Compare the pattern, not the last digit."
    )


def _images(paper: str, metrics: Mapping[str, Any]) -> str:
    ours = {
        "simulated": "ours on events of our own simulation",
        "published": "ours on published files, a small part of it",
        "user": "ours on the user's own files",
    }[metrics["data"]["origin"]]
    return (
        f"The paper's rows ({paper}) were measured on its whole test sample, {ours}; they are one "
        "training each, without intervals, and '–' where it prints nearly nothing. Which latent "
        "component is called first, and its sign, is up to the training."
    )


def _traps(rows: Sequence[PublishedRow], metrics: Mapping[str, Any]) -> Iterator[str]:
    """Say where the paper's name of a row is not what its numbers are."""
    if any("BCE" in row.row for row in rows) and {"sae", "bce"} & set(metrics["scores"]):
        yield (
            "The row that the paper calls BCE is its sum of absolute errors: its code exchanges "
            "truth and prediction. It stands below our SAE; a true BCE was not published."
        )
    if any(row.inferred for row in rows):
        yield (
            "'inferred': the paper's name of the row is not in the text that we have and was "
            "reasoned from the numbers."
        )
