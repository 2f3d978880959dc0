"""FSPool against a loop, on sets of any size, padded or not; and the gradient through the sort."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from anomaly_hep.models.layers.fspool import FSPool
from anomaly_hep.models.layers.jagged import Jagged
from anomaly_hep.models.layers.slotted import Slotted

LENGTHS = st.lists(st.integers(0, 20), min_size=1, max_size=6)


def slow(weight: Tensor, members: Tensor) -> Tensor:
    """Return the pooled features of one set, weight by weight: arXiv:1906.02795 section 3.1."""
    n, features = members.shape
    pooled = torch.zeros(features, dtype=members.dtype)
    for feature in range(features):
        ordered = sorted(members[:, feature].tolist(), reverse=True)
        for i, value in enumerate(ordered):
            place = 20 * (i / max(n - 1, 1))
            left = int(place)
            right, share = min(left + 1, 20), place - left
            knots = weight[feature]
            pooled[feature] += value * ((1 - share) * knots[left] + share * knots[right])
    return pooled


@given(LENGTHS, st.integers(0, 100))
def test_it_is_the_published_pooling_of_the_members_alone(lengths: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    pool = FSPool(3).double()
    flat = torch.randn(sum(lengths), 3, dtype=torch.float64)
    with torch.no_grad():
        found = pool(flat, Jagged(torch.tensor(lengths)))
    expected = [slow(pool.weight.detach(), part) for part in flat.split(lengths)]
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-6, atol=1e-6)


@given(LENGTHS, st.integers(0, 100))
def test_the_published_pooling_sorts_zeros_too(lengths: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    pool = FSPool(2, slots=20).double()
    flat = torch.randn(sum(lengths), 2, dtype=torch.float64)
    with torch.no_grad():
        found = pool(flat, Jagged(torch.tensor(lengths)))
    for row, part in zip(found, flat.split(lengths), strict=True):
        filled = torch.cat([part, part.new_zeros(20 - len(part), 2)])
        torch.testing.assert_close(row, slow(pool.weight.detach(), filled), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("slots", [None, 20])
@given(LENGTHS, st.integers(0, 100))
def test_padding_and_order_change_nothing(slots: int | None, lengths: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    pool = FSPool(4, slots)
    flat = torch.randn(sum(lengths), 4)
    sizes = torch.tensor(lengths)
    padded = torch.full((len(lengths) + 2, 32, 4), 1e30)
    for row, part in zip(padded, flat.split(lengths), strict=False):
        row[: len(part)] = part
    with torch.no_grad():
        expected = pool(flat, Jagged(sizes))
        longer = torch.cat([sizes, sizes.new_zeros(2)])
        found = pool(padded.flatten(0, 1), Slotted(longer, 32))[: len(lengths)]
        shuffled = torch.cat([part[torch.randperm(len(part))] for part in flat.split(lengths)])
        turned = pool(shuffled, Jagged(sizes))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(turned, expected)


def test_the_gradient_goes_through_the_sort() -> None:
    torch.manual_seed(1)
    pool = FSPool(2).double()
    flat = torch.randn(9, 2, dtype=torch.float64, requires_grad=True)
    segments = Jagged(torch.tensor([4, 0, 5]))
    assert torch.autograd.gradcheck(lambda x: pool(x, segments), (flat,))

    def of_weight(weight: Tensor) -> Tensor:
        return torch.func.functional_call(pool, {"weight": weight}, (flat.detach(), segments))

    assert torch.autograd.gradcheck(of_weight, (pool.weight,))


def test_two_members_have_the_first_and_the_last_weight() -> None:
    pool = FSPool(1)
    with torch.no_grad():
        pool.weight.copy_(torch.arange(21.0))
        found = pool(torch.tensor([[2.0], [5.0]]), Jagged(torch.tensor([2])))
    assert found.item() == pytest.approx(5 * 0 + 2 * 20)
