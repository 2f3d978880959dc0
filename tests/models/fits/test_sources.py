"""Which scores may be combined, and in which order they are computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from unittest.mock import Mock

import numpy as np
import pytest

from anomaly_hep.errors import ConfigError
from anomaly_hep.evaluate.fits import Sources, fit_scores
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.fits.sources import add_fitted, check_fitted, in_order
from anomaly_hep.models.fitted import ECOD, FittedScore, Mahalanobis, NearestNeighbours, Rank

MODEL = Mock(
    spec=AnomalyModel,
    title="Toy",
    default_score="kl",
    score_names=("kl", "loss"),
    embedding_names=("latent",),
)


def rank(*scores: str) -> Rank:
    return Rank(scores=list(scores))


REFUSED: Mapping[str, tuple[Mapping[str, FittedScore], str]] = {
    "an unknown score": ({"r": rank("kl", "kll")}, "no score 'kll' of Toy, nor a fitted one"),
    "an unknown embedding": ({"m": Mahalanobis(embedding="no")}, "choose one of latent, event"),
    "a circle": ({"a": rank("kl", "b"), "b": rank("loss", "a")}, "combines itself"),
    "itself": ({"a": rank("kl", "a")}, "fitted_scores.a combines itself"),
    "one score": ({"r": rank("kl")}, "r combines kl. Cure: name two different scores"),
    "no score": ({"r": rank()}, "r combines nothing. Cure"),
    "one score twice": ({"r": rank("default", "kl")}, "r combines kl, kl. Cure"),
    "a name that is taken": ({"loss": ECOD(embedding="event")}, "the name of a score of Toy"),
    "the default": ({"default": ECOD(embedding="event")}, "what stands for the default score"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_combined_is_refused_in_one_line(what: str) -> None:
    fitted, said = REFUSED[what]
    with pytest.raises(ConfigError, match=said) as caught:
        check_fitted(MODEL, fitted)
    assert "\n" not in str(caught.value)


def test_a_score_comes_after_those_that_it_combines() -> None:
    fitted: dict[str, FittedScore] = {
        "z": rank("a", "m"), "a": rank("default", "e"), "m": Mahalanobis(embedding="latent"),
        "e": ECOD(embedding="event"),
    }  # fmt: skip
    check_fitted(MODEL, fitted)
    order = in_order(MODEL, fitted)
    assert sorted(order) == sorted(fitted)
    assert order.index("e") < order.index("a") < order.index("z") > order.index("m")


def test_every_score_is_fitted_on_the_first_of_its_events() -> None:
    rng = np.random.default_rng(0)
    latent, event, kl = rng.normal(size=(90, 3)), rng.normal(size=(90, 2)), rng.random(90)
    fitted: dict[str, FittedScore] = {
        "both": Rank(scores=["default", "far"], events=40),
        "far": Mahalanobis(embedding="latent", events=20),
        "tails": ECOD(embedding="event", events=70),
    }
    asked = []

    def parts() -> Iterator[Sources]:
        for start in range(0, 90, 30):
            some = slice(start, start + 30)
            asked.append(start)
            yield Sources(
                {"latent": latent[some], "event": event[some]}, {"kl": kl[some]}, {}, np.ones(30)
            )

    fit_scores(MODEL, fitted, parts())
    alone, tails = Mahalanobis(embedding="latent"), ECOD(embedding="event")
    alone.fit(latent[:20], np.ones(20))
    tails.fit(event[:70], np.ones(70))
    both = rank("kl", "far")
    both.fit(np.column_stack([kl, alone.score(latent)])[:40], np.ones(40))
    found = add_fitted(MODEL, fitted, {"latent": latent, "event": event}, {"kl": kl}, {})
    assert list(found) == list(fitted)
    np.testing.assert_array_equal(found["far"], alone.score(latent))
    np.testing.assert_array_equal(found["tails"], tails.score(event))
    expected = both.score(np.column_stack([kl, alone.score(latent)]))
    np.testing.assert_array_equal(found["both"], expected)
    assert asked == [0, 30, 60]


def test_an_event_of_the_fit_is_ranked_without_itself_as_a_neighbour() -> None:
    values = np.array([[0.0], [1.0], [3.0], [9.0]])
    score = NearestNeighbours(embedding="latent", neighbours=2)
    score.fit(values, np.array([1.0, 1.0, 1.0, 0.0]))
    # the last has no weight, is not in the fit, and so has two others
    assert score.score_fitted(values).tolist() == [2.0, 1.5, 2.5, 7.0]
