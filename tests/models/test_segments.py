"""Both layouts of events against loops over events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from anomaly_hep.models.layers.jagged import Jagged
from anomaly_hep.models.layers.segments import Segments
from anomaly_hep.models.layers.slotted import Slotted
from tests.models.jets import rows_of

LENGTHS = st.lists(st.integers(0, 9), min_size=1, max_size=8)
JETS = st.lists(st.lists(st.integers(0, 3), max_size=9), min_size=1, max_size=6)
NOBODY = 1e6  # in rows without a particle: nothing may see it


def both(lengths: list[int]) -> Iterator[tuple[Segments, list[list[int]]]]:
    """Return the segments of each layout, and the rows of each event's particles."""
    yield Jagged(torch.tensor(lengths)), [list(range(r.start, r.stop)) for r in rows_of(lengths)]
    slots = 11
    yield (
        Slotted(torch.tensor(lengths), slots),
        [list(range(slots * event, slots * event + n)) for event, n in enumerate(lengths)],
    )


def placed(segments: Segments, rows: list[list[int]], values: Tensor) -> Tensor:
    """Return the values of all particles in a flat tensor of the layout."""
    flat = values.new_full((segments.rows, *values.shape[1:]), NOBODY)
    flat[[row for event in rows for row in event]] = values
    return flat


@given(LENGTHS)
def test_sum_mean_spread_and_shares_equal_a_loop(lengths: list[int]) -> None:
    values = torch.randn(sum(lengths), 3, dtype=torch.float64)
    for segments, rows in both(lengths):
        flat = placed(segments, rows, values)
        total, mean = segments.sum(flat), segments.mean(flat)
        spread = segments.spread(torch.arange(len(lengths), dtype=torch.float64)[:, None])
        assert len(segments) == len(lengths)
        for event, own in enumerate(rows):
            torch.testing.assert_close(total[event], flat[own].sum(0))
            expected = flat[own].mean(0) if own else torch.zeros(3, dtype=torch.float64)
            torch.testing.assert_close(mean[event], expected)
            assert (spread[own] == event).all()
            assert segments.position[own].tolist() == list(range(lengths[event]))
            assert segments.shares[own].tolist() == pytest.approx([1 / len(own) for _ in own])
        assert float(segments.shares.sum()) == pytest.approx(sum(n > 0 for n in lengths))


@given(LENGTHS)
def test_unpad_undoes_pad_and_the_padding_is_zero(lengths: list[int]) -> None:
    values = torch.randn(sum(lengths), 2)
    for segments, rows in both(lengths):
        flat = placed(segments, rows, values)
        padded = segments.pad(flat)
        assert padded.shape[0] == len(lengths)
        assert padded.shape[1] >= max(lengths)
        torch.testing.assert_close(padded.sum((0, 1)), values.sum(0))
        again, filled = segments.unpad(padded), segments.filled(flat)
        for event, own in enumerate(rows):
            assert torch.equal(padded[event, : len(own)], flat[own])
            assert torch.equal(again[own], flat[own])
            assert torch.equal(filled[own], flat[own])
        torch.testing.assert_close(filled.sum(0), values.sum(0))


def test_gradients_of_sum_mean_and_spread_are_right() -> None:
    for segments, rows in both([3, 0, 2]):
        flat = placed(segments, rows, torch.randn(5, 2, dtype=torch.float64)).requires_grad_()
        events = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(segments.sum, (flat,))
        assert torch.autograd.gradcheck(segments.mean, (flat,))
        assert torch.autograd.gradcheck(segments.spread, (events,))
        # and theirs, which a penalty on gradients takes
        assert torch.autograd.gradgradcheck(
            lambda v, s=segments: s.sum(0.1 * v.square()),
            (flat.detach().clamp(max=2).requires_grad_(),),
        )
        assert torch.autograd.gradgradcheck(lambda v, s=segments: s.spread(v.exp()), (events,))


def test_what_is_not_finite_in_a_row_without_a_particle_reaches_nothing() -> None:
    segments = Slotted(torch.tensor([1, 0]), 2)
    flat = torch.tensor([[1.0], [torch.inf], [torch.nan], [torch.inf]], requires_grad=True)
    total = segments.sum(flat.exp())
    total.sum().backward()
    assert total.tolist() == [[pytest.approx(2.718282)], [0.0]]
    assert flat.grad is not None
    assert flat.grad[0, 0] == total[0, 0]


def test_rows_behind_the_last_particle_belong_to_no_jet() -> None:
    segments = Jagged(torch.tensor([3, 0, 2]))
    longer = torch.randn(8, 2, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(segments.sum(longer), segments.sum(longer[:5]))
    segments.sum(longer).sum().backward()
    assert longer.grad is not None
    assert longer.grad.tolist() == [[1.0, 1.0]] * 5 + [[0.0, 0.0]] * 3
    jets = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(segments.spread(jets, 8)[:5], segments.spread(jets))
    assert len(segments.spread(jets, 8)) == 8
    assert torch.autograd.gradcheck(lambda values: segments.spread(values, 8)[:5], (jets,))


@given(JETS)
def test_counts_so_far_equal_a_counting_loop(jets: list[list[int]]) -> None:
    types = torch.tensor([t for jet in jets for t in jet], dtype=torch.int64)
    for segments, rows in both([len(jet) for jet in jets]):
        flat = placed(segments, rows, types).clamp(max=3)
        counts = segments.counts_so_far(flat, 4)
        for jet, own in zip(jets, rows, strict=True):
            seen: Counter[int] = Counter()
            for number, row in zip(jet, own, strict=True):
                seen[number] += 1
                assert counts[row].tolist() == [seen[k] for k in range(4)]


def _apart(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).abs()[..., 0]


@given(JETS, st.integers(0, 1000))
def test_the_nearest_of_its_kind_is_that_of_a_double_loop(jets: list[list[int]], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    types = torch.tensor([t for jet in jets for t in jet], dtype=torch.int64)
    # few values, so that distances are equal: then the first is the nearest
    one, other = (
        torch.randint(0, 5, (len(types), 1), generator=generator).double() for _ in range(2)
    )
    for segments, rows in both([len(jet) for jet in jets]):
        a, b = placed(segments, rows, one), placed(segments, rows, other)
        flat = placed(segments, rows, types)
        for own_types in (flat, None):
            forward, backward = segments.nearest(_apart, a, b, own_types, 4)
            for own in rows:
                for row in own:
                    like = [j for j in own if own_types is None or own_types[j] == own_types[row]]
                    assert forward[row] == min(like, key=lambda j: abs(float(a[row] - b[j])))
                    assert backward[row] == min(like, key=lambda j: abs(float(a[j] - b[row])))


@given(
    # few values, so that particles share one
    st.lists(st.lists(st.sampled_from([0, 1, 2, 4]), max_size=9), min_size=1, max_size=5),
    st.integers(1, 13),
)
def test_the_hardest_stand_in_order_with_zeros_behind(jets: list[list[int]], count: int) -> None:
    # the second number tells apart what is equally hard: the first in the file comes first
    values = torch.tensor([[m, i + 1.0] for jet in jets for i, m in enumerate(jet)]).reshape(-1, 2)
    for segments, rows in both([len(jet) for jet in jets]):
        flat = placed(segments, rows, values)
        found = segments.hardest(flat, flat[:, 0], count)
        for jet, kept in zip(jets, found.tolist(), strict=True):
            order = sorted(range(len(jet)), key=lambda i: (-jet[i], i))[:count]
            expected = [[float(jet[i]), i + 1.0] for i in order]
            assert kept == expected + [[0.0, 0.0]] * (count - len(expected))


@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=9, unique=True),
    st.sampled_from([0.01, 0.3, 0.7, 0.75, 0.99]),
    st.integers(0, 3),
)
def test_the_lowest_share_has_its_weights(
    ranking: list[float], fraction: float, filling: int
) -> None:
    number = len(ranking)
    weight = [1.0 + i for i in range(number)]
    count = max(1, int(number * fraction))
    chosen = sorted(range(number), key=lambda i: ranking[i])[:count]
    expected = {i: weight[i] for i in chosen}
    there = torch.tensor([True] * number + [False] * filling)
    # what fills a batch up ranks lowest of all, and does not count
    ranks, weights = ranking + [-1.0] * filling, weight + [0.0] * filling
    for segments, values in (
        (Jagged(torch.ones(number, dtype=torch.int64)), (ranking, weight)),
        (Slotted(torch.ones(number + filling, dtype=torch.int64), 2, there), (ranks, weights)),
    ):
        index, kept = segments.lowest(torch.tensor(values[0]), fraction, torch.tensor(values[1]))
        found = {int(i): float(w) for i, w in zip(index, kept, strict=True) if w > 0}
        assert found == expected


def test_events_of_one_size_are_all_there() -> None:
    for segments, _ in both([3, 0, 2]):
        pairs = segments.of_size(2)
        assert pairs.lengths.tolist() == [2, 2, 2]
        flat = torch.arange(6.0)[:, None]
        assert pairs.sum(flat).tolist() == [[1.0], [5.0], [9.0]]
        assert pairs.position.tolist() == [0, 1] * 3
