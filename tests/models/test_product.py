from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from anomaly_hep.models.layers.deepset import DeepSetDecoder, DeepSetEncoder
from anomaly_hep.models.layers.jagged import Jagged
from anomaly_hep.models.layers.product import BLOCK, product, rounded

SIZES = {"latent_dim": 3, "d_model": 8, "d_ff": 12, "layers": 2, "legacy_norm_start": False}


@pytest.mark.parametrize("rows", [1, 100, 16 * BLOCK - 1])
def test_few_rows_are_left_as_they_are(rows: int) -> None:
    assert rounded(rows) == rows


@pytest.mark.parametrize("rows", [16 * BLOCK, 16 * BLOCK + 1, 9000])
def test_many_rows_are_rounded_up_to_full_blocks(rows: int) -> None:
    assert rounded(rows) % BLOCK == 0
    assert 0 <= rounded(rows) - rows < BLOCK


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
