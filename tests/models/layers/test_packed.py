"""The kept kernel of a convolution: it never outlives what it was made of."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from anomaly_hep.models.layers.convolution import ConvBlock

PRECISIONS = [torch.float32, torch.bfloat16]
# of sums of 9 x 16 products of the size of one: the order of the sum is oneDNN's choice
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


def _image(*shape: int) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    return values.contiguous(memory_format=torch.channels_last)


@contextmanager
def _scoring(dtype: torch.dtype) -> Iterator[None]:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float32):
        yield


def _check(block: ConvBlock, x: Tensor, dtype: torch.dtype = torch.float32) -> None:
    """Compare with a convolution in double precision of the weights as they are."""
    with _scoring(dtype):
        made = block.convolve(x, block.weight, block.bias)
    assert made.dtype == dtype
    padding = 1 if block.stride == 1 else 0
    weight, bias = block.weight.detach().double(), block.bias.detach().double()
    exact = functional.conv2d(x.double(), weight, bias, block.stride, padding, groups=4)
    scale = float(exact.abs().max()) if len(x) else 1.0
    torch.testing.assert_close(made.double() / scale, exact / scale, rtol=0, atol=TOLERANCE[dtype])


def _block(stride: int = 1) -> ConvBlock:
    torch.manual_seed(0)
    block = ConvBlock(64, 128, stride=stride, groups=4).eval()
    nn.init.normal_(block.bias)
    return block


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("first", PRECISIONS)
def test_shapes_and_precisions_come_in_any_order(first: torch.dtype, stride: int) -> None:
    block = _block(stride)
    second = PRECISIONS[1 - PRECISIONS.index(first)]
    for shape in ((1, 64, 9, 8), (3, 64, 9, 8), (1, 64, 18, 15), (1, 64, 9, 8), (0, 64, 9, 8)):
        for dtype in (first, second, first):
            _check(block, _image(*shape), dtype)


def test_a_kernel_is_kept_in_evaluation_alone() -> None:
    block, x = _block(), _image(1, 64, 6, 6)
    _check(block, x)
    kept = block.convolve._ordered
    assert kept is not None
    _check(block, x)
    assert block.convolve._ordered is kept
    block.train()
    assert block.convolve._ordered is None
    _check(block, x)
    assert block.convolve._ordered is None


def _step(block: ConvBlock) -> None:
    block(_image(2, 64, 6, 6)).square().sum().backward()
    torch.optim.SGD(block.parameters(), lr=0.1).step()


def _in_place(block: ConvBlock) -> None:
    with torch.no_grad():
        block.weight.mul_(-1)


def _replaced(block: ConvBlock) -> None:
    block.weight = nn.Parameter(-block.weight.detach())


def _loaded(block: ConvBlock, *, assign: bool = False) -> None:
    other = {name: -values for name, values in block.state_dict().items()}
    block.load_state_dict(other, assign=assign)


def _moved(block: ConvBlock) -> None:
    block.to(torch.float64)
    block.weight.data.mul_(-1)
    block.to(torch.float32)


def _trained(block: ConvBlock) -> None:
    block.train()
    block.weight.data.mul_(-1)  # behind the back of the version
    block.eval()


@pytest.mark.parametrize(
    "change",
    [_step, _in_place, _replaced, _loaded, lambda b: _loaded(b, assign=True), _moved, _trained],
)
@pytest.mark.parametrize("dtype", PRECISIONS)
def test_a_kept_kernel_follows_its_weights(
    change: Callable[[ConvBlock], None], dtype: torch.dtype
) -> None:
    block, x = _block(), _image(1, 64, 6, 6)
    _check(block, x, dtype)
    before = block.weight.detach().clone()
    change(block)
    assert not torch.allclose(block.weight, before)
    _check(block, x, dtype)


def _saved(block: ConvBlock) -> ConvBlock:
    file = io.BytesIO()
    torch.save(block, file)
    file.seek(0)
    loaded: ConvBlock = torch.load(file, weights_only=False)
    return loaded


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda b: pickle.loads(pickle.dumps(b)), _saved],
    ids=["copy", "deepcopy", "pickle", "save"],
)
def test_a_copy_orders_its_own_kernel(duplicate: Callable[[ConvBlock], ConvBlock]) -> None:
    block, x = _block(), _image(1, 64, 6, 6)
    _check(block, x)
    copied = duplicate(block)
    _in_place(copied)
    _check(copied, x)
    _check(block, x)


def test_weights_made_in_inference_mode_are_used_as_they_are() -> None:
    """Such tensors tell no versions."""
    x = _image(1, 64, 6, 6)
    with torch.inference_mode():
        block = _block()
        _check(block, x)
        block.weight.mul_(-1)
        _check(block, x)


def test_a_kernel_kept_in_inference_mode_serves_outside_of_it() -> None:
    block, x = _block(), _image(1, 64, 6, 6)
    with torch.inference_mode():
        _check(block, x)
    _check(block, x)
    _step(block)
    _check(block, x)
