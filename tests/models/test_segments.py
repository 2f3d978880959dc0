from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.models.layers.segments import Segments
from tests.models.jets import rows_of

LENGTHS = st.lists(st.integers(0, 9), min_size=1, max_size=8)


@given(LENGTHS)
def test_sum_mean_and_spread_equal_a_loop_over_jets(lengths: list[int]) -> None:
    flat = torch.randn(sum(lengths), 3, dtype=torch.float64)
    segments = Segments(torch.tensor(lengths))
    for jet, rows in enumerate(rows_of(lengths)):
        torch.testing.assert_close(segments.sum(flat)[jet], flat[rows].sum(0))
        if lengths[jet]:
            torch.testing.assert_close(segments.mean(flat)[jet], flat[rows].mean(0))
        else:
            assert (segments.mean(flat)[jet] == 0).all()
        values = torch.arange(len(lengths), dtype=torch.float64)[:, None]
        assert (segments.spread(values)[rows] == jet).all()
        assert segments.position[rows].tolist() == list(range(lengths[jet]))


@given(LENGTHS)
def test_unpad_undoes_pad_and_the_padding_is_zero(lengths: list[int]) -> None:
    flat = torch.randn(sum(lengths), 2)
    segments = Segments(torch.tensor(lengths))
    padded = segments.pad(flat)
    assert padded.shape == (len(lengths), max(lengths), 2)
    torch.testing.assert_close(segments.unpad(padded), flat)
    torch.testing.assert_close(padded.sum((0, 1)), flat.sum(0))


def test_gradients_of_sum_mean_and_spread_are_right() -> None:
    segments = Segments(torch.tensor([3, 0, 2]))
    flat = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    jets = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(segments.sum, (flat,))
    assert torch.autograd.gradcheck(segments.mean, (flat,))
    assert torch.autograd.gradcheck(segments.spread, (jets,))


def test_rows_behind_the_last_particle_belong_to_no_jet() -> None:
    segments = Segments(torch.tensor([3, 0, 2]))
    longer = torch.randn(8, 2, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(segments.sum(longer), segments.sum(longer[:5]))
    segments.sum(longer).sum().backward()
    assert longer.grad is not None
    assert longer.grad.tolist() == [[1.0, 1.0]] * 5 + [[0.0, 0.0]] * 3
    jets = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(segments.spread(jets, 8)[:5], segments.spread(jets))
    assert len(segments.spread(jets, 8)) == 8
    assert torch.autograd.gradcheck(lambda values: segments.spread(values, 8)[:5], (jets,))
