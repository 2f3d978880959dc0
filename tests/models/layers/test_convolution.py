"""The blocks of CoDAE against plain torch and against the counts of arXiv:2306.12955."""

from __future__ import annotations

import jaxtyping
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from anomaly_hep.models.layers import plain
from anomaly_hep.models.layers.convolution import (
    EPS,
    SLOPE,
    ConvBlock,
    MaskBlock,
    Residual,
    SpatialConditioning,
)


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _masks(number: int = 4, density: float = 0.05) -> Tensor:
    values = torch.rand(number, 1, 72, 58, generator=torch.Generator().manual_seed(5))
    masks = (values < density).float()
    masks[0] = 0.0  # an empty image
    masks[1] = 1.0  # every pixel hit
    return masks


def _plain(block: MaskBlock, mask: Tensor) -> Tensor:
    """Return what a first block computes, written down with torch's own layers."""
    if block.stride == 2:
        left, right, top, bottom = plain.same_padding(72, 58)
        y = functional.conv2d(
            functional.pad(mask, (left, right, top, bottom)), block.weight, block.bias, stride=2
        )
    else:
        y = functional.conv2d(mask, block.weight, block.bias, padding=1)
    y = functional.instance_norm(y, weight=block.norm_weight, bias=block.norm_bias, eps=EPS)
    y = functional.leaky_relu(y, SLOPE)
    return plain.pool(y) if block.pooled else y


@pytest.mark.parametrize(("stride", "pooled"), [(2, False), (1, True), (1, False)])
def test_a_table_of_windows_is_the_convolution(stride: int, pooled: bool) -> None:
    torch.manual_seed(0)
    block = MaskBlock(6, stride=stride, pooled=pooled)
    nn.init.normal_(block.bias)
    nn.init.normal_(block.norm_weight)  # of either sign: the largest may become the smallest
    nn.init.normal_(block.norm_bias)
    masks = _masks()
    ours = block(masks)
    weights = torch.randn(ours.shape)
    gradients = torch.autograd.grad((ours * weights).sum(), list(block.parameters()))
    block.double()
    plain = _plain(block, masks.double())
    expected = torch.autograd.grad((plain * weights).sum(), list(block.parameters()))
    torch.testing.assert_close(ours.double(), plain, rtol=1e-4, atol=1e-4)
    # the bias has no gradient, since the norm takes it away again: one scale for all tensors
    scale = max(float(gradient.abs().max()) for gradient in expected)
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one.double() / scale, other / scale, rtol=0, atol=1e-5)


def test_in_a_compiled_graph_the_convolution_takes_the_tables_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which forms occur is not known before the values are: no graph could hold that."""
    # dynamo cannot trace the checks of shapes
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    torch.manual_seed(0)
    for block in (MaskBlock(6, stride=2), MaskBlock(6, pooled=True)):
        nn.init.normal_(block.norm_bias)
        masks = _masks()[2:]  # a full image's norm magnifies what is rounded
        whole = torch.compile(block, fullgraph=True, backend="eager")
        torch.testing.assert_close(whole(masks), block(masks), rtol=1e-4, atol=1e-4)


def test_a_condition_multiplies_as_the_convolution_of_its_meshes() -> None:
    torch.manual_seed(0)
    layer = SpatialConditioning(2, 7, 5, 4)
    nn.init.normal_(layer.bias)
    x, z = torch.randn(3, 7, 5, 4), torch.randn(3, 2)
    rows, columns = torch.meshgrid(
        torch.linspace(-1, 1, 5), torch.linspace(-1, 1, 4), indexing="ij"
    )
    meshes = torch.stack([columns, rows]).expand(3, 2, 5, 4)
    tiled = torch.cat([z[:, :, None, None].expand(3, 2, 5, 4), meshes], dim=1)
    expected = x * functional.conv2d(tiled, layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(layer(x, z), expected)


def test_another_condition_gives_another_map() -> None:
    layer = SpatialConditioning(2, 7, 5, 4)
    x = torch.ones(1, 7, 5, 4)
    assert not torch.allclose(layer(x, torch.zeros(1, 2)), layer(x, torch.ones(1, 2)))


@pytest.mark.parametrize(
    ("block", "parameters"),
    [
        (MaskBlock(64, stride=2), 768),
        (Residual(64, groups=4), 2 * 9_408),
        (ConvBlock(64, 128, stride=2, groups=4), 18_816),
        (Residual(128, groups=4), 2 * 37_248),
        (ConvBlock(128, 256, stride=2, groups=4), 74_496),
        (Residual(256, groups=4), 2 * 148_224),
        (ConvBlock(64, 256), 148_224),
        (ConvBlock(256, 128, groups=4), 74_112),
        (ConvBlock(128, 64, groups=4), 18_624),
        (SpatialConditioning(2, 64, 5, 4), 2_368),
        (SpatialConditioning(2, 256, 10, 8), 9_472),
        (SpatialConditioning(2, 128, 20, 16), 4_736),
    ],
)
def test_parameters_of_the_published_blocks(block: nn.Module, parameters: int) -> None:
    assert _count(block) == parameters


@pytest.mark.parametrize("groups", [1, 4])
def test_kernels_begin_within_he_bounds(groups: int) -> None:
    weight = ConvBlock(64, 64, groups=groups).weight.detach()
    bound = (6 / (9 * 64 / groups)) ** 0.5
    assert bound * 0.99 < float(weight.abs().max()) <= bound
    assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.03)
