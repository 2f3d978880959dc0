from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.data.plan import Plan, Slice
from tests.data.files import unread

SIZES = st.lists(st.integers(0, 40), min_size=1, max_size=5).filter(any)


def _plans(sizes: list[int], ranks: int, batch: int, chunk: int, pool: int) -> list[Plan]:
    firsts = np.cumsum(sizes) - sizes
    # parts of files need not begin at their first entry
    files = [
        Slice(unread(f"{i}.root"), i, i + size, int(first))
        for i, (size, first) in enumerate(zip(sizes, firsts, strict=True))
    ]
    return [
        Plan(files, batch, chunk, pool, seed=3, shuffle=True, rank=rank, ranks=ranks)
        for rank in range(ranks)
    ]


@given(SIZES, st.integers(1, 4), st.integers(1, 9), st.integers(1, 12), st.integers(1, 4))
def test_every_event_comes_once_an_epoch_and_all_ranks_make_the_same_steps(
    sizes: list[int], ranks: int, batch: int, chunk: int, pool: int
) -> None:
    plans = _plans(sizes, ranks, batch, chunk, pool)
    seen: list[int] = []
    for plan in plans:
        batches = 0
        for number in range(plan.pools):
            slices, counts = plan.pool(0, number)
            events = [e for s in slices for e in range(s.first, s.first + s.stop - s.start)]
            assert sum(counts) == len(events)
            assert all(count <= batch for count in counts)
            order = plan.mixing(0, number, len(events))
            assert sorted(order) == list(range(len(events)))
            batches += len(counts)
            seen += events
        assert batches == plan.batches
    assert len({plan.batches for plan in plans}) == 1
    assert sorted(seen) == list(range(sum(sizes)))


@given(SIZES, st.integers(1, 9))
def test_batches_are_alike_to_one_event(sizes: list[int], batch: int) -> None:
    (plan,) = _plans(sizes, 1, batch, 7, 2)
    counts = np.diff(plan.batch_edges())
    assert counts.max() - counts.min() <= 1
    assert counts.max() <= batch


def test_epochs_differ_and_the_same_epoch_does_not() -> None:
    (plan,) = _plans([40, 40], 1, 8, 5, 2)
    assert plan.chunks(0) == plan.chunks(0)
    assert plan.chunks(0) != plan.chunks(1)
    # chunks of both files are near the front: shuffled across files, not file by file
    assert len({chunk.path for chunk in plan.chunks(0)[:6]}) == 2
