from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.toys import toy_jets

from anomaly_hep.formats.chunks import cut, rechunk, whole_chunks
from anomaly_hep.types import Events


def assert_same(left: Events, right: Events) -> None:
    np.testing.assert_array_equal(left.lengths, right.lengths)
    for kind in ("particles", "events"):
        assert getattr(left, kind).keys() == getattr(right, kind).keys()
        for name, column in getattr(left, kind).items():
            np.testing.assert_array_equal(column, getattr(right, kind)[name], err_msg=name)


@given(st.lists(st.integers(0, 7), max_size=8), st.integers(1, 9))
def test_rechunking_keeps_the_events_and_fills_every_part_but_the_last(
    sizes: list[int], size: int
) -> None:
    parts = [toy_jets(n, seed=i, mean_particles=3) for i, n in enumerate(sizes)]
    chunks = list(rechunk(parts, size))
    total = sum(sizes)
    assert [len(c) for c in chunks] == [size] * (total // size) + [total % size] * (
        total % size > 0
    )
    if total:
        assert_same(Events.concatenate(chunks), Events.concatenate(parts))


def test_a_cut_is_what_take_gives_without_a_copy() -> None:
    jets = toy_jets(9, seed=3)
    part = cut(jets, 2, 7)
    assert_same(part, jets.take(np.arange(2, 7)))
    assert np.shares_memory(part.particles["part_px"], jets.particles["part_px"])


@given(st.integers(0, 50), st.integers(0, 300), st.integers(1, 60), st.integers(1, 60))
def test_whole_chunks_cover_the_rows_and_end_where_chunks_end(
    start: int, number: int, rows: int, chunk: int
) -> None:
    pieces = list(whole_chunks(start, start + number, rows, chunk))
    assert [row for first, last in pieces for row in range(first, last)] == [
        *range(start, start + number)
    ]
    assert all(last % chunk == 0 for _, last in pieces[:-1])
    assert all(last - first <= max(rows, chunk) for first, last in pieces)
