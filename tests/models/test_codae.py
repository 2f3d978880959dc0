"""CoDAE: the published layers, their conditioning, and scores against slow sums over pixels."""

from __future__ import annotations

import copy
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity as by_skimage
from torch import Tensor, nn

from anomaly_hep.models.codae import Decoder, MaskEncoder, ResidualEncoder
from anomaly_hep.models.imagescores import (
    bernoulli_loss,
    reconstruction_columns,
    reconstruction_scores,
    structural_similarity,
)
from anomaly_hep.models.layers import kernels
from tests.models.images import random_images
from tests.models.jets import make_model


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return make_model("model=codae", "data=darkshowers").eval()


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameters_are_the_published_ones(model: Any) -> None:
    assert _count(model.residual_encoder) == 612_032
    assert _count(model.mask_encoder) == 270_594
    assert _count(model.decoder) == 763_841
    assert model.parameter_counts() == {"total": 1_646_467, "encoder": 270_594}


def _shapes(network: nn.Module, layers: list[nn.Module], *inputs: Tensor) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    hooks = [
        layer.register_forward_hook(lambda _m, _i, out: found.append(tuple(out.shape[1:])))
        for layer in layers
    ]
    with torch.no_grad():
        network(*inputs)
    for hook in hooks:
        hook.remove()
    return found


def test_sizes_of_every_layer(model: Any) -> None:
    mask = random_images(2).mask()
    encoder: ResidualEncoder = model.residual_encoder
    assert _shapes(encoder, [*encoder.blocks, encoder.out], mask) == [
        (64, 36, 29), (64, 36, 29), (128, 18, 15), (128, 18, 15), (128, 9, 8), (128, 9, 8),
        (256, 5, 4), (256, 5, 4), (64, 5, 4),
    ]  # fmt: skip
    small: MaskEncoder = model.mask_encoder
    assert _shapes(small, [small.first, *small.blocks, small.out], mask) == [
        (64, 36, 29), (128, 36, 29), (128, 18, 15), (256, 9, 8), (2,)
    ]  # fmt: skip
    decoder: Decoder = model.decoder
    stages = zip(decoder.conditionings, decoder.blocks, decoder.residuals, strict=True)
    layers = [layer for stage in stages for layer in stage]
    latent, z = torch.randn(2, 64, 5, 4), torch.randn(2, 2)
    assert _shapes(decoder, layers, latent, z) == [
        (64, 5, 4), (256, 10, 8), (256, 10, 8), (256, 10, 8), (128, 20, 16), (128, 20, 16),
        (128, 20, 16), (128, 40, 32), (128, 40, 32), (128, 40, 32), (64, 80, 64), (64, 80, 64),
    ]  # fmt: skip
    assert decoder(latent, z).shape == (2, 1, 72, 58)


def test_operations_are_those_of_the_layers(model: Any) -> None:
    # counted by torch on a batch of one, for the layers that are convolutions and products there;
    # with a gradient, since torch does not know the kept kernels of scoring
    from torch.utils.flop_counter import FlopCounterMode

    latent, z = torch.randn(1, 64, 5, 4), torch.randn(1, 2)
    with FlopCounterMode(display=False) as counter:
        model.decoder(latent, z)
    ours = model.flops(0)["total"] - model.flops(0)["encoder"]
    encoder = 2 * (768 - 192) * 36 * 29  # the first layer, which is a table here
    with FlopCounterMode(display=False) as other:
        model.residual_encoder(random_images(1).mask())
    # the conditionings are made once a batch, for three maps instead of one image
    assert counter.get_total_flops() + other.get_total_flops() + encoder == pytest.approx(
        ours, rel=0.04
    )


def test_the_reconstruction_depends_on_the_condition(model: Any) -> None:
    latent = torch.randn(1, 64, 5, 4)
    with torch.no_grad():
        one, other = (model.decoder(latent, torch.tensor([[z, 0.0]])) for z in (0.0, 1.0))
    assert not torch.allclose(one, other, atol=1e-3)


def test_the_first_reconstruction_is_as_empty_as_the_bias_says(model: Any) -> None:
    assert float(model.decoder.out.bias.detach()) == -1.0


def test_the_crop_is_the_middle() -> None:
    decoder = Decoder(2)
    whole: list[Tensor] = []
    decoder.out.register_forward_hook(lambda _m, _i, out: whole.append(out[..., 0]))
    logits = decoder(torch.randn(1, 64, 5, 4), torch.zeros(1, 2))
    assert torch.equal(logits[:, 0], whole[0][:, 4:76, 3:61])


@pytest.mark.parametrize("hits", ["none", "all", "some"])
def test_scores_are_sums_over_pixels(hits: str) -> None:
    mask = random_images(1, density=0.03, seed=3).mask()
    mask = {"none": mask * 0, "all": mask * 0 + 1, "some": mask}[hits]
    logits = torch.randn(1, 1, 72, 58, generator=torch.Generator().manual_seed(2)) * 10
    p, t = torch.sigmoid(logits.double()).numpy().ravel(), mask.double().numpy().ravel()
    clipped = p.clip(1e-7, 1 - 1e-7)
    cross_entropy = -(t * np.log(clipped) + (1 - t) * np.log(1 - clipped)).sum()
    expected = {
        "bce": cross_entropy,
        "sse": ((p - t) ** 2).sum(),
        "sae": np.abs(p - t).sum(),
        "sae_mask": ((p > 0) != (t > 0)).sum(),
        "inverse_dice": ((p**2).sum() + (t**2).sum()) / (2 * (p * t).sum()) if t.any() else 0.0,
        "energy_predicted": p.sum(),
        "energy_difference": t.sum() - p.sum(),
    }
    ours = reconstruction_scores(torch.sigmoid(logits), mask, bernoulli_loss(logits, mask))
    assert set(ours) == set(expected)
    for name, value in expected.items():
        assert float(ours[name]) == pytest.approx(value, rel=2e-4, abs=1e-3), name
    columns = reconstruction_columns(torch.sigmoid(logits), mask)
    assert float(columns["reconstruction_mse"]) == pytest.approx(expected["sse"], rel=1e-4)


def test_the_swapped_cross_entropy_is_the_absolute_error() -> None:
    # the published code takes the prediction as target and clips the truth at 1e-7
    mask = random_images(4).mask().double()
    p = torch.rand(mask.shape, dtype=torch.float64)
    t = mask.clamp(1e-7, 1 - 1e-7)
    # Keras adds the bound again inside the logarithm: log(2e-7) = -15.42
    swapped = -(p * (t + 1e-7).log() + (1 - p) * (1 - t + 1e-7).log()).flatten(1).sum(1)
    sae = (p - mask).abs().flatten(1).sum(1)
    expected = torch.full((4,), 15.42, dtype=torch.float64)
    torch.testing.assert_close(swapped / sae, expected, rtol=1e-3, atol=0)


def test_ssim_is_scikit_images() -> None:
    masks = random_images(3, density=0.05).mask()
    generator = torch.Generator().manual_seed(4)
    noise = torch.rand(masks.shape, generator=generator)
    for reconstructed in (noise, 0.7 * masks + 0.3 * noise, masks):
        ours = structural_similarity(reconstructed, masks)
        for i in range(3):
            expected = by_skimage(
                masks[i, 0].double().numpy(),
                reconstructed[i, 0].double().numpy(),
                data_range=1.0,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            assert float(ours[i]) == pytest.approx(expected, abs=1e-4)


def test_with_compiled_steps_and_by_plain_torch_the_scores_are_the_same(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = random_images(3)
    assert kernels.compiled(batch.energy)
    with torch.inference_mode():
        ours = model.scores(batch)
        monkeypatch.setattr(kernels, "compiled", lambda _: False)
        for name, values in model.scores(batch).items():
            torch.testing.assert_close(ours[name], values, rtol=1e-4, atol=1e-5)


def test_the_training_loss_is_one_graph(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # dynamo cannot trace the checks of shapes
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    training, batch = copy.deepcopy(model).train(), random_images(3)
    whole = torch.compile(training.loss, fullgraph=True, backend="eager")
    expected = training.loss(batch, "train")["loss"]
    torch.testing.assert_close(whole(batch, "train")["loss"], expected, rtol=1e-4, atol=0)


def test_each_tensor_is_clipped_by_itself(model: Any) -> None:
    parameters = list(model.parameters())
    generator = torch.Generator().manual_seed(0)
    scales = [10.0 ** (i % 5 - 3) for i in range(len(parameters))]
    before = [scale * torch.randn(p.shape, generator=generator)
              for p, scale in zip(parameters, scales, strict=True)]  # fmt: skip
    for parameter, gradient in zip(parameters, before, strict=True):
        parameter.grad = gradient.clone()
    model.configure_gradient_clipping(torch.optim.SGD(parameters, lr=0.1))
    for parameter, gradient in zip(parameters, before, strict=True):
        expected = gradient / max(1.0, float(gradient.norm()))
        torch.testing.assert_close(parameter.grad, expected)
        parameter.grad = None


def test_weight_decay_is_the_published_one(model: Any) -> None:
    # TensorFlow Addons subtracts 1e-4 w from every variable; ours is lr x weight_decay
    settings = model.phase.optimizer
    assert settings["lr"] * settings["weight_decay"] == pytest.approx(1e-4)
