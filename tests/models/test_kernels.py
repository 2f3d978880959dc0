"""The compiled steps against torch's own functions, forward and backward, in both precisions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from anomaly_hep.models.layers import kernels, native

NORM = {"eps": 1e-3, "slope": 0.2}
PRECISIONS = [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)]


@pytest.fixture(autouse=True, scope="module")
def _compiled() -> None:
    assert native.library() is not None, "the suite needs a C++ compiler"


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


def _image(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return values.contiguous(memory_format=torch.channels_last)


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
        return kernels.norm_act_reference(x, w, b, r, **NORM)

    _compare(compiled, reference, inputs, dtype, tolerance)


def test_the_norm_keeps_its_digits_far_from_zero() -> None:
    x = _image((1, 4, 72, 58)) * 0.01 + 500.0
    ours = kernels.norm_act(x, torch.ones(4), torch.zeros(4), None, **NORM)
    one, zero = torch.ones(4).double(), torch.zeros(4).double()
    exact = kernels.norm_act_reference(x.double(), one, zero, None, **NORM)
    torch.testing.assert_close(ours.double(), exact, rtol=0, atol=1e-3)


def test_a_constant_image_is_normed_to_the_shift() -> None:
    x = torch.full((1, 2, 4, 4), 7.0)
    y = kernels.norm_act(x, torch.tensor([3.0, 3.0]), torch.tensor([1.0, -1.0]), None, **NORM)
    expected = torch.tensor([1.0, -0.2]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-4)


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 8), st.integers(1, 4))
def test_upsampling_and_pooling_of_any_size(n: int, c: int, h: int, w: int) -> None:
    x = _image((n, c, h, w))
    _compare(kernels.upsample, kernels.upsample_reference, [x], torch.float32, 1e-5)
    _compare(kernels.pool, kernels.pool_reference, [x], torch.float32, 1e-5)


def test_pooling_without_a_gradient_gives_the_same() -> None:
    x = _image((2, 16, 9, 8))
    table, index = torch.randn(2, 11, 16), torch.randint(0, 11, (2, 9, 8), dtype=torch.int32)
    with torch.no_grad():
        assert torch.equal(kernels.pool(x), kernels.pool_reference(x))
        pooled = kernels.gather_pool(table, index)
        assert torch.equal(pooled, kernels.pool_reference(kernels.gather(table, index)))


def test_upsampling_in_bfloat16() -> None:
    x = _image((2, 8, 10, 8))
    _compare(kernels.upsample, kernels.upsample_reference, [x], torch.bfloat16, 3e-2)


@pytest.mark.parametrize(
    ("size", "padding"),
    # worked out by hand from TensorFlow's rule: 72 -> 36 lacks one row, 29 -> 15 two
    [((72, 58), (0, 1, 0, 1)), ((36, 29), (1, 1, 0, 1)), ((9, 8), (0, 1, 1, 1))],
)
def test_padding_is_tensorflows(size: tuple[int, int], padding: tuple[int, ...]) -> None:
    assert kernels.same_padding(*size) == padding


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_rows_of_a_table_are_gathered_and_pooled(dtype: torch.dtype, tolerance: float) -> None:
    table = torch.randn(3, 11, 5)
    index = torch.randint(0, 11, (3, 7, 6), dtype=torch.int32)

    def picked(t: Tensor) -> Tensor:
        rows = torch.stack([t[i, index[i].flatten().long()] for i in range(3)])
        return rows.view(3, 7, 6, 5).permute(0, 3, 1, 2)

    _compare(lambda t: kernels.gather(t, index), picked, [table], dtype, tolerance)
    _compare(
        lambda t: kernels.gather_pool(t, index),
        lambda t: kernels.pool_reference(picked(t)),
        [table],
        dtype,
        tolerance,
    )


def test_other_types_and_empty_batches_go_through_torch() -> None:
    assert not native.usable(torch.zeros(1, dtype=torch.float64))
    assert not native.usable(torch.zeros(0, 3, 4, 4))
    assert kernels.upsample(torch.zeros(0, 3, 4, 4)).shape == (0, 3, 8, 8)


def test_a_value_that_is_not_finite_stays_so() -> None:
    x = torch.zeros(1, 1, 4, 4, dtype=torch.bfloat16)
    x[0, 0, 0, 0] = torch.nan
    assert torch.isnan(kernels.upsample(x)[0, 0, 0, 0])
    assert torch.isnan(kernels.norm_act(x, torch.ones(1), torch.zeros(1), None, **NORM)).any()


def test_without_a_compiler_one_warning_says_the_cure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    native.library.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "/bin/false")
    try:
        with pytest.warns(UserWarning, match="several times slower"):
            assert native.library() is None
        y = kernels.upsample(torch.ones(1, 1, 2, 2))
        assert torch.equal(y, torch.ones(1, 1, 4, 4))
    finally:
        native.library.cache_clear()


def test_the_library_is_made_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    native.library.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    try:
        assert native.library() is not None
        made: list[Any] = sorted((tmp_path / "anomaly_hep").iterdir())
        native.library.cache_clear()
        assert native.library() is not None
        assert sorted((tmp_path / "anomaly_hep").iterdir()) == made
        assert len(made) == 1
    finally:
        native.library.cache_clear()
