"""Fitted scores that are networks: against a density that is known, and what must not matter."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from anomaly_hep.errors import ConfigError
from anomaly_hep.models.fitted import SVDD, FittedScore, Flow

RNG = np.random.default_rng(0)
MIXING = np.array([[1.0, 0.8], [0.0, 0.5]])
BACKGROUND = RNG.normal(size=(4000, 2)) @ MIXING + [3.0, -1.0]
ONES = np.ones(len(BACKGROUND))
EVENTS = RNG.normal(size=(9, 2)) * 2


def flow() -> Flow:
    return Flow(embedding="latent", layers=2, hidden=32, epochs=8, lr=1e-2)


def svdd() -> SVDD:
    return SVDD(embedding="latent", dimensions=[2, 5], hidden=16, epochs=3)


KINDS = pytest.mark.parametrize("make", [flow, svdd])
Make = Callable[[], FittedScore]


@pytest.fixture(scope="module")
def fitted_flow() -> Flow:
    score = flow()
    score.fit(BACKGROUND, ONES)
    return score


def test_the_flow_finds_the_density_of_a_correlated_gaussian(fitted_flow: Flow) -> None:
    normal = RNG.normal(size=(2000, 2))
    values = normal @ MIXING + [3.0, -1.0]
    # in units of the standard deviations, 1 and sqrt(0.8^2 + 0.5^2), the determinant is 0.5/0.943
    true = 0.5 * (normal**2).sum(1) + np.log(2 * np.pi) + np.log(0.5 / np.hypot(0.8, 0.5))
    difference = fitted_flow.score(values) - true
    # the mean difference is the divergence of the flow from the truth: 0 at best
    assert difference.mean() == pytest.approx(0.0, abs=0.03)
    assert difference.std() < 0.3


def test_what_is_farther_out_is_less_likely(fitted_flow: Flow) -> None:
    directions = np.array([[1.0, 0.0], [0.0, -1.0], [1.0, 1.0]])
    for direction in directions:
        far = fitted_flow.score(direction * 10.0 ** np.arange(1, 10, 2)[:, None])
        assert np.isfinite(far).all()
        assert (np.diff(far) > 0).all()


def test_networks_score_what_is_far_from_background_higher() -> None:
    score = svdd()
    score.fit(BACKGROUND, ONES)
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    far = np.stack([np.cos(angle), np.sin(angle)], 1) * 30
    assert score.score(far).min() > np.quantile(score.score(BACKGROUND), 0.999)
    # each network's distance is in units of its mean over background
    assert score.score(BACKGROUND).mean() == pytest.approx(1.0, rel=1e-4)


def test_no_network_of_the_ensemble_has_a_bias() -> None:
    score = svdd()
    score.fit(BACKGROUND, ONES)
    mean = np.average(BACKGROUND, axis=0)[None]
    # what is at the mean of background goes to 0, so its distance is that of the centre
    state = score.state()
    expected = np.mean([(state[f"{i}.centre"] ** 2).sum() / state[f"{i}.mean"] for i in range(2)])
    assert score.score(mean)[0] == pytest.approx(expected, rel=1e-4)


@KINDS
def test_the_same_events_give_the_same_score_and_a_reloaded_fit_too(
    make: Make, tmp_path: Path
) -> None:
    torch.manual_seed(7)
    first = make()
    first.fit(BACKGROUND[:600], ONES[:600])
    after = torch.rand(1)
    torch.manual_seed(7)
    assert torch.rand(1) == after  # the run's own random numbers are left alone
    again, loaded = make(), make()
    again.fit(BACKGROUND[:600], ONES[:600])
    np.savez(tmp_path / "kept.npz", **dict(first.state()))
    with np.load(tmp_path / "kept.npz", allow_pickle=False) as kept:
        loaded.load({name: kept[name] for name in kept.files})
    np.testing.assert_array_equal(again.score(EVENTS), first.score(EVENTS))
    np.testing.assert_array_equal(loaded.score(EVENTS), first.score(EVENTS))


@KINDS
def test_events_without_weight_do_not_matter(make: Make) -> None:
    one, two = make(), make()
    one.fit(BACKGROUND[:500], ONES[:500])
    values = np.insert(BACKGROUND[:500], [3, 77, 500], 1e3, axis=0)
    two.fit(values, np.insert(ONES[:500], [3, 77, 500], 0.0))
    np.testing.assert_array_equal(two.score(EVENTS), one.score(EVENTS))


@KINDS
def test_weights_move_the_score_to_the_events_that_have_them(make: Make) -> None:
    values = np.concatenate([BACKGROUND[:1000], BACKGROUND[:1000] + 6.0])
    values = values[np.random.default_rng(1).permutation(2000)]
    near = values[:, 0] < 6.0
    score = make()
    score.fit(values, np.where(near, 1.0, 1e-3))
    found = score.score(values)
    assert np.median(found[~near]) > np.median(found[near])


@KINDS
def test_a_component_that_never_changes_is_left_out(make: Make) -> None:
    constant = np.full((len(BACKGROUND[:500]), 1), 0.1)
    one, two, none = make(), make(), make()
    one.fit(BACKGROUND[:500], ONES[:500])
    two.fit(np.hstack([BACKGROUND[:500], constant]), ONES[:500])
    others = np.hstack([EVENTS, np.full((len(EVENTS), 1), 9.0)])
    np.testing.assert_array_equal(two.score(others), one.score(EVENTS))
    none.fit(constant, ONES[:500])
    assert not none.score(others[:, 2:]).any()
    loaded = make()
    loaded.load(none.state())
    assert not loaded.score(others[:, 2:]).any()


@KINDS
def test_few_events_are_enough_or_refused_in_one_line(make: Make) -> None:
    score = make()
    fewest = score.fewest_events
    score.fit(BACKGROUND[:fewest], ONES[:fewest])
    assert np.isfinite(score.score(EVENTS)).all()
    assert score.score(EVENTS[:0]).shape == (0,)
    with pytest.raises(ConfigError, match="9 background events with a weight are too few"):
        score.fit(BACKGROUND[:9], ONES[:9])


def test_what_is_slow_to_import_waits_until_it_is_used() -> None:
    code = "import sys, anomaly_hep.models.fitted; print({'zuko', 'pyod'} & {*sys.modules})"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout == "set()\n"
