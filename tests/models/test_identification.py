from __future__ import annotations

import math
from collections import Counter

import torch
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.models.layers.identification import (
    identification_numbers,
    sinusoids,
)
from anomaly_hep.models.layers.jagged import Jagged

JETS = st.lists(st.lists(st.integers(0, 7), max_size=12), min_size=1, max_size=6)


def _flat(jets: list[list[int]]) -> tuple[torch.Tensor, Jagged]:
    types = torch.tensor([t for jet in jets for t in jet], dtype=torch.int64)
    return types, Jagged(torch.tensor([len(jet) for jet in jets]))


def test_numbers_count_inside_the_own_type_and_the_legacy_ones_do_not() -> None:
    types, segments = _flat([[0, 0, 0, 3, 3, 3, 1]])
    assert identification_numbers(types, 8, segments).tolist() == [0, 1, 2, 0, 1, 2, 0]
    legacy = identification_numbers(types, 8, segments, legacy=True)
    assert legacy.tolist() == [0, 1, 2, 2, 2, 2, 2]


@given(JETS)
def test_numbers_equal_a_counting_loop(jets: list[list[int]]) -> None:
    types, segments = _flat(jets)
    expected, legacy = [], []
    for jet in jets:
        seen: Counter[int] = Counter()
        for kind in jet:
            expected.append(seen[kind])
            seen[kind] += 1
            legacy.append(max(seen.values()) - 1)
    assert identification_numbers(types, 8, segments).tolist() == expected
    assert identification_numbers(types, 8, segments, legacy=True).tolist() == legacy


def test_sinusoids_are_those_of_the_formula() -> None:
    table = sinusoids(5, 6)
    for position in range(5):
        for pair in range(3):
            angle = position / 10_000 ** (2 * pair / 6)
            assert math.isclose(table[position, 2 * pair], math.sin(angle), abs_tol=1e-6)
            assert math.isclose(table[position, 2 * pair + 1], math.cos(angle), abs_tol=1e-6)
