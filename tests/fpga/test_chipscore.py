"""Integer scores against exact arithmetic, and the threshold against a count."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.errors import ConfigError
from anomaly_hep.fpga.chipscore import (
    TABLE,
    ChipScore,
    float_score,
    outputs_of,
    threshold,
)
from anomaly_hep.fpga.fixedpoint import FixedPoint, Integers
from tests.fpga.encoders import SCORES

# finer and coarser than the exponential's 6 bits behind the point, and coarser than 1
LATENTS = [FixedPoint(True, 6, 4), FixedPoint(True, 9, 7), FixedPoint(True, 5, 1),
           FixedPoint(True, 3, -1)]  # fmt: skip


def _random(latent: FixedPoint, outputs: int, events: int = 200) -> Integers:
    random = np.random.default_rng(7)
    return random.integers(latent.lowest, latent.highest + 1, (events, outputs))


def _exact(kind: str, latent: FixedPoint, event: list[int]) -> Fraction:
    """Twice the score without its constants, the exponential as the table rounds it."""
    unit = Fraction(2) ** -latent.fraction
    if kind == "squared":
        return sum(((value * unit) ** 2 for value in event), Fraction(0))
    half = len(event) // 2
    total = sum(((value * unit) ** 2 for value in event[:half]), Fraction(0))
    for value in event[half:]:
        log_variance = value * unit
        exponential = min(math.floor(math.exp(log_variance) * 64), 1023)
        total += Fraction(exponential, 64) - log_variance
    return total


@pytest.mark.parametrize("latent", LATENTS)
@pytest.mark.parametrize("kind", SCORES)
def test_scores_are_exact_sums(kind: str, latent: FixedPoint) -> None:
    score = ChipScore(kind, latent, 4)
    latents = _random(latent, 4)
    unit = Fraction(2) ** -score.fraction
    for event, found in zip(latents.tolist(), score(latents).tolist(), strict=True):
        assert found * unit == _exact(kind, latent, event)


@pytest.mark.parametrize("latent", LATENTS)
def test_squared_scores_are_the_float_ones(latent: FixedPoint) -> None:
    score = ChipScore("squared", latent, 3)
    latents = _random(latent, 3)
    values = torch.from_numpy(latent.real(latents))
    np.testing.assert_array_equal(score.real(score(latents)), float_score("squared", values))


@pytest.mark.parametrize("latent", LATENTS)
def test_kl_scores_are_the_float_ones_up_to_the_tables_rounding(latent: FixedPoint) -> None:
    score = ChipScore("kl", latent, 6)
    latents = _random(latent, 6)
    values = latent.real(latents)
    lost = float_score("kl", torch.from_numpy(values)).numpy() - score.real(score(latents))
    inside = np.exp(values[:, 3:]).max(1) < 16
    assert inside.sum() > 10
    # each of three exponentials loses less than the table's last bit, and the score is half of it
    assert (lost[inside] > -1e-9).all()
    assert lost[inside].max() < 3 * TABLE.lsb / 2
    # an exponential beyond the table counts as its end
    beyond = 0.5 * (np.maximum(np.exp(values[:, 3:]) - 16, 0)).sum(1)
    assert (lost >= beyond - 1e-9).all()
    assert (lost <= beyond + 3 * TABLE.lsb / 2 + 1e-9).all()


def test_the_float_kl_is_that_of_normal_distributions() -> None:
    outputs = torch.tensor([[0.3, -1.2, 0.7, -0.4], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    mean, deviation = outputs[:, :2], (outputs[:, 2:] / 2).exp()
    posterior = torch.distributions.Normal(mean, deviation)
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(float_score("kl", outputs), expected.sum(1).double())
    squared = torch.tensor([(0.3**2 + 1.2**2 + 0.7**2 + 0.4**2) / 2, 0.0], dtype=torch.float64)
    torch.testing.assert_close(float_score("squared", outputs), squared)


@pytest.mark.parametrize("latent", LATENTS)
def test_the_table_is_the_exponential_rounded_down(latent: FixedPoint) -> None:
    entries = ChipScore("kl", latent, 2).table().tolist()
    values = range(-(2**latent.bits) // 2, 2**latent.bits // 2)
    expected = [min(math.floor(math.exp(v * 2.0**-latent.fraction) * 64), 1023) for v in values]
    assert entries == expected
    if latent.fraction == 4:
        assert max(entries) < 1023


@pytest.mark.parametrize(
    ("kind", "outputs", "latent"),
    [
        ("squared", 1, FixedPoint(True, 2, 0)),
        ("squared", 3, FixedPoint(True, 4, 6)),
        ("kl", 2, FixedPoint(True, 5, 1)),
        ("kl", 4, FixedPoint(True, 3, 0)),
        ("kl", 4, FixedPoint(True, 3, 8)),
        ("kl", 2, FixedPoint(True, 4, -2)),
    ],
)
def test_the_type_holds_every_score_and_one_bit_less_does_not(
    kind: str, outputs: int, latent: FixedPoint
) -> None:
    score = ChipScore(kind, latent, outputs)
    every = range(latent.lowest, latent.highest + 1)
    scores = score(np.array(list(itertools.product(every, repeat=outputs))))
    low, high = int(scores.min()), int(scores.max())
    found = score.type
    assert found.lowest <= low <= high <= found.highest
    assert found.signed == (low < 0)
    narrow = FixedPoint(found.signed, found.bits - 1, found.fraction)
    assert low < narrow.lowest or high > narrow.highest
    assert found.fraction == score.fraction


def test_outputs_are_means_and_for_the_kl_log_variances_too() -> None:
    assert [outputs_of(kind, 5) for kind in ("squared", "kl")] == [5, 10]


@given(
    # few values, so that events share one
    st.lists(st.integers(-4, 4), min_size=2, max_size=60),
    st.floats(1.01, 60.0),
)
def test_the_threshold_lets_one_in_rejection_through_and_a_lower_one_more(
    background: list[int], rejection: float
) -> None:
    if len(background) < rejection:
        return
    cut = threshold(np.array(background), rejection)
    assert isinstance(cut, int)
    assert sum(value > cut for value in background) * Fraction(rejection) <= len(background)
    # the smallest: scores one last bit lower would let more through
    assert sum(value > cut - 1 for value in background) * Fraction(rejection) > len(background)


def test_thresholds_by_hand() -> None:
    background = np.arange(200)[::-1]
    assert threshold(background, 100) == 197
    assert threshold(background, 200) == 198
    assert threshold(background / 8, 2) == 99 / 8
    assert threshold(background, 1.001) == 0


@pytest.mark.parametrize(
    ("events", "rejection"), [(99, 100), (0, 2), (10, 1), (10, 0.5), (10, -2), (10, float("nan"))]
)
def test_a_rejection_that_the_background_cannot_set_is_refused(
    events: int, rejection: float
) -> None:
    with pytest.raises(ConfigError, match=rf"with {events} validation events.*Cure: more of them"):
        threshold(np.arange(events), rejection)
