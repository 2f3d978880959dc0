"""What fitted scores are computed from: embeddings, or scores that come before them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

import numpy as np
from jaxtyping import Float

from anomaly_hep.errors import ConfigError
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.fits.base import FittedScore, Values

EVENT = "event"  # the embedding that a reading makes of every event, without a model
DEFAULT = "default"  # stands for the model's default score

Fitted = Mapping[str, FittedScore]
# of as many events as are known of each
Columns = Mapping[str, Float[np.ndarray, " _"]]
Embeddings = Mapping[str, Float[np.ndarray, "_ _"]]


def check_fitted(model: AnomalyModel, fitted: Fitted) -> None:
    """Refuse fitted scores that a model cannot have; raises ConfigError with the first."""
    for name, score in fitted.items():
        if name in (*model.score_names, DEFAULT):
            has = "the name of a score" if name != DEFAULT else "what stands for the default score"
            raise ConfigError(
                f"fitted_scores.{name} has {has} of {model.title}. Cure: give it another name"
            )
        if score.embedding is None:
            _check_scores(model, fitted, name)
        elif score.embedding not in (*model.embedding_names, EVENT):
            raise ConfigError(
                f"fitted_scores.{name}: {model.title} has no embedding '{score.embedding}'. Cure: "
                f"choose one of {', '.join([*model.embedding_names, EVENT])}"
            )
    in_order(model, fitted)


def _check_scores(model: AnomalyModel, fitted: Fitted, name: str) -> None:
    known, combined = [DEFAULT, *model.score_names, *fitted], combines(model, fitted[name])
    if unknown := [other for other in combined if other not in known]:
        raise ConfigError(
            f"fitted_scores.{name}: there is no score '{unknown[0]}' of {model.title}, nor a "
            f"fitted one. Cure: choose from {', '.join(n for n in known if n != name)}"
        )
    if len(set(combined)) < max(len(combined), fitted[name].fewest_scores):
        raise ConfigError(
            f"fitted_scores.{name} combines {', '.join(combined) or 'nothing'}. Cure: name two "
            "different scores, or more"
        )


def columns_of(fitted: Fitted) -> list[str]:
    """Return the event columns that fitted scores take from the files, each once."""
    return list(dict.fromkeys(name for score in fitted.values() for name in score.columns))


def combines(model: AnomalyModel, score: FittedScore) -> tuple[str, ...]:
    """Return the names of the scores that a score combines."""
    return tuple(model.default_score if name == DEFAULT else name for name in score.scores)


def in_order(model: AnomalyModel, fitted: Fitted) -> list[str]:
    """Return the names of fitted scores, each after those that it combines.

    Raises ConfigError for scores that combine each other.
    """
    needed = {
        name: [other for other in combines(model, score) if other in fitted]
        for name, score in fitted.items()
    }
    try:
        return list(TopologicalSorter(needed).static_order())
    except CycleError as error:
        circle: Sequence[str] = error.args[1]
        raise ConfigError(
            f"fitted_scores.{circle[0]} combines itself ({' of '.join(circle[::-1])}). Cure: "
            "combine scores that do not need it"
        ) from None


def values_of(
    model: AnomalyModel,
    score: FittedScore,
    embeddings: Embeddings,
    scores: Columns,
    columns: Columns,
) -> Values:
    """Return what a score is computed from: its embedding, or its scores and columns, in a row."""
    if score.embedding is not None:
        return embeddings[score.embedding]
    named = [scores[name] for name in combines(model, score)]
    return np.stack([*named, *(columns[name] for name in score.columns)], axis=1)


def add_fitted(
    model: AnomalyModel,
    fitted: Fitted,
    embeddings: Embeddings,
    scores: Columns,
    columns: Columns,
) -> dict[str, Float[np.ndarray, " event"]]:
    """Return the fitted scores of some events.

    They follow from the events' embeddings, the model's scores and columns of the files.
    """
    found = dict(scores)
    for name in in_order(model, fitted):
        values = values_of(model, fitted[name], embeddings, found, columns)
        found[name] = fitted[name].score(values)
    return {name: found[name] for name in fitted}
