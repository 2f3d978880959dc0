"""The product of many rows, on processors where it goes through a convolution and on others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional

from anomaly_hep.models.layers import product as module
from anomaly_hep.models.layers.deepset import DeepSetDecoder, DeepSetEncoder
from anomaly_hep.models.layers.jagged import Jagged
from anomaly_hep.models.layers.product import BLOCK, product, rounded

SIZES = {"latent_dim": 3, "d_model": 8, "d_ff": 12, "layers": 2, "legacy_norm_start": False}


@pytest.fixture(autouse=True)
def _convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the convolution, whatever is quicker on the processor at hand."""
    monkeypatch.setattr(module, "CONVOLUTION_IS_QUICKER", True)


@pytest.mark.parametrize("rows", [1, 100, 16 * BLOCK - 1])
def test_few_rows_are_left_as_they_are(rows: int) -> None:
    assert rounded(rows) == rows


@pytest.mark.parametrize("rows", [16 * BLOCK, 16 * BLOCK + 1, 9000])
def test_many_rows_are_rounded_up_to_full_blocks(rows: int) -> None:
    assert rounded(rows) % BLOCK == 0
    assert 0 <= rounded(rows) - rows < BLOCK


def test_where_linear_is_quicker_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONVOLUTION_IS_QUICKER", False)
    flat, weight = torch.randn(16 * BLOCK, 6), torch.randn(4, 6, requires_grad=True)
    made = product(flat, weight)
    assert made.grad_fn is not None
    assert made.grad_fn.name() == functional.linear(flat, weight).grad_fn.name()
    assert rounded(16 * BLOCK + 1) == 16 * BLOCK + 1


@pytest.mark.parametrize("rows", [5, 16 * BLOCK, 16 * BLOCK + 3])
@pytest.mark.parametrize("has_bias", [True, False])
def test_product_is_linear_with_its_gradients(rows: int, has_bias: bool) -> None:
    torch.manual_seed(0)
    flat = torch.randn(rows, 6, requires_grad=True)
    weight, bias = torch.randn(4, 6, requires_grad=True), torch.randn(4, requires_grad=True)
    used = [flat, weight, *([bias] if has_bias else [])]
    ours, theirs = product(*used), functional.linear(*used)
    torch.testing.assert_close(ours, theirs)
    pull = torch.randn_like(ours)
    for one, other in zip(
        torch.autograd.grad(ours, used, pull),
        torch.autograd.grad(theirs, used, pull),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("has_bias", [True, False])
def test_first_and_second_derivatives_are_those_of_differences(has_bias: bool) -> None:
    def double(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64).requires_grad_()

    torch.manual_seed(0)
    inputs = double(BLOCK, 2), double(3, 2), double(3) if has_bias else None
    # double precision has nothing to gain, so that `product` itself would leave it to `linear`
    assert gradcheck(module._Product.apply, inputs)
    assert gradgradcheck(module._Product.apply, inputs)


def test_a_gradient_penalty_reaches_the_weights() -> None:
    """The fault: a gradient made with create_graph=True had no gradient, and nobody said so."""
    torch.manual_seed(0)
    first, last = torch.randn(6, 3).requires_grad_(), torch.randn(1, 6).requires_grad_()
    flat = torch.randn(16 * BLOCK, 3)

    def gradients(linear: Callable[..., Tensor], dtype: torch.dtype) -> tuple[Tensor, ...]:
        x = flat.to(dtype).requires_grad_()
        own = [w.detach().to(dtype).requires_grad_() for w in (first, last)]
        y = linear(torch.tanh(linear(x, own[0])), own[1])
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        assert slope.requires_grad
        return torch.autograd.grad(slope.square().sum(), own)

    pairs = zip(
        gradients(product, torch.float32), gradients(functional.linear, torch.float64), strict=True
    )
    for one, other in pairs:
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-3)


def test_a_gradient_that_is_one_number_everywhere_is_taken() -> None:
    flat = torch.randn(16 * BLOCK, 6, requires_grad=True)
    weight = torch.randn(4, 6)
    (gradient,) = torch.autograd.grad(product(flat, weight).sum(), flat)
    torch.testing.assert_close(gradient, weight.sum(0).expand_as(flat))


def test_what_product_returns_may_be_changed_in_place() -> None:
    flat = torch.randn(16 * BLOCK, 6)
    weight = torch.randn(4, 6, requires_grad=True)
    functional.leaky_relu_(product(flat, weight), 0.1).sum().backward()
    ours, weight.grad = weight.grad, None
    functional.leaky_relu(functional.linear(flat, weight), 0.1).sum().backward()
    torch.testing.assert_close(ours, weight.grad, rtol=1e-4, atol=1e-3)


def test_the_rows_that_fill_a_block_change_neither_output_nor_gradient() -> None:
    """Many jets at once, which are filled up, against the same jets in batches too small for it."""
    torch.manual_seed(0)
    encoder = DeepSetEncoder(inputs=5, **SIZES).eval()
    decoder = DeepSetDecoder(outputs=2, **SIZES).eval()
    lengths = torch.randint(0, 60, (100,))
    inputs, codes = torch.randn(int(lengths.sum()), 5), torch.randn(int(lengths.sum()), 8)
    assert len(inputs) < rounded(len(inputs))
    parameters = [*encoder.parameters(), *decoder.parameters()]

    def everything(parts: int) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        outputs = []
        for jets, x, code in zip(
            lengths.split(100 // parts),
            inputs.split([int(part.sum()) for part in lengths.split(100 // parts)]),
            codes.split([int(part.sum()) for part in lengths.split(100 // parts)]),
            strict=True,
        ):
            segments = Jagged(jets)
            mean, log_variance = encoder(x, segments)
            outputs.append(decoder(mean + log_variance, code, segments))
        joined = torch.cat(outputs)
        return joined.detach(), torch.autograd.grad(joined.square().mean(), parameters)

    (one, gradients), (other, others) = everything(1), everything(10)
    torch.testing.assert_close(one, other)
    for mine, yours in zip(gradients, others, strict=True):
        torch.testing.assert_close(mine, yours, rtol=1e-4, atol=1e-6)
