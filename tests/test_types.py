"""Jagged events: picking groups of rows against a loop."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.types import members


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.data())
def test_members_are_those_of_a_loop(lengths: list[int], data: st.DataObject) -> None:
    groups, first = [], 0
    for length in lengths:
        groups.append(list(range(first, first + length)))
        first += length
    index = data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=6))
    chosen, rows = members(np.array(lengths), np.array(index, np.int64))
    assert chosen.tolist() == [lengths[i] for i in index]
    assert rows.tolist() == [row for i in index for row in groups[i]]
