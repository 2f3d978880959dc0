from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.models.layers.jagged import Jagged
from anomaly_hep.models.losses import chamfer, clipped_mean, kl_divergence
from tests.models.jets import rows_of

R0 = 0.15


def _distance(true: torch.Tensor, other: torch.Tensor) -> float:
    """(dpT)^2 + pT^2 (deta^2 + dphi^2) / R0^2 with the true pT."""
    angles = (true[1] - other[1]) ** 2 + (true[2] - other[2]) ** 2
    return float((true[0] - other[0]) ** 2 + true[0] ** 2 * angles / R0**2)


def _slow_chamfer(truth: torch.Tensor, made: torch.Tensor, types: list[int]) -> float:
    """arXiv:2311.17162 eq. 1 as two loops over one jet, means instead of sums."""
    total = 0.0
    for i, kind in enumerate(types):
        same = [j for j, other in enumerate(types) if other == kind]
        total += min(_distance(truth[i], made[j]) for j in same)
        total += min(_distance(truth[j], made[i]) for j in same)
    return 0.5 * total / len(types)


@given(
    st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=40), min_size=1, max_size=4),
    st.integers(0, 1000),
)
def test_chamfer_equals_the_double_loop(jets: list[list[int]], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    types = torch.tensor([t for jet in jets for t in jet])
    lengths = [len(jet) for jet in jets]
    truth = torch.rand(len(types), 3, generator=generator, dtype=torch.float64)
    made = torch.rand(len(types), 3, generator=generator, dtype=torch.float64)
    segments = Jagged(torch.tensor(lengths))
    typed = chamfer(truth, made, segments, R0, types, 8)
    untyped = chamfer(truth, made, segments, R0)
    for jet, rows in enumerate(rows_of(lengths)):
        assert float(typed[jet]) == pytest.approx(_slow_chamfer(truth[rows], made[rows], jets[jet]))
        alike = _slow_chamfer(truth[rows], made[rows], [0] * lengths[jet])
        assert float(untyped[jet]) == pytest.approx(alike)


def test_chamfer_of_a_perfect_copy_in_any_order_is_zero() -> None:
    truth = torch.rand(9, 3)
    segments = Jagged(torch.tensor([9]))
    made = truth[torch.randperm(9)]
    assert float(chamfer(truth, made, segments, R0)) == 0.0


def test_chamfer_gradient_is_that_of_the_chosen_pairs() -> None:
    truth = torch.rand(6, 3, dtype=torch.float64)
    made = torch.rand(6, 3, dtype=torch.float64, requires_grad=True)
    segments = Jagged(torch.tensor([4, 2]))
    assert torch.autograd.gradcheck(lambda m: chamfer(truth, m, segments, R0), (made,))


def test_jets_with_no_and_with_one_particle_have_a_chamfer() -> None:
    truth, made = torch.rand(1, 3), torch.rand(1, 3)
    segments = Jagged(torch.tensor([0, 1]))
    value = chamfer(truth, made, segments, R0)
    assert float(value[0]) == 0.0
    assert float(value[1]) == pytest.approx(_distance(truth[0], made[0]), rel=1e-5)


@pytest.mark.parametrize("bad", [float("inf"), float("nan"), -float("inf")])
@pytest.mark.parametrize("column", [0, 1])
def test_what_is_not_finite_makes_a_loss_that_is_not_finite(bad: float, column: int) -> None:
    segments = Jagged(torch.tensor([2, 3]))
    made = torch.rand(5, 3)
    made[2:, column] = bad
    value = chamfer(torch.rand(5, 3), made, segments, R0)
    assert value[0].isfinite()
    assert not value[1].isfinite()


def test_kl_is_that_of_torch_averaged_over_dimensions() -> None:
    mean, log_variance = torch.randn(5, 16), torch.randn(5, 16)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    prior = torch.distributions.Normal(torch.zeros(16), torch.ones(16))
    expected = torch.distributions.kl_divergence(posterior, prior).mean(1)
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected)
    assert float(kl_divergence(torch.zeros(1, 16), torch.zeros(1, 16))) == 0.0


def test_clipping_averages_the_best_reconstructed_and_gives_the_rest_no_gradient() -> None:
    values = torch.tensor([1.0, 2.0, 3.0, 40.0], requires_grad=True)
    ranking = torch.tensor([0.3, 0.1, 0.2, 9.0])
    segments = Jagged(torch.ones(4, dtype=torch.int64))
    clipped = clipped_mean(values, ranking, 0.75, torch.ones(4), segments)
    assert clipped.item() == 2.0
    clipped.backward()
    assert values.grad is not None
    assert values.grad[3] == 0.0
    assert clipped_mean(values, ranking, 1.0, torch.ones(4), segments) == values.mean()
    assert clipped_mean(values, ranking, 0.01, torch.ones(4), segments) == values[1]
    weight = torch.tensor([2.0, 1.0, 1.0, 5.0])
    assert clipped_mean(values, ranking, 0.75, weight, segments).item() == (2 * 1.0 + 2.0 + 3.0) / 4
