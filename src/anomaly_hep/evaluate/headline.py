"""What the report says first: whose data, whether supervised, and what was found."""

from __future__ import annotations

from collections.abc import Callable

from anomaly_hep.evaluate.cells import percent
from anomaly_hep.evaluate.intervals import Interval
from anomaly_hep.evaluate.metrics import AREA, Metric
from anomaly_hep.evaluate.remarks import SUPERVISED, signal_in_training
from anomaly_hep.evaluate.results import Results


def banners(results: Results) -> list[tuple[str, str]]:
    """Return title and text of notes that nobody should miss: simulated data, supervised model."""
    found = []
    for said in (SUPERVISED if results.model.supervised else None, signal_in_training(results)):
        if said:
            first, _, rest = said.partition(": ")
            found.append((first, rest[0].upper() + rest[1:]))
    if results.data.origin == "simulated":
        text = (
            f"These {results.data.event_noun} were made by "
            f"{results.data.generator or 'our own simulation'} for this project; they are not the "
            "published data set, and numbers may differ from published ones for that reason alone."
        )
        found.append(("Simulated data", text))
    return found


def best_and_worst_area(results: Results) -> str:
    """Say which signals the default score separates best and worst from the background."""
    name, background = results.default_score, results.data.background
    found = results.cells(name, AREA.key)
    found = {signal: found[signal] for signal in results.signals if signal in found}
    if not found:
        return "There are no signal events to measure anything with."
    best, worst = (pick(found, key=lambda s: found[s].value) for pick in (max, min))
    return (
        f"The area under the ROC curve of the {results.title(name)} against {background} is "
        f"{inline(found[best])} for {results.paper.text(best)} and {inline(found[worst])} for "
        f"{results.paper.text(worst)}, the signals it separates best and worst."
    )


def best_and_worst_efficiency(metric: Metric) -> Callable[[Results], str]:
    """Return a sentence of the signals that a cut keeps most and least of.

    It also says for how many signals the score keeps more than the paper's reference does.
    """

    def sentence(results: Results) -> str:
        paper, name = results.paper, results.default_score
        found = {s: c for s, c in results.cells(name, metric.key).items() if s in results.signals}
        if not found:
            return "There are too few events to measure an efficiency."
        best, worst = (pick(found, key=lambda s: found[s].value) for pick in (max, min))
        text = (
            f"A cut on the {results.title(name)} that lets 1 in {metric.rejection:g} "
            f"{results.data.background} events pass keeps {inline(found[best])} of "
            f"{paper.text(best)} and {inline(found[worst])} of {paper.text(worst)}, the signals it "
            "finds best and worst."
        )
        if paper.reference is None or paper.reference not in results.baselines:
            return text
        reference = results.cells(paper.reference, metric.key)
        compared = [signal for signal in found if signal in reference]
        ahead = sum(found[s].low > reference[s].high for s in compared)
        behind = sum(found[s].high < reference[s].low for s in compared)
        return (
            f"{text} Compared with {results.title(paper.reference)} it keeps more of {ahead} "
            f"signals and less of {behind}; for {len(compared) - ahead - behind} the intervals "
            "overlap."
        )

    return sentence


def inline(interval: Interval) -> str:
    """Return a fraction with its interval in a sentence, in %."""
    cell = percent(*interval)
    return f"{cell.value} {f'({cell.spread})' if ' ' in cell.spread else cell.spread} %"
