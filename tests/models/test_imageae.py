"""The auto-encoder of images: the published layers, their sizes, its loss by a slow sum."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from anomaly_hep.models.imageae import Doubling
from tests.models.images import random_images
from tests.models.jets import make_model


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return make_model("model=imageae", "data=darkshowers").eval()


def _sizes(network: nn.Sequential, x: Tensor) -> list[tuple[int, ...]]:
    sizes = []
    for layer in network:
        x = layer(x)
        if not isinstance(layer, nn.PReLU):
            sizes.append(tuple(x.shape[1:]))
    return sizes


def test_layers_are_those_of_table_9(model: Any) -> None:
    assert _sizes(model.encoder, random_images(2).mask()) == [
        (10, 72, 58), (10, 36, 29), (5, 36, 29), (5, 36, 29), (5, 18, 14), (1260,),
        (400,), (100,), (32,),
    ]  # fmt: skip
    assert _sizes(model.decoder, torch.randn(2, 32)) == [
        (100,), (400,), (1, 20, 20), (5, 40, 40), (5, 40, 40), (5, 80, 80), (5, 80, 80),
        (5, 72, 58), (1, 72, 58),
    ]  # fmt: skip


def test_parameters_are_those_of_the_layers(model: Any) -> None:
    # kernel, bias and slopes of each convolution and dense layer; latent and last have no slopes
    encoder = [90 + 10 + 10, 450 + 5 + 5, 225 + 5 + 5]
    encoder += [1260 * 400 + 400 + 400, 400 * 100 + 100 + 100, 100 * 32 + 32]
    decoder = [32 * 100 + 100 + 100, 100 * 400 + 400 + 400]
    decoder += [45 + 5 + 5, 225 + 5 + 5, 225 + 5 + 5, 225 + 5 + 5, 5 + 1]
    assert model.parameter_counts() == {
        "total": sum(encoder) + sum(decoder),
        "encoder": sum(encoder),
    }
    assert sum(encoder) + sum(decoder) == 594_003


def test_operations_are_those_of_the_layers(model: Any) -> None:
    mask = random_images(1).mask()
    counts = {}
    for name, run in {"encoder": model.encoder, "total": model}.items():
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            run(mask)
        counts[name] = float(counter.get_total_flops())
    assert model.flops(0.0) == counts


def test_doubling_is_the_gradient_of_a_strided_convolution_with_same_padding() -> None:
    # TensorFlow defines the transposed convolution so; SAME of 8 and stride 2 pads one behind
    doubling = Doubling(2, 3).double()
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64)
    image = torch.randn(1, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    strided = functional.conv2d(functional.pad(image, (0, 1, 0, 1)), doubling.weight, stride=2)
    (expected,) = torch.autograd.grad((strided * x).sum(), image)
    assert doubling.bias is not None
    torch.testing.assert_close(doubling(x), expected + doubling.bias[:, None, None])


def test_the_loss_is_the_squared_error_summed_over_pixels(model: Any) -> None:
    batch = random_images(2)
    mask = batch.mask()
    with torch.no_grad():
        probability, loss = (
            model.reconstruction(batch).reconstructed,
            model.loss(batch, "train")["loss"],
        )
        outputs = model.outputs(batch)
        scores, columns = outputs.scores, outputs.columns
    slow = [
        sum(float((p - t) ** 2) for p, t in zip(image.flatten(), true.flatten(), strict=True))
        for image, true in zip(probability, mask, strict=True)
    ]
    assert float(loss) == pytest.approx(sum(slow) / 2, rel=1e-5)
    assert scores["sse"].tolist() == pytest.approx(slow, rel=1e-5)
    torch.testing.assert_close(columns["reconstruction_mse"], scores["sse"])


def test_every_pixel_is_predicted_so_the_score_of_masks_counts_empty_pixels(model: Any) -> None:
    # as the published row below 5 % area says
    batch = random_images(3)
    empty = 72 * 58 - batch.mask().flatten(1).sum(1)
    assert torch.equal(model.scores(batch)["sae_mask"], empty)
