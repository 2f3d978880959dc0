"""Scores that are fitted on embeddings: against closed forms and slow references."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.svm import OneClassSVM as LibSVM

from anomaly_hep.errors import ConfigError
from anomaly_hep.models.fitted import FittedScore, Mahalanobis, NearestNeighbours, OneClassSVM
from anomaly_hep.models.loading import fitted_scores

RNG = np.random.default_rng(0)
BACKGROUND = RNG.normal(size=(400, 3)) @ np.array([[2.0, 0.3, 0.0], [0.0, 1.0, 0.0], [0, 0.5, 0.1]])
EVENTS = RNG.normal(size=(7, 3)) * 3
ONES = np.ones(len(BACKGROUND))
KINDS = [NearestNeighbours, Mahalanobis, OneClassSVM]


def test_neighbours_are_those_of_a_search_through_all() -> None:
    score = NearestNeighbours(embedding="latent", neighbours=4)
    score.fit(BACKGROUND, ONES)
    slow = [np.sort(np.linalg.norm(BACKGROUND - event, axis=1))[:4].mean() for event in EVENTS]
    np.testing.assert_allclose(score.score(EVENTS), slow, rtol=1e-9)


def test_events_without_weight_are_no_neighbours() -> None:
    score = NearestNeighbours(embedding="latent", neighbours=1)
    score.fit(np.array([[0.0], [5.0]]), np.array([1.0, 0.0]))
    assert score.score(np.array([[5.0]])).tolist() == [5.0]


def test_mahalanobis_of_a_known_covariance() -> None:
    # (+-2, 0), (0, +-1): mean 0, and with n - 1 = 3 the variances are 8/3 and 2/3
    values = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    score = Mahalanobis(embedding="latent")
    score.fit(values, np.ones(4))
    found = score.score(np.array([[4.0, 0.0], [0.0, 2.0], [0.0, 0.0]]))
    np.testing.assert_allclose(found, [16 / (8 / 3), 4 / (2 / 3), 0.0], atol=1e-12)


def test_an_event_of_weight_two_moves_the_mean_as_two_events_do() -> None:
    weights = np.ones(len(BACKGROUND))
    weights[0] = 2.0
    one, two = Mahalanobis(embedding="latent"), Mahalanobis(embedding="latent")
    one.fit(BACKGROUND, weights)
    two.fit(np.concatenate([BACKGROUND, BACKGROUND[:1]]), np.ones(len(BACKGROUND) + 1))
    np.testing.assert_allclose(one.state()["mean"], two.state()["mean"], rtol=1e-12)


def test_a_component_that_never_changes_adds_nothing() -> None:
    score = Mahalanobis(embedding="latent")
    score.fit(np.column_stack([BACKGROUND[:, 0], np.full(len(BACKGROUND), 7.0)]), ONES)
    assert score.score(np.array([[BACKGROUND[:, 0].mean(), 9.0]])) == pytest.approx(0.0, abs=1e-9)


def test_the_machine_is_that_of_scikit_learn_and_leaves_nu_outside() -> None:
    score = OneClassSVM(embedding="latent", nu=0.1)
    score.fit(BACKGROUND, ONES)
    machine = LibSVM(nu=0.1, gamma="scale").fit(BACKGROUND)
    np.testing.assert_allclose(score.score(EVENTS), -machine.decision_function(EVENTS), rtol=1e-6)
    assert (score.score(BACKGROUND) > 0).mean() == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_strange_scores_high_and_a_reloaded_fit_scores_the_same(
    kind: type[FittedScore], tmp_path: Path
) -> None:
    score = kind(embedding="latent")
    score.fit(BACKGROUND, ONES)
    assert score.score(np.full((1, 3), 50.0)) > np.quantile(score.score(BACKGROUND), 0.99)
    assert score.score(np.zeros((0, 3))).shape == (0,)
    np.savez(tmp_path / "kept.npz", **dict(score.state()))
    again = kind(embedding="latent")
    with np.load(tmp_path / "kept.npz", allow_pickle=False) as kept:
        again.load({name: kept[name] for name in kept.files})
    np.testing.assert_array_equal(again.score(EVENTS), score.score(EVENTS))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"_target_": "os.system"}, "is no class of the models"),
        ({"_target_": "anomaly_hep.models.fitted.Nothing"}, "is no class of the models"),
        ({"_target_": "anomaly_hep.models.fitted.Mahalanobis"}, "fitted_scores.mine: .*embedding"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_one_line(
    settings: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        fitted_scores({"mine": settings})


def test_too_few_events_are_refused() -> None:
    with pytest.raises(ConfigError, match="2 background events have no 5 neighbours"):
        NearestNeighbours(embedding="latent").fit(BACKGROUND[:2], ONES[:2])
