"""The compiled steps against torch's own functions: values and derivatives, in all precisions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jaxtyping
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from anomaly_hep.models.layers import kernels, operators, plain

NORM = {"eps": 1e-3, "slope": 0.2}
PRECISIONS = [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)]


@pytest.fixture(autouse=True, scope="module")
def _compiled() -> None:
    assert operators.ready(), "the suite needs a C++ compiler"


def _results(function: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    """Return the value of `function` and the gradients of a fixed combination of it."""
    own = [x.detach().clone().requires_grad_() for x in inputs]
    y = function(*own)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
    (y * weights).sum().backward()
    return [y.detach(), *(x.grad for x in own if x.grad is not None)]


def _compare(
    compiled: Callable[..., Tensor],
    reference: Callable[..., Tensor],
    inputs: list[Tensor],
    dtype: torch.dtype,
    tolerance: float,
) -> None:
    # the reference sees the rounded values in double precision: what is compared is the arithmetic
    cast = [x.to(dtype) if x.dim() > 1 else x for x in inputs]
    ours, theirs = _results(compiled, *cast), _results(reference, *(x.double() for x in cast))
    assert len(ours) == len(theirs) == 1 + len(inputs)
    for one, other in zip(ours, theirs, strict=True):
        scale = float(other.abs().max()) or 1.0
        assert float((one.double() - other).abs().max()) <= tolerance * scale


def _image(shape: tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return values.contiguous(memory_format=torch.channels_last)


def _index(*shape: int, rows: int) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randint(0, rows, shape, dtype=torch.int32, generator=generator)


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("added", [False, True])
def test_norm_and_activation(dtype: torch.dtype, tolerance: float, added: bool) -> None:
    shape = (3, 5, 7, 6)
    # a mean far from zero, as after a convolution with a bias
    inputs = [_image(shape) + 3.0, torch.randn(5), torch.randn(5)]
    if added:
        inputs.append(_image(shape, seed=2))

    def compiled(x: Tensor, w: Tensor, b: Tensor, r: Tensor | None = None) -> Tensor:
        return kernels.norm_act(x, w, b, r, **NORM)

    def reference(x: Tensor, w: Tensor, b: Tensor, r: Tensor | None = None) -> Tensor:
        return plain.norm_act(x, w, b, r, **NORM)

    _compare(compiled, reference, inputs, dtype, tolerance)


def test_the_norm_keeps_its_digits_far_from_zero() -> None:
    x = _image((1, 4, 72, 58)) * 0.01 + 500.0
    ours = kernels.norm_act(x, torch.ones(4), torch.zeros(4), None, **NORM)
    one, zero = torch.ones(4).double(), torch.zeros(4).double()
    exact = plain.norm_act(x.double(), one, zero, None, **NORM)
    torch.testing.assert_close(ours.double(), exact, rtol=0, atol=1e-3)


def test_a_constant_image_is_normed_to_the_shift() -> None:
    x = torch.full((1, 2, 4, 4), 7.0)
    y = kernels.norm_act(x, torch.tensor([3.0, 3.0]), torch.tensor([1.0, -1.0]), None, **NORM)
    expected = torch.tensor([1.0, -0.2]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-4)


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 8), st.integers(1, 4))
def test_upsampling_and_pooling_of_any_size(n: int, c: int, h: int, w: int) -> None:
    x = _image((n, c, h, w))
    _compare(kernels.upsample, plain.upsample, [x], torch.float32, 1e-5)
    _compare(kernels.pool, plain.pool, [x], torch.float32, 1e-5)


def test_pooling_without_a_gradient_gives_the_same() -> None:
    x = _image((2, 16, 9, 8))
    table, index = torch.randn(2, 11, 16), _index(2, 9, 8, rows=11)
    with torch.no_grad():  # the largest of some numbers is one of them: equal, not close
        assert torch.equal(kernels.pool(x), plain.pool(x))
        pooled = kernels.gather_pool(table, index)
        assert torch.equal(pooled, plain.pool(plain.gather(table, index)))


def test_upsampling_in_bfloat16() -> None:
    x = _image((2, 8, 10, 8))
    _compare(kernels.upsample, plain.upsample, [x], torch.bfloat16, 3e-2)


@pytest.mark.parametrize(
    ("size", "padding"),
    # worked out by hand from TensorFlow's rule: 72 -> 36 lacks one row, 29 -> 15 two
    [((72, 58), (0, 1, 0, 1)), ((36, 29), (1, 1, 0, 1)), ((9, 8), (0, 1, 1, 1))],
)
def test_padding_is_tensorflows(size: tuple[int, int], padding: tuple[int, ...]) -> None:
    assert plain.same_padding(*size) == padding


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_rows_of_a_table_are_gathered_and_pooled(dtype: torch.dtype, tolerance: float) -> None:
    table, index = torch.randn(3, 11, 5), _index(3, 7, 6, rows=11)

    def picked(t: Tensor) -> Tensor:
        rows = torch.stack([t[i, index[i].flatten().long()] for i in range(3)])
        return rows.view(3, 7, 6, 5).permute(0, 3, 1, 2)

    _compare(lambda t: kernels.gather(t, index), picked, [table], dtype, tolerance)
    _compare(lambda t: plain.gather(t, index), picked, [table], dtype, tolerance)
    _compare(
        lambda t: kernels.gather_pool(t, index),
        lambda t: plain.pool(picked(t)),
        [table],
        dtype,
        tolerance,
    )


def _norm_act(x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor) -> Tensor:
    return kernels.norm_act(x, weight, bias, residual, **NORM)


def _double(*shape: int, seed: int = 3) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values.requires_grad_()


STEPS: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "norm_act": (
        _norm_act,
        (_double(2, 3, 4, 3), _double(3, seed=5), _double(3), _double(2, 3, 4, 3)),
    ),
    "upsample": (kernels.upsample, (_double(2, 3, 3, 2),)),
    "pool": (kernels.pool, (_double(2, 3, 5, 4),)),
    "gather": (lambda t: kernels.gather(t, _index(2, 4, 3, rows=5)), (_double(2, 5, 3),)),
    "gather_pool": (lambda t: kernels.gather_pool(t, _index(2, 4, 3, rows=5)), (_double(2, 5, 3),)),
}


@pytest.mark.parametrize("step", STEPS)
def test_first_and_second_derivatives_are_those_of_differences(step: str) -> None:
    function, inputs = STEPS[step]
    assert kernels.compiled(inputs[0])
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_a_gradient_penalty_reaches_the_weights(dtype: torch.dtype, tolerance: float) -> None:
    """The fault: a gradient made with create_graph=True had no gradient, and nobody said so."""

    def penalty(norm_act: Any, dtype: torch.dtype) -> list[Tensor]:
        x = (_image((2, 3, 6, 5)) + 1).to(dtype).requires_grad_()
        weight = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
        scale, shift = weight.to(dtype), (0.3 * weight).to(dtype)
        (slope,) = torch.autograd.grad(
            norm_act(x, scale, shift, None, **NORM).square().sum(), x, create_graph=True
        )
        slope.square().sum().backward()
        assert x.grad is not None
        assert weight.grad is not None
        return [x.grad, weight.grad]

    ours = penalty(kernels.norm_act, dtype)
    exact = penalty(plain.norm_act, torch.float64)
    for one, other in zip(ours, exact, strict=True):
        scale = float(other.abs().max())
        assert float((one.double() - other).abs().max()) <= 3 * tolerance * scale


OPERATORS: dict[str, tuple[Any, ...]] = {
    "norm_act": (_image((2, 3, 4, 5)).requires_grad_(), torch.ones(3, requires_grad=True),
                 torch.zeros(3), None, 1e-3, 0.2),
    "upsample": (_image((2, 3, 4, 5)).requires_grad_(),),
    "upsample_backward": (_image((2, 3, 4, 6)).requires_grad_(),),
    "pool": (torch.randn(2, 20, 3, requires_grad=True), None, 4, 5, 0, 1, True),
    "gather": (torch.randn(2, 7, 3, requires_grad=True), _index(2, 12, rows=7)),
    "pool_backward": (torch.randn(2, 6, 3, requires_grad=True), _index(2, 6, 3, rows=7), 7),
    "gather_backward": (torch.randn(2, 6, 3, requires_grad=True), _index(2, 6, rows=7), 7),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_what_torch_is_told_of_an_operator_is_true(name: str) -> None:
    torch.library.opcheck(getattr(torch.ops.anomaly_hep, name).default, OPERATORS[name])


def test_a_compiled_graph_holds_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    # dynamo cannot trace the checks of shapes
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    x = _image((2, 3, 8, 6)).requires_grad_()

    def steps(x: Tensor) -> Tensor:
        y = kernels.norm_act(x, torch.ones(3), torch.zeros(3), None, **NORM)
        return kernels.pool(kernels.upsample(y))

    _compare(torch.compile(steps, backend="aot_eager", fullgraph=True), steps, [x],
             torch.float32, 1e-5)  # fmt: skip


def test_other_types_and_empty_batches_go_through() -> None:
    assert not kernels.compiled(torch.zeros(1, dtype=torch.float16))
    assert not kernels.compiled(torch.zeros(1, device="meta"))
    empty, table = torch.zeros(0, 3, 4, 4), torch.zeros(0, 7, 3)
    assert kernels.upsample(empty).shape == (0, 3, 8, 8)
    assert kernels.pool(empty).shape == (0, 3, 2, 2)
    assert kernels.norm_act(empty, torch.ones(3), torch.ones(3), None, **NORM).shape == empty.shape
    assert kernels.gather_pool(table, _index(0, 4, 4, rows=7)).shape == (0, 3, 2, 2)


def test_a_value_that_is_not_finite_stays_so() -> None:
    x = torch.zeros(1, 1, 4, 4, dtype=torch.bfloat16)
    x[0, 0, 0, 0] = torch.nan
    assert torch.isnan(kernels.upsample(x)[0, 0, 0, 0])
    assert torch.isnan(kernels.norm_act(x, torch.ones(1), torch.zeros(1), None, **NORM)).any()
