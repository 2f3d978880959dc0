"""ANTELOPE against its paper: sizes, a slow reference, its two stages, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from torch import Tensor

from anomaly_hep.data.batch import ParticleBatch, VectorBatch
from anomaly_hep.data.embedded import Stage
from anomaly_hep.errors import CheckpointError, ConfigError
from anomaly_hep.models.antelope import Antelope
from anomaly_hep.models.execution import autocast
from tests.models.jets import batch_for, make_model, random_batch, settings_of

LENGTHS = [6, 1, 14, 3]


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    return make_model("model=antelope").eval()


def test_sizes_are_those_of_the_published_code(model: Any) -> None:
    def size(module: Any) -> int:
        return sum(p.numel() for p in module.parameters())

    assert size(model.encoder.embedding) == 10_864
    assert size(model.classifier) == 16_427
    assert size(model.encoder.posterior) == 4_072
    assert size(model.decoder) == 6_688
    assert model.parameter_counts() == {"total": 38_051, "encoder": 10_864 + 4_072}
    # Phi on 160 particles, then the VAE
    assert model.flops(160)["encoder"] == 2 * (160 * (3 * 75 + 75 * 75 + 75 * 64) + 3_968)


def _layer(x: np.ndarray, weight: Tensor, bias: Tensor) -> np.ndarray:
    return x @ weight.detach().double().numpy().T + bias.detach().double().numpy()


def test_scores_are_those_of_a_slow_reference(model: Any) -> None:
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    batch = batch_for(model, LENGTHS)
    model.fit_inputs([batch])
    outputs = model.outputs(batch)
    first = 0
    for event, length in enumerate(LENGTHS):
        vector = np.zeros(64)
        for particle in range(first, first + length):
            x = batch.features[particle].double().numpy()
            low, high = (f(batch.features.double().numpy(), 0) for f in (np.min, np.max))
            x = (x - low) / (high - low)
            for layer in model.encoder.embedding.layers:
                x = np.maximum(_layer(x, layer.weight, layer.bias), 0)
            vector += x
        first += length
        np.testing.assert_allclose(
            outputs.embeddings["embedding"][event].detach(), vector, rtol=1e-4, atol=1e-5
        )
        logits = vector
        for place in range(0, 7, 2):
            logits = _layer(logits, model.classifier[place].weight, model.classifier[place].bias)
            logits = logits if place == 6 else np.maximum(logits, 0)
        hidden = vector
        for place in (0, 1, 2):
            layer = model.encoder.posterior[place]
            hidden = _layer(hidden, layer.weight, layer.bias)
            hidden = np.where(hidden > 0, hidden, 0.3 * hidden)
        last = model.encoder.posterior[-1]
        mean, log_variance = np.split(_layer(hidden, last.weight, last.bias), 2)
        decoded = mean
        for place in (0, 2, 4):
            layer = model.decoder[place]
            decoded = np.maximum(_layer(decoded, layer.weight, layer.bias), 0)
        error = np.mean((decoded - vector) ** 2)
        kl = 0.5 * np.sum(mean**2 + np.exp(log_variance) - 1 - log_variance)
        scores = {name: v[event].item() for name, v in outputs.scores.items()}
        assert scores == pytest.approx(
            {
                "total": error + kl,
                "reconstruction": error,
                "kl": kl,
                "pfn": logits[1] - logits[0],
            },
            rel=1e-3,
            abs=1e-4,
        )


def test_weights_of_the_terms_multiply_them() -> None:
    torch.manual_seed(0)
    model = make_model("model=antelope", "model.reconstruction_weight=32", "model.beta=0.5").eval()
    batch = batch_for(model, LENGTHS)
    terms = model.loss(batch, "vae")
    torch.testing.assert_close(terms["loss"], 32 * terms["reconstruction"] + 0.5 * terms["kl"])
    scores = model.scores(batch)
    torch.testing.assert_close(scores["total"], 32 * scores["reconstruction"] + 0.5 * scores["kl"])


def test_the_classifier_learns_the_cross_entropy_of_labels(model: Any) -> None:
    labels = torch.tensor([0, 1, 1, 0])
    batch = replace(batch_for(model, LENGTHS), label=labels)
    odds = model.scores(batch)["pfn"]
    expected = torch.nn.functional.softplus(torch.where(labels == 1, -odds, odds)).mean()
    torch.testing.assert_close(model.loss(batch, "pfn")["loss"], expected)


def test_the_ranges_are_those_of_all_parts_and_are_kept_with_the_weights(model: Any) -> None:
    parts = [batch_for(model, [4, 0], seed=1), batch_for(model, [0]), batch_for(model, [7], seed=2)]
    model.fit_inputs(iter(parts))
    everything = torch.cat([part.features for part in parts])
    scaled = model.encoder.embedding.scaling(everything)
    torch.testing.assert_close(scaled.amin(0), torch.zeros(3))
    torch.testing.assert_close(scaled.amax(0), torch.ones(3))
    again = make_model("model=antelope")
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.encoder.embedding.scaling(everything), scaled)


def test_a_constant_feature_is_only_moved() -> None:
    model = make_model("model=antelope")
    batch = batch_for(model, [5])
    batch.features[:, 1] = 7.0
    model.fit_inputs([batch])
    assert model.encoder.embedding.scaling(batch.features)[:, 1].tolist() == [0.0] * 5


def test_the_second_phase_moves_the_vae_alone(model: Any) -> None:
    pfn, vae = model.phases
    assert (model.embeds(pfn), model.embeds(vae)) == (False, True)
    model.begin(vae)
    model.noise.rng = lambda: torch.Generator().manual_seed(0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learning, 0.1)
    model.loss(batch_for(model, LENGTHS), "vae")["loss"].backward()
    optimizer.step()
    for name, value in model.state_dict().items():
        moved = name.startswith(("encoder.posterior", "decoder"))
        assert torch.equal(value, before[name]) != moved, name
    assert not model.encoder.embedding.training
    assert model.encoder.posterior.training


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_embedded_events_give_the_loss_of_the_events(model: Any, precision: str) -> None:
    batch = batch_for(model, LENGTHS)
    stage = Stage(model.embed, lambda: autocast(torch.device("cpu"), precision))
    embedded = stage(batch)
    assert isinstance(embedded, VectorBatch)
    with autocast(torch.device("cpu"), precision):
        one, other = (model.loss(b, "vae") for b in (embedded, batch))
    for name, value in one.items():
        assert torch.equal(value, other[name])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("model.phases.pfn.labels=[]",), r"model\.phases\.pfn\.labels=\[\], but model\.signal"),
        (("model.phases.pfn.labels=[three_prong]",), r"Cure: .*labels=\[two_prong\]"),
        (("model.phases.vae.labels=[two_prong]",), "the VAE learns background alone"),
        (("model.phases.vae.background=[0.7,0.2]",), "holds no event. Cure: two shares"),
        (("model.embedding=nowhere.ckpt",), "nowhere.ckpt does not exist. Cure"),
    ],
)
def test_wrong_choices_are_refused_in_one_line(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises((ConfigError, CheckpointError), match=said) as error:
        _made(*overrides)
    assert "\n" not in str(error.value)


def _made(*overrides: str) -> Antelope:
    """Return the model without Hydra, which wraps what it raises."""
    settings = settings_of("model=antelope", *overrides)
    return Antelope(**{k: v for k, v in settings.items() if k not in ("name", "_target_")})


def _saved(model: Any, path: Path) -> Path:
    trainer = lightning.Trainer(logger=False, accelerator="cpu", enable_progress_bar=False,
                                enable_checkpointing=False, enable_model_summary=False)  # fmt: skip
    trainer.strategy.connect(model)
    trainer.save_checkpoint(path, weights_only=True)
    return path


def test_any_model_of_particles_can_be_the_first_stage(tmp_path: Path) -> None:
    torch.manual_seed(0)
    choices = ("model.encoder.layers=1", "model.encoder.decoder_layers=1")
    first = make_model("model=setvae", *choices).eval()
    path = _saved(first, tmp_path / "setvae.ckpt")
    model = _made(f"model.embedding={path}").eval()
    assert [phase.name for phase in model.phases] == ["vae"]
    assert not model.supervised
    assert "pfn" not in model.score_names
    batch = random_batch(LENGTHS)
    outputs = model.outputs(batch)
    latent = first.outputs(batch).embeddings["latent"]
    assert torch.equal(outputs.embeddings["embedding"], latent)
    # the checkpoint of both stages needs the one of the first no more
    path.unlink()
    again = Antelope(**dict(model.hparams)).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.scores(batch)["total"], outputs.scores["total"])
    model.begin(model.phases[0])
    assert not any(p.requires_grad for p in model.encoder.embedding.parameters())


def test_a_model_of_images_cannot_be_the_first_stage(tmp_path: Path) -> None:
    path = _saved(make_model("model=imageae", "data=darkshowers"), tmp_path / "images.ckpt")
    with pytest.raises(ConfigError, match="embeds no sets of particles"):
        _made(f"model.embedding={path}")


def test_an_event_without_particles_has_the_vector_zero(model: Any) -> None:
    empty = ParticleBatch(
        lengths=torch.tensor([0]), index=torch.tensor([0]), weight=torch.ones(1),
        features=torch.zeros(0, 3),
    )  # fmt: skip
    assert model.outputs(empty).embeddings["embedding"].tolist() == [[0.0] * 64]


def test_a_tenth_of_the_inputs_of_each_layer_is_dropped_and_the_rest_scaled() -> None:
    model = make_model("model=antelope")
    batch = batch_for(model, [5] * 400)
    seen: list[Tensor] = []
    first = model.encoder.posterior[0]
    first.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    model.noise.rng = lambda: torch.Generator().manual_seed(0)
    vectors = model.embed(batch)
    model.loss(VectorBatch(lengths=batch.lengths, index=batch.index, weight=batch.weight,
                           vectors=vectors), "vae")  # fmt: skip
    ratio = (seen[0] / vectors)[vectors > 0].detach()
    assert ((ratio == 0) | (ratio - 1 / 0.9).abs().lt(1e-5)).all()
    # 4 standard deviations of a binomial share
    assert abs(float((ratio == 0).float().mean()) - 0.1) < 4 * (0.09 / len(ratio)) ** 0.5
