"""Remarks below a result table that keep its numbers from being misread."""

from __future__ import annotations

from collections.abc import Iterator

from anomaly_hep.evaluate.results import Results

SUPERVISED = (
    "SUPERVISED: this model was trained with the labels of the signals. It says what can be "
    "reached, not what an anomaly search finds; do not rank it among the others."
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


def reading_remarks(results: Results) -> Iterator[str]:
    """Yield how to read the rows of a run: supervised ones, areas below 50 %, means."""
    if results.model.supervised:
        yield SUPERVISED
    if remark := signal_in_training(results):
        yield remark
    if results.data.trained_on:
        yield f"Trained on other events than these: on {results.data.trained_on} ones."
    if groups := results.data.measured_groups:
        yield (
            f"Means ({', '.join(groups)}) count each signal once; their intervals account for "
            "the background that all signals share. An area below 50 % is given as it is: the "
            "signal then has the lower scores."
        )
