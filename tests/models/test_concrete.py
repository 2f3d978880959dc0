"""Relaxed categoricals in log-space against their densities on the simplex, integrated."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import Tensor

from anomaly_hep.models.layers.concrete import log_density, mixture_log_density, sample


def _on_simplex(x: np.ndarray, logits: np.ndarray, temperature: float) -> float:
    """Return the density of arXiv:1611.00712 eq. (22) at a point of the simplex."""
    n, a = len(x), np.exp(logits)
    top = math.factorial(n - 1) * temperature ** (n - 1) * np.prod(a * x ** (-temperature - 1))
    return float(top / (a @ x**-temperature) ** n)


def _tensor(values: list[float] | list[list[float]]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.3])
def test_density_and_its_change_to_logarithms(temperature: float) -> None:
    x, logits = np.array([0.2, 0.5, 0.3]), np.array([0.3, -1.0, 0.4])
    ours = log_density(
        _tensor(np.log(x).tolist()), _tensor(logits.tolist()), _tensor([temperature])
    )
    # d(log x) = dx / x in each of the coordinates, the last one's factor included
    expected = math.log(_on_simplex(x, logits, temperature) * np.prod(x))
    assert float(ours) == pytest.approx(expected, rel=1e-10)


def _divergence(
    q_logits: list[float],
    q_temperature: float,
    p_logits: list[list[float]],
    p_temperatures: list[float],
) -> float:
    """Return KL(q || mixture) by integrating over the simplex."""

    grid = np.linspace(-25, 25, 301)
    total = 0.0
    # in the logarithms u of the ratios to the last coordinate: dx = prod(x) du
    for u in itertools.product(grid, repeat=len(q_logits) - 1):
        x = softmax([*u, 0.0])
        q = _on_simplex(x, np.array(q_logits), q_temperature)
        p = np.mean([
            _on_simplex(x, np.array(logits), t)
            for logits, t in zip(p_logits, p_temperatures, strict=True)
        ])  # fmt: skip
        total += float(np.prod(x)) * q * math.log(q / p)
    return float(total * (grid[1] - grid[0]) ** (len(q_logits) - 1))


@pytest.mark.parametrize(
    ("q", "t", "p", "temperatures"),
    [
        ([0.5, -0.5], 1.4, [[0.0, 0.0], [1.0, -1.0]], [1.2, 2.0]),
        ([1.0, 0.0, -1.0], 1.8, [[0.0, 0.0, 0.0], [0.5, 1.0, -0.5]], [1.5, 2.5]),
    ],
)
def test_divergence_is_the_integral(
    q: list[float], t: float, p: list[list[float]], temperatures: list[float]
) -> None:
    noise = torch.rand(400_000, len(q), dtype=torch.float64,
                       generator=torch.Generator().manual_seed(1))  # fmt: skip
    value = sample(_tensor(q), _tensor([t]), noise)
    mixture = mixture_log_density(value, _tensor(p), _tensor(temperatures)[:, None])
    terms = log_density(value, _tensor(q), _tensor([t])) - mixture
    error = float(terms.std()) / len(terms) ** 0.5
    assert float(terms.mean()) == pytest.approx(_divergence(q, t, p, temperatures), abs=4 * error)


def test_draws_are_points_of_the_simplex_and_favour_the_likely_category() -> None:
    logits = _tensor([math.log(0.7), math.log(0.2), math.log(0.1)])
    noise = torch.rand(100_000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    value = sample(logits, _tensor([0.5]), noise)
    torch.testing.assert_close(value.exp().sum(-1), torch.ones(100_000, dtype=torch.float64))
    # the largest coordinate is category k with its probability, at any temperature
    shares = torch.bincount(value.argmax(-1), minlength=3) / 100_000
    np.testing.assert_allclose(shares.numpy(), [0.7, 0.2, 0.1], atol=0.006)


def test_many_categories_and_extreme_noise_stay_finite() -> None:
    logits = torch.zeros(64)
    noise = torch.rand(1000, 64, generator=torch.Generator().manual_seed(3))
    noise[0], noise[1] = 0.0, 1.0
    value = sample(logits, torch.tensor([0.1]), noise)
    assert torch.isfinite(log_density(value, logits, torch.tensor([0.1]))).all()
