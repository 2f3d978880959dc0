"""Signal efficiencies of scores of labelled events."""

from __future__ import annotations

from jaxtyping import Shaped
from numpy import ndarray

from anomaly_hep.evaluate.intervals import Interval, mean_efficiency_interval
from anomaly_hep.evaluate.roc import ScoreDistribution


def by_label(
    scores: Shaped[ndarray, " event"], labels: Shaped[ndarray, " event"], name: str
) -> dict[str, ScoreDistribution]:
    """Return the distribution of the scores of each label, in the order of their first events.

    `name` is what an error calls the scores.
    """
    return {
        str(label): ScoreDistribution.of(scores[labels == label], name=name)
        for label in dict.fromkeys(labels.tolist())
    }


def mean_efficiency(
    samples: dict[str, ScoreDistribution], background: str, rejection: float
) -> Interval | None:
    """Return the mean efficiency over the signals at a rejection of background.

    None without background or signals, and where less than one background event would pass.
    """
    signals = [sample for label, sample in samples.items() if label != background]
    if not signals or background not in samples:
        return None
    return mean_efficiency_interval(samples[background], signals, rejection)
