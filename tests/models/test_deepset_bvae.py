"""The Deep Set beta-VAE: its size, its loss term by term, and what beta = 1 leaves out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from anomaly_hep.errors import ConfigError
from anomaly_hep.models import deepset_bvae
from tests.models.jets import batch_for, make_model

LENGTHS = [5, 1, 20, 9]


def model_of(*choices: str) -> Any:
    torch.manual_seed(0)
    return make_model("model=deepset_bvae", *choices)


def test_the_numbers_of_parameters_are_the_published_ones() -> None:
    whole = model_of("model.beta=0.5")
    assert whole.parameter_counts() == {"total": 272_740, "encoder": 137_568}
    decoder = sum(p.numel() for p in whole.decoder.parameters())
    assert decoder == 135_172
    assert model_of("model.beta=1").parameter_counts() == {"total": 137_568, "encoder": 137_568}


def test_at_beta_one_nothing_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        deepset_bvae.DeepSetBVAE, "reconstruction_terms", lambda *_: pytest.fail("it is decoded")
    )
    model = model_of("model.beta=1")
    batch = batch_for(model, LENGTHS)
    assert model.decoder is None
    assert set(model.loss(batch, "train")) == {"loss", "kl"}
    assert model.score_names == ("kl",)
    assert model.default_score == "kl"
    assert set(model.scores(batch)) == {"kl"}


@pytest.mark.parametrize("beta", [1e-6, 0.5, 0.999])
def test_the_loss_is_eq_6(beta: float) -> None:
    model = model_of(f"model.beta={beta}", "model.w=10", "model.count_weight=0.1").eval()
    weight = torch.tensor([1.0, 2.0, 0.5, 3.0])
    batch = replace(batch_for(model, LENGTHS), weight=weight)
    with torch.no_grad():
        terms, scores = model.loss(batch, "train"), model.scores(batch)
    mean = {name: float((s * weight).sum() / weight.sum()) for name, s in scores.items()}
    count = float(terms["count"])
    loss = (1 - beta) * (mean["chamfer"] + 0.1 * count) + beta * mean["kl"]
    assert float(terms["loss"]) == pytest.approx(loss, rel=1e-5)
    assert mean["total"] == pytest.approx(loss, rel=1e-5)


def test_the_divergence_is_the_sum_over_dimensions() -> None:
    model = model_of("model.beta=1")
    batch = batch_for(model, LENGTHS)
    with torch.no_grad():
        mean, log_variance = model.encode(batch, deepset_bvae.segments_of(batch))
        expected = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1)
        torch.testing.assert_close(model.scores(batch)["kl"], expected)
        torch.testing.assert_close(model.encoder_score(batch), expected)
    assert mean.shape == (4, 8)


def test_the_latent_vector_is_sampled_in_training_alone() -> None:
    model = model_of("model.beta=0.5")
    batch = batch_for(model, LENGTHS)
    model.eval()
    with torch.no_grad():
        fixed = [float(model.loss(batch, "train")["chamfer"]) for _ in range(2)]
        assert fixed[0] == fixed[1]
        assert float(model.train().loss(batch, "train")["chamfer"]) != fixed[0]


@pytest.mark.parametrize("flag", ["legacy_fspool", "legacy_slots", "legacy_angle"])
def test_a_choice_of_the_published_code_changes_the_loss(flag: str) -> None:
    plain, legacy = model_of("model.beta=0.1"), model_of("model.beta=0.1", f"model.{flag}=true")
    legacy.load_state_dict(plain.state_dict())
    batch = batch_for(plain, LENGTHS)
    batch.features[:, 3] *= 3
    with torch.no_grad():
        values = [float(m.eval().loss(batch, "train")["loss"]) for m in (plain, legacy)]
    assert values[0] != pytest.approx(values[1], rel=1e-6)


def test_features_and_slots_that_do_not_fit_are_refused() -> None:
    arguments = dict(model_of("model.beta=1").hparams)
    turned = list(reversed(arguments["features"]))
    with pytest.raises(
        ConfigError,
        match=r"takes object_log10_energy, .*, object_phi\. Cure",
    ):
        deepset_bvae.DeepSetBVAE(**{**arguments, "features": turned})
    with pytest.raises(ConfigError, match="has 20 slots"):
        deepset_bvae.DeepSetBVAE(**{**arguments, "max_particles": 20})


def test_twice_the_multiply_adds_are_counted() -> None:
    model = model_of("model.beta=0.5")
    flops = model.flops(10.0)
    maps = 5 * 256 + 256 * 256 * 2 + 256 * 16
    assert flops["encoder"] == 2 * 10 * maps
    assert flops["total"] == flops["encoder"] + 2 * (9 * 256 + 256 * 256 + 256 * 80 + 256 * 180)
    assert model_of("model.beta=1").flops(10.0)["total"] == flops["encoder"]
