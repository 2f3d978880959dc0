"""A penalty on gradients must reach the weights: quick steps once lost it without a word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.attention import SDPBackend, sdpa_kernel

from anomaly_hep.models.layers import kernels
from anomaly_hep.models.layers import product as products
from anomaly_hep.models.layers.jagged import Jagged
from tests.models.images import random_images
from tests.models.jets import make_model, random_batch
from tests.models.test_every_model import JETS, SMALL

# enough particles for the quick product of many rows
LENGTHS = [40, 1, 60] * 21


def _penalty_gradient(model: Any, batch: Any) -> Tensor:
    """Return the gradient of the squared norm of the loss's gradient, in one vector."""
    weights = list(model.parameters())
    first = torch.autograd.grad(model.loss(batch, "train")["loss"], weights, create_graph=True)
    assert all(gradient.requires_grad for gradient in first)
    penalty = torch.stack([gradient.square().sum() for gradient in first]).sum()
    return torch.cat([g.flatten() for g in torch.autograd.grad(penalty, weights)])


def _agree(one: Tensor, other: Tensor) -> None:
    assert float(one.norm()) > 0
    assert float((one - other).norm()) < 0.02 * float(one.norm())


@pytest.mark.parametrize("name", JETS)
def test_a_penalty_by_quick_products_is_that_by_plain_ones(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = make_model(f"model={name}", *SMALL).eval()
    batch = random_batch(LENGTHS)
    monkeypatch.setattr(products, "CONVOLUTION_IS_QUICKER", True)
    quick = _penalty_gradient(model, batch)
    monkeypatch.setattr(products, "CONVOLUTION_IS_QUICKER", False)
    _agree(quick, _penalty_gradient(model, batch))


def test_quick_attention_has_no_second_derivative_and_says_so() -> None:
    """torch's own; torch.nn.attention.sdpa_kernel(SDPBackend.MATH) has one."""
    model = make_model("model=setvae", "model/encoder=transformer", *SMALL).eval()
    with pytest.raises(RuntimeError, match=r"derivative for .*attention.* is not implemented"):
        _penalty_gradient(model, random_batch(LENGTHS))
    with sdpa_kernel(SDPBackend.MATH):
        assert _penalty_gradient(model, random_batch(LENGTHS)).isfinite().all()


@pytest.mark.parametrize("name", ["codae", "codvae"])
def test_a_penalty_by_compiled_steps_is_that_by_plain_ones(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = make_model(f"model={name}", "data=darkshowers").eval()
    batch = random_images(2)
    compiled = _penalty_gradient(model, batch)
    monkeypatch.setattr(kernels, "compiled", lambda _: False)
    _agree(compiled, _penalty_gradient(model, batch))


def _sum(events: Jagged) -> tuple[Callable[..., Tensor], Sequence[int]]:
    return events.sum, (7, 2)


def _spread(events: Jagged) -> tuple[Callable[..., Tensor], Sequence[int]]:
    return lambda values: events.spread(values, 7)[:5], (3, 2)


@pytest.mark.parametrize("step", [_sum, _spread])
def test_sums_over_events_have_second_derivatives(step: Any) -> None:
    function, shape = step(Jagged(torch.tensor([2, 0, 3])))
    values = torch.randn(shape, dtype=torch.float64).requires_grad_()
    assert gradcheck(lambda v: function(v).tanh(), (values,))
    assert gradgradcheck(lambda v: function(v).tanh(), (values,))
