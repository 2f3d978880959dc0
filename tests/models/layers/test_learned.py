"""Learned widths: rounded values, gradients in closed form, and what a bit costs."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from anomaly_hep.models.layers.learned import LearnedLinear, LearnedRounding

LN2 = math.log(2)


def _rounding(fraction: float, integer: float, *, signed: bool) -> LearnedRounding:
    rounding = LearnedRounding(1, signed=signed, slots=None)
    nn.init.constant_(rounding.fraction, fraction)
    rounding.largest.fill_(2.0 ** (integer - 1))  # a bit more is kept
    return rounding.eval()


def _linear(weight: list[list[float]], bits: int = 4, slots: int | None = None) -> LearnedLinear:
    start = nn.Linear(len(weight[0]), len(weight), bias=False)
    start.weight.data = torch.tensor(weight)
    return LearnedLinear(start, bits=bits, slots=slots)


@settings(max_examples=200)
@given(
    value=st.floats(-40, 40, width=32),
    fraction=st.integers(-2, 6),
    integer=st.integers(-2, 4),
    signed=st.booleans(),
)
def test_values_are_rounded_down_and_saturate(
    value: float, fraction: int, integer: int, signed: bool
) -> None:
    found = _rounding(fraction, integer, signed=signed)(torch.tensor([[value]])).item()
    if fraction + integer <= 0:
        assert found == 0
        return
    unit = 2.0**-fraction
    low, high = (-(2.0**integer) if signed else 0.0), 2.0**integer - unit
    assert found == min(max(math.floor(value / unit) * unit, low), high)


@pytest.mark.parametrize(
    ("value", "of_value", "of_fraction"),
    [
        (1.3, 1.0, LN2 * (1.3 - 1.25)),  # inside: rounded down to 1.25
        (-0.3, 1.0, LN2 * (-0.3 + 0.5)),  # to -0.5
        (9.0, 0.0, 0.0),  # saturates at 4 - 1/4
        (-9.0, 0.0, 0.0),  # saturates at -4
    ],
)
def test_gradients_of_a_rounded_value_in_closed_form(
    value: float, of_value: float, of_fraction: float
) -> None:
    rounding = _rounding(2, 2, signed=True)
    given_value = torch.tensor([[value]], requires_grad=True)
    rounding(given_value).sum().backward()
    for gradient, expected in (
        (given_value.grad, of_value),
        (rounding.fraction.grad, of_fraction),
    ):
        assert gradient is not None
        assert float(gradient) == pytest.approx(expected, abs=1e-6)


def test_the_range_follows_training_and_holds_twice_the_largest_value() -> None:
    rounding = _rounding(4, -3, signed=False)
    rounding.train()(torch.tensor([[3.0], [0.5]]))
    assert rounding.widths()[1].tolist() == [3.0]  # 4 > 3, and a bit more
    rounding.eval()(torch.tensor([[100.0]]))
    assert rounding.widths()[1].tolist() == [3.0]  # what is evaluated does not change it
    assert rounding(torch.tensor([[5.9], [100.0]])).flatten().tolist() == [5.875, 8 - 1 / 16]
    for _ in range(3000):  # what training no longer gives is forgotten
        rounding.train()(torch.tensor([[0.4]]))
    assert rounding.widths()[1].tolist() == [0.0]


def test_a_channel_of_no_bits_asks_for_bits_where_they_would_lower_the_loss() -> None:
    rounding = _rounding(-1, 1, signed=False)
    value = torch.tensor([[1.5]])
    (-rounding(value)).sum().backward()  # the loss falls with the value
    assert rounding(value).item() == 0
    assert rounding.fraction.grad is not None
    assert float(rounding.fraction.grad) < 0  # a step of gradient descent adds bits


def test_a_weight_is_rounded_to_the_nearest_and_its_width_has_the_gradient_of_its_error() -> None:
    linear = _linear([[0.8, -0.3]])
    nn.init.constant_(linear.fraction, 2.0)
    torch.testing.assert_close(linear.quantized_weight(), torch.tensor([[0.75, -0.25]]))
    linear(torch.tensor([[1.0, 2.0]])).sum().backward()
    assert linear.weight.grad is not None
    assert linear.fraction.grad is not None
    torch.testing.assert_close(linear.weight.grad, torch.tensor([[1.0, 2.0]]))
    errors = torch.tensor([[0.8 - 0.75, 2 * (-0.3 + 0.25)]])
    torch.testing.assert_close(linear.fraction.grad, LN2 * errors)


def test_bits_of_a_weight_reach_from_its_highest_to_its_last() -> None:
    linear = _linear([[0.8, -0.3, 0.1, 3.0]])
    nn.init.constant_(linear.fraction, 2.0)
    # 0.75 = 0.11, 0.25 = 0.01, 0, 3 = 11.00 in binary
    assert linear.bits().tolist() == [[2.0, 1.0, 0.0, 4.0]]


def test_the_cost_is_the_sum_of_products_of_bits() -> None:
    linear = _linear([[0.8, -0.3], [0.0, 3.0]])
    nn.init.constant_(linear.fraction, 2.0)
    cost = linear.cost(torch.tensor([5.0, 3.0]))
    assert cost.item() == 2 * 5 + 1 * 3 + 0 * 5 + 4 * 3
    cost.backward()
    assert linear.fraction.grad is not None
    # a bit more of a weight costs the bits of its activation; a pruned weight costs nothing more
    assert linear.fraction.grad.tolist() == [[5.0, 3.0], [0.0, 3.0]]


def test_slots_have_widths_of_their_own_and_the_same_weights() -> None:
    linear = _linear([[0.8, -0.3]], slots=2)
    with torch.no_grad():
        linear.fraction[0], linear.fraction[1] = 2.0, 0.0
    values = torch.ones(3, 2, 2)
    torch.testing.assert_close(linear(values), torch.tensor([[0.5], [1.0]]).expand(3, 2, 1))
    assert linear.cost(torch.full((2, 2), 4.0)).item() == (2 + 1 + 1 + 0) * 4


def test_the_first_widths_hold_the_largest_values() -> None:
    rounding = LearnedRounding(3, signed=False, slots=None)
    values = torch.tensor([[0.9, 5.0, 0.0], [0.2, 0.1, 0.0]])
    rounding.start(values, bits=6)
    assert rounding.widths()[1].tolist() == [1.0, 4.0, -5.0]
    assert rounding.fraction.tolist() == [6.0, 3.0, 12.0]
    assert (rounding(values) - values).abs().max().item() <= 2.0**-3


def test_numbers_that_arrive_have_the_range_and_at_most_the_bits_of_their_port() -> None:
    rounding = LearnedRounding(1, signed=True, slots=None, arriving=7)
    rounding.start(torch.tensor([[30.0], [0.01]]), bits=8)
    rounding.train()
    assert rounding(torch.tensor([[1.5], [-1.5]])).flatten().tolist() == [0.875, -1.0]
    nn.init.constant_(rounding.fraction, 12.0)
    assert rounding(torch.tensor([[1.5]])).flatten().tolist() == [1 - 2.0**-7]


def test_by_slot_the_first_widths_are_of_each_slot() -> None:
    rounding = LearnedRounding(1, signed=False, slots=2)
    rounding.start(torch.tensor([[[3.0], [0.4]]]), bits=4)
    assert rounding.widths()[1].tolist() == [[3.0], [0.0]]


def test_gradients_reach_all_that_is_learned() -> None:
    torch.manual_seed(3)
    linear = LearnedLinear(nn.Linear(3, 2), bits=4, slots=None)
    rounding = LearnedRounding(2, signed=True, slots=None)
    values = torch.randn(50, 3)
    with torch.no_grad():
        rounding.start(linear(values), bits=4)
    rounding(linear(values)).square().sum().backward()
    for parameter in (*linear.parameters(), *rounding.parameters()):
        assert parameter.grad is not None
        assert bool(parameter.grad.abs().sum() > 0)


def test_learning_widths_prunes_what_is_not_needed() -> None:
    # y = x_0: the other three inputs are noise, and bits cost
    torch.manual_seed(1)
    linear = LearnedLinear(nn.Linear(4, 1, bias=False), bits=6, slots=None)
    widths = [linear.fraction]
    optimizer = torch.optim.Adam(
        [{"params": [linear.weight]}, {"params": widths, "lr": 0.05}], 0.01
    )
    bits = torch.full((4,), 8.0)

    def loss(values: Tensor) -> Tensor:
        error = (linear(values)[:, 0] - values[:, 0]).square().mean()
        return error + 1e-3 * linear.cost(bits)

    for _ in range(600):
        optimizer.zero_grad()
        loss(torch.randn(64, 4)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert linear.bits()[0, 1:].tolist() == [0.0, 0.0, 0.0]
    assert linear.quantized_weight()[0, 0].item() == pytest.approx(1, abs=0.2)
