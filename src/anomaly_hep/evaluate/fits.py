"""Fit scores on background, each after those that it combines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.fits.base import FittedScore
from anomaly_hep.models.fits.sources import Columns, Embeddings, combines, in_order, values_of


@dataclass(frozen=True, eq=False)
class Sources:
    """What scores are fitted on, of some events.

    These are embeddings, the model's scores, event columns of the files, and weights.
    """

    embeddings: Embeddings
    scores: Columns
    columns: Columns
    weights: Float[np.ndarray, " event"]

    @classmethod
    def first(cls, parts: Iterator[Sources], events: int) -> Sources:
        """Return the first `events` of all parts; no more parts are asked for than these need."""
        taken, found = [], 0
        while found < events and (part := next(parts, None)):
            taken.append(part)
            found += len(part.weights)
        embeddings = _joined([part.embeddings for part in taken], events)
        scores = _joined([part.scores for part in taken], events)
        columns = _joined([part.columns for part in taken], events)
        weights = np.concatenate([np.zeros(0), *(part.weights for part in taken)])
        return cls(embeddings, scores, columns, weights[:events])


def fit_notes(fitted: Mapping[str, FittedScore]) -> dict[str, Mapping[str, Any]]:
    """Return what there is to say of each fit, in plain values."""
    return {name: dict(notes) for name, score in fitted.items() if (notes := score.notes())}


def _joined(parts: list[Mapping[str, np.ndarray]], events: int) -> dict[str, np.ndarray]:
    names = parts[0] if parts else ()
    return {name: np.concatenate([part[name] for part in parts])[:events] for name in names}


def fit_scores(
    model: AnomalyModel, fitted: Mapping[str, FittedScore], parts: Iterator[Sources]
) -> None:
    """Fit each score on the first of its events; what others combine is scored on theirs."""
    known = Sources.first(parts, max((score.events for score in fitted.values()), default=0))
    needed = {name for score in fitted.values() for name in combines(model, score)}
    ranked = max((score.events for score in fitted.values() if score.scores), default=0)
    scores, columns = (
        {name: values[:ranked] for name, values in part.items()}
        for part in (known.scores, known.columns)
    )
    for name in in_order(model, fitted):
        score = fitted[name]
        values = values_of(model, score, known.embeddings, scores, columns)
        score.fit(values[: score.events], known.weights[: score.events])
        if name in needed:
            scores[name] = score.score_fitted(values[:ranked])
