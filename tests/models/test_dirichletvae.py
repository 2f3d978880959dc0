"""The Dirichlet VAE: its prior against Dirichlet's, divergences by integration, layers, start."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.utils.flop_counter import FlopCounterMode

from anomaly_hep.models.dirichletvae import gaussian_divergence, laplace_prior, pixel_divergence
from anomaly_hep.models.optimization import configured
from tests.models.images import random_images
from tests.models.jets import make_model

PUBLISHED = (1.0, 0.25, 0.1)


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return make_model("model=dirichletvae", "data=darkshowers").eval()


def test_layers_and_parameters(model: Any) -> None:
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert shapes == {
        "encoder.hidden.weight": (512, 4176), "encoder.hidden.bias": (512,),
        "encoder.norm.weight": (512,),
        "encoder.mean.weight": (3, 512), "encoder.mean.bias": (3,),
        "encoder.log_variance.weight": (3, 512), "encoder.log_variance.bias": (3,),
        "decoder.weight": (4176, 3),
    }  # fmt: skip
    # the paper: about 2.15 million
    assert model.parameter_counts() == {"total": 2_154_742, "encoder": 2_142_214}


def test_operations_are_those_of_the_layers(model: Any) -> None:
    pixels = model.pixels(random_images(1))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        mean, _ = model.encoder(pixels)
        encoder = counter.get_total_flops()
        model.decode(mean)
    assert model.flops(0.0) == {
        "encoder": float(encoder),
        "total": float(counter.get_total_flops()),
    }


def test_the_prior_is_the_published_one() -> None:
    # printed by the public notebook
    mean, variance = laplace_prior(PUBLISHED)
    assert mean.tolist() == pytest.approx([1.2296265, -0.15666783, -1.0729586], rel=1e-6)
    assert variance.tolist() == pytest.approx([2.0, 3.0, 5.0], rel=1e-6)


@pytest.mark.parametrize("alpha", [PUBLISHED, (0.5, 0.5), (2.0, 3.0, 7.0, 0.2)])
def test_the_priors_mean_is_at_the_mean_of_the_dirichlet_distribution(
    alpha: tuple[float, ...],
) -> None:
    # where the density in the softmax basis is largest
    mean, _ = laplace_prior(alpha)
    expected = stats.dirichlet(alpha).mean()
    assert torch.softmax(mean, 0).tolist() == pytest.approx(expected.tolist(), rel=1e-5)


@pytest.mark.parametrize("alpha", [PUBLISHED, (2.0, 3.0, 7.0, 0.2)])
def test_the_priors_variance_is_the_inverse_curvature_there(alpha: tuple[float, ...]) -> None:
    mean, variance = laplace_prior(alpha)
    weights = torch.tensor(alpha, dtype=torch.float64)

    def minus_log_density(h: torch.Tensor) -> torch.Tensor:
        return -(weights * torch.log_softmax(h, 0)).sum()

    curvature = torch.autograd.functional.hessian(minus_log_density, mean.double())
    # a shift of all components changes nothing: the basis is where they sum to zero
    expected = torch.linalg.pinv(torch.as_tensor(curvature)).diagonal()
    assert variance.tolist() == pytest.approx(expected.tolist(), rel=1e-4)


def test_the_prior_has_the_moments_of_draws_where_it_is_narrow() -> None:
    # an approximation, which is good for large concentrations
    alpha = (60.0, 100.0, 40.0)
    draws = np.log(stats.dirichlet(alpha).rvs(200_000, random_state=np.random.default_rng(1)))
    basis = draws - draws.mean(axis=1, keepdims=True)
    mean, variance = laplace_prior(alpha)
    assert mean.tolist() == pytest.approx(basis.mean(axis=0).tolist(), abs=0.01)
    assert variance.tolist() == pytest.approx(basis.var(axis=0).tolist(), rel=0.03)


@pytest.mark.parametrize(("mean", "log_variance"), [(0.3, -1.0), (-2.0, 1.5), (1.2, 0.0)])
def test_the_latent_divergence_is_the_integral(mean: float, log_variance: float) -> None:
    prior = stats.norm(0.5, math.sqrt(2.0))
    posterior = stats.norm(mean, math.exp(0.5 * log_variance))

    def integrand(z: float) -> float:
        return float(posterior.pdf(z) * (posterior.logpdf(z) - prior.logpdf(z)))

    expected, _ = integrate.quad(integrand, mean - 25, mean + 25, points=[mean])
    ours = gaussian_divergence(
        torch.tensor([[mean, mean]]), torch.tensor([[log_variance, log_variance]]),
        torch.tensor([0.5, 0.5]), torch.tensor([2.0, 2.0]),
    )  # fmt: skip
    assert ours.item() == pytest.approx(2 * expected, rel=1e-5)


def test_the_divergence_of_pixels_is_that_of_distributions() -> None:
    rng = np.random.default_rng(0)
    image, other = rng.dirichlet(np.ones(20), 3), rng.dirichlet(np.ones(20), 3)
    image[:, :5] = 0.0
    image /= image.sum(axis=1, keepdims=True)
    ours = pixel_divergence(torch.from_numpy(image), torch.from_numpy(other).log())
    expected = [stats.entropy(p, q) for p, q in zip(image, other, strict=True)]
    assert ours.tolist() == pytest.approx(expected, rel=1e-9)


def test_the_norm_takes_the_mean_off_and_puts_none_in_its_place(model: Any) -> None:
    norm = make_model("model=dirichletvae", "data=darkshowers").encoder.norm.train()
    out = norm(torch.randn(64, 512) * 3 + 7)
    assert norm.bias is None
    torch.testing.assert_close(out.mean(0), torch.zeros(512), rtol=0, atol=1e-5)


def test_images_sum_to_one_or_stay_masks(model: Any) -> None:
    batch = random_images(3)
    torch.testing.assert_close(model.pixels(batch).sum(1), torch.ones(3))
    plain = make_model("model=dirichletvae", "data=darkshowers", "model.normalise=false")
    assert torch.equal(plain.pixels(batch), batch.mask().flatten(1))


@torch.no_grad()
def test_scores_are_topic_weights_and_divergences(model: Any) -> None:
    batch = random_images(4)
    outputs = model.outputs(batch)
    scores, columns = outputs.scores, outputs.columns
    weights = torch.stack([scores[f"latent_{i}"] for i in (1, 2, 3)])
    torch.testing.assert_close(weights.sum(0), torch.ones(4))
    mean = torch.stack([columns[f"posterior_mean_{i}"] for i in (1, 2, 3)])
    torch.testing.assert_close(torch.softmax(mean, 0), weights)
    assert torch.equal(model.encoder_score(batch), scores[model.default_score])
    loss = model.loss(batch, "train")
    assert float(loss["reconstruction"]) == pytest.approx(float(scores["reconstruction_kl"].mean()))
    assert float(loss["kl"]) == pytest.approx(float(scores["latent_kl"].mean()))
    expected = loss["reconstruction"] + 0.1 * loss["kl"]
    assert float(loss["loss"]) == pytest.approx(float(expected))


def test_the_reconstruction_has_as_many_hits_as_the_image(model: Any) -> None:
    found = model.reconstruction(random_images(3))
    torch.testing.assert_close(found.reconstructed.flatten(1).sum(1), found.truth.flatten(1).sum(1))


@torch.no_grad()
def test_training_draws_by_step_and_scoring_does_not(model: Any) -> None:
    batch = random_images(4)
    fresh = make_model("model=dirichletvae", "data=darkshowers").train()
    torch.manual_seed(1)
    first = fresh.loss(batch, "train")["reconstruction"]
    torch.manual_seed(2)
    assert torch.equal(first, fresh.loss(batch, "train")["reconstruction"])
    other = make_model("model=dirichletvae", "data=darkshowers", "seed=2").train()
    other.load_state_dict(fresh.state_dict())
    assert not torch.equal(first, other.loss(batch, "train")["reconstruction"])


def test_beta2_of_the_optimiser_is_the_models(model: Any) -> None:
    optimizer = configured(model.phase, model, 1)["optimizer"]
    assert [tuple(group["betas"]) for group in optimizer.param_groups] == [(0.9, 0.99)]
