"""The top of the report: origin of the data, supervision, and the main result."""

from __future__ import annotations

from collections.abc import Callable

from anomaly_hep.evaluate.cells import percent
from anomaly_hep.evaluate.intervals import Interval
from anomaly_hep.evaluate.metrics import AREA, Metric
from anomaly_hep.evaluate.remarks import labels_in_training, signal_in_training
from anomaly_hep.evaluate.results import Results


def banners(results: Results) -> list[tuple[str, str]]:
    """Return title and text of notes that nobody should miss: simulated data, supervised model."""
    notes = []
    for remark in (labels_in_training(results), signal_in_training(results)):
        if remark:
            first, _, rest = remark.partition(": ")
            notes.append((first, rest[0].upper() + rest[1:]))
    if results.data.origin == "simulated":
        text = (
            f"These {results.data.event_noun} were made by "
            f"{results.data.generator or 'our own simulation'} for this project; they are not the "
            "published data set, and numbers may differ from published ones for that reason alone."
        )
        notes.append(("Simulated data", text))
    return notes


def best_and_worst_area(results: Results) -> str:
    """Return a sentence on the signals that the default score separates best and worst."""
    name, background = results.default_score, results.data.background
    areas = results.cells(name, AREA.key)
    areas = {signal: areas[signal] for signal in results.signals if signal in areas}
    if not areas:
        return "There are no signal events to measure anything with."
    best, worst = (pick(areas, key=lambda s: areas[s].value) for pick in (max, min))
    return (
        f"The area under the ROC curve of the {results.title(name)} against {background} is "
        f"{inline(areas[best])} for {results.paper.text(best)} and {inline(areas[worst])} for "
        f"{results.paper.text(worst)}, the signals it separates best and worst."
    )


def best_and_worst_efficiency(metric: Metric) -> Callable[[Results], str]:
    """Return a function that writes a sentence on the highest and lowest signal efficiency.

    It also says for how many signals the score beats the paper's reference.
    """

    def sentence(results: Results) -> str:
        paper, name = results.paper, results.default_score
        kept = {s: c for s, c in results.cells(name, metric.key).items() if s in results.signals}
        if not kept:
            return "There are too few events to measure an efficiency."
        best, worst = (pick(kept, key=lambda s: kept[s].value) for pick in (max, min))
        text = (
            f"A cut on the {results.title(name)} that lets 1 in {metric.rejection:g} "
            f"{results.data.background} events pass keeps {inline(kept[best])} of "
            f"{paper.text(best)} and {inline(kept[worst])} of {paper.text(worst)}, the signals it "
            "finds best and worst."
        )
        if paper.reference is None or paper.reference not in results.baselines:
            return text
        reference = results.cells(paper.reference, metric.key)
        compared = [signal for signal in kept if signal in reference]
        ahead = sum(kept[s].low > reference[s].high for s in compared)
        behind = sum(kept[s].high < reference[s].low for s in compared)
        return (
            f"{text} Compared with {results.title(paper.reference)} it keeps more of {ahead} "
            f"signals and less of {behind}; for {len(compared) - ahead - behind} the intervals "
            "overlap."
        )

    return sentence


def inline(interval: Interval) -> str:
    """Return a fraction with its interval in %, for use in a sentence."""
    cell = percent(*interval)
    return f"{cell.value} {f'({cell.spread})' if ' ' in cell.spread else cell.spread} %"
