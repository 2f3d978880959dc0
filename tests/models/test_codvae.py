"""CoDVAE: the published size, its divergences, and scores that do not depend on chance."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from anomaly_hep.models.layers.concrete import log_density, mixture_log_density, sample
from tests.models.images import random_images
from tests.models.jets import make_model


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return make_model("model=codvae", "data=darkshowers").eval()


def test_parameters_are_the_published_ones(model: Any) -> None:
    encoder = sum(p.numel() for p in model.residual_encoder.parameters())
    assert encoder == 618_689 == 612_032 + 257 + 6_400
    assert model.parameter_counts()["total"] == 618_689 + 270_594 + 763_841


def test_prior_temperatures_are_kept_with_the_weights(model: Any) -> None:
    temperatures = model.state_dict()["residual_encoder.prior_temperature"]
    assert ((temperatures > 0.1) & (temperatures < 1.0)).all()


def test_temperatures_are_above_their_base(model: Any) -> None:
    logits, temperature = model.residual_encoder.posterior(random_images(3).mask())
    assert logits.shape == (3, 5, 4, 64)
    assert temperature.shape == (3, 5, 4, 1)
    assert (temperature > 1.0).all()


def test_divergences_are_sums_over_positions_of_monte_carlo_means(model: Any) -> None:
    mask = random_images(2).mask()
    with torch.no_grad():
        logits, temperature = model.residual_encoder.posterior(mask)
        noise = torch.rand(6, 2, 5, 4, 64)
        ours = model.reverse_divergence(logits, temperature, noise)
        encoder = model.residual_encoder
        for image, row, column in ((0, 0, 0), (1, 4, 3)):
            terms = []
            for draw in noise[:, image, row, column]:
                a, t = logits[image, row, column], temperature[image, row, column]
                value = sample(a, t, draw)
                p = mixture_log_density(
                    value, encoder.prior_logits[row, column], encoder.prior_temperature
                )
                terms.append(log_density(value, a, t) - p)
            torch.testing.assert_close(
                ours[image, row, column], torch.stack(terms).mean(), rtol=1e-4, atol=1e-4
            )


def test_a_posterior_that_is_the_prior_has_no_divergence(model: Any) -> None:
    encoder = model.residual_encoder
    before = encoder.prior_logits.detach().clone(), encoder.prior_temperature.clone()
    try:
        with torch.no_grad():
            encoder.prior_logits[:] = encoder.prior_logits[:, :, :1]
            encoder.prior_temperature[:] = 0.7
            logits = encoder.prior_logits[None, :, :, 0].expand(2, 5, 4, 64)
            temperature = torch.full((2, 5, 4, 1), 0.7)
            zero = torch.zeros(2, 5, 4)
            noise = torch.rand(3, 2, 5, 4, 64)
            reverse = model.reverse_divergence(logits, temperature, noise)
            torch.testing.assert_close(reverse, zero, atol=1e-3, rtol=0)
            forward = model.forward_divergence(logits, temperature, 2)
            torch.testing.assert_close(forward, zero, atol=1e-3, rtol=0)
    finally:
        with torch.no_grad():
            encoder.prior_logits[:] = before[0]
            encoder.prior_temperature[:] = before[1]


def test_loss_is_reconstruction_and_weighted_divergence(model: Any) -> None:
    terms = model.loss(random_images(2), "train")
    torch.testing.assert_close(terms["loss"], terms["reconstruction"] + model.beta * terms["kl"])
    assert terms["kl"] > 0


def test_scores_are_the_same_every_time_and_in_every_batch(model: Any) -> None:
    batch = random_images(3)
    with torch.inference_mode():
        first, again = model.scores(batch), model.scores(batch)
        alone = model.scores(batch.part(0, 1, 0, int(batch.lengths[0])))
    assert set(first) == set(model.score_names)
    for name, values in first.items():
        assert torch.equal(values, again[name])
        torch.testing.assert_close(values[:1], alone[name], rtol=1e-3, atol=1e-3)


def test_a_training_step_draws_anew_and_a_resumed_one_draws_the_same(model: Any) -> None:
    batch = random_images(2)
    model.train()
    try:
        one, other = model.loss(batch, "train")["loss"], model.loss(batch, "train")["loss"]
        assert torch.equal(one, other)  # the same step
        model.seed += 1
        assert not torch.equal(one, model.loss(batch, "train")["loss"])
    finally:
        model.seed -= 1
        model.eval()
