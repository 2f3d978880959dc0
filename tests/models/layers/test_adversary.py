"""The adversary: its gradient in closed form, the penalty's own gradient, and the reversal."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from anomaly_hep.models.layers.adversary import Adversary
from anomaly_hep.models.layers.reversal import reversed_gradient


@pytest.fixture
def network() -> Adversary:
    torch.manual_seed(0)
    return Adversary(5, (7, 6)).double()


@pytest.fixture
def vectors() -> Tensor:
    return torch.randn(9, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_the_gradient_is_that_of_autograd(network: Adversary, vectors: Tensor) -> None:
    vectors.requires_grad_(True)
    (expected,) = torch.autograd.grad(network(vectors).double().sum(), vectors)
    torch.testing.assert_close(network.gradient(vectors).double(), expected, rtol=1e-5, atol=1e-6)


def test_the_penaltys_gradient_is_that_of_differentiating_twice(
    network: Adversary, vectors: Tensor
) -> None:
    inputs = vectors.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(network(inputs).sum(), inputs, create_graph=True)
    twice = (gradient.norm(dim=1) - 1).square().mean()
    expected = torch.autograd.grad(twice, list(network.parameters()), allow_unused=True)
    found = torch.autograd.grad(
        network.penalty(vectors).mean(), list(network.parameters()), allow_unused=True
    )
    for (name, _), one, two in zip(network.named_parameters(), found, expected, strict=True):
        if one is None:  # the biases move the slopes only where they jump
            assert two is None or not two.abs().max(), name
        else:
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


def test_the_penalty_changes_with_the_weights_as_its_gradient_says(
    network: Adversary, vectors: Tensor
) -> None:
    weight = network.layers[0].weight
    (gradient,) = torch.autograd.grad(network.penalty(vectors).mean(), weight)
    direction = torch.randn(7, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight.add_(sign * 1e-3 * direction)
            values.append(float(network.penalty(vectors).double().mean()))
            weight.sub_(sign * 1e-3 * direction)
    numerical = (values[0] - values[1]) / 2e-3
    assert abs(numerical) > 1e-3  # there is a gradient
    assert float((gradient * direction).sum()) == pytest.approx(numerical, rel=1e-2)


def test_a_linear_adversary_of_slope_one_has_no_penalty() -> None:
    network = Adversary(4, ())
    with torch.no_grad():
        network.layers[0].weight.copy_(torch.tensor([[0.6, 0.0, 0.8, 0.0]]))
    assert network.penalty(torch.randn(3, 4)).abs().max() < 1e-6
    with torch.no_grad():
        network.layers[0].weight.mul_(3)
    torch.testing.assert_close(network.penalty(torch.randn(3, 4)), torch.full((3,), 4.0))


def test_a_network_without_weights_has_a_finite_gradient_of_its_penalty() -> None:
    network = Adversary(4, (3,))
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    network.penalty(torch.randn(3, 4)).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_the_reversal_is_the_identity_with_the_opposite_gradient() -> None:
    values = torch.randn(4, requires_grad=True)
    turned = reversed_gradient(values)
    assert torch.equal(turned, values)
    (turned * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert torch.equal(values.grad, torch.tensor([-1.0, -2.0, -3.0, -4.0]))


def test_gradients_of_a_reversed_frozen_network_reach_what_comes_before(network: Adversary) -> None:
    network.requires_grad_(False)
    before = torch.nn.Linear(3, 5).double()
    x = torch.randn(6, 3, dtype=torch.float64)
    plain = torch.autograd.grad(network(before(x)).sum(), before.weight)[0]
    turned = torch.autograd.grad(network(reversed_gradient(before(x))).sum(), before.weight)[0]
    assert plain.abs().max() > 0
    torch.testing.assert_close(turned, -plain)
