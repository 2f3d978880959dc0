"""The IB-VAE against its paper: sizes, a slow reference, its three phases, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from anomaly_hep.data.batch import ParticleBatch, VectorBatch
from anomaly_hep.data.embedded import Stage
from anomaly_hep.errors import ConfigError
from anomaly_hep.models.execution import autocast
from anomaly_hep.models.ibvae import IBVAE
from anomaly_hep.models.optimization import configured
from tests.models.jets import make_model, random_batch, settings_of

LENGTHS = [6, 1, 30, 20]


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    return make_model("model=ibvae").eval()


def jets(lengths: list[int] = LENGTHS, seed: int = 0) -> ParticleBatch:
    """Return jets of massless constituents about the x axis, momenta relative to the jet's."""
    batch = random_batch(lengths, seed=seed, features=4)
    x, y, z, _ = batch.features.double().unbind(1)
    vectors = torch.stack([x.abs() + 0.1, 0.1 * y, 0.1 * z], 1) / 10
    momenta = torch.cat([vectors, vectors.norm(dim=1, keepdim=True)], 1)
    return replace(batch, features=momenta.float(), types=None)


def test_sizes_are_those_of_the_paper(model: Any) -> None:
    def size(module: Any) -> int:
        return sum(p.numel() for p in module.parameters())

    assert size(model.encoder) == 63_188
    assert size(model.decoder) == 62_608
    assert size(model.encoder) + size(model.decoder) == 125_796
    assert size(model.adversary) == 61_953
    assert model.parameter_counts() == {"total": 187_749, "encoder": 63_188}
    assert model.flops(50)["encoder"] == 2 * (80 * 256 + 256 * 128 + 128 * 64 + 64 * 20)
    assert model.flops(50) == model.flops(20)


def _layer(x: np.ndarray, layer: Any) -> np.ndarray:
    weight, bias = (p.detach().double().numpy() for p in (layer.weight, layer.bias))
    return x @ weight.T + bias


def _network(x: np.ndarray, layers: Any, slope: float) -> np.ndarray:
    linear = [layer for layer in layers if hasattr(layer, "weight")]
    for layer in linear[:-1]:
        x = _layer(x, layer)
        x = np.where(x > 0, x, slope * x)
    return _layer(x, linear[-1])


def _slow_vectors(batch: ParticleBatch) -> np.ndarray:
    """Return the 20 constituents of highest energy of each jet in one row, one jet at a time."""
    rows, first = [], 0
    for length in batch.lengths.tolist():
        momenta = batch.features[first : first + length].double().numpy()
        momenta = sorted(momenta.tolist(), key=lambda p: -p[3])[:20]
        rows.append(np.ravel(momenta + [[0.0] * 4] * (20 - len(momenta))))
        first += length
    return np.array(rows)


def _mass(vector: np.ndarray) -> float:
    p = vector.reshape(20, 4)[:, :3]
    energy, total = np.linalg.norm(p, axis=1).sum(), p.sum(0)
    return float(np.sqrt(max(energy**2 - total @ total, 0.0)))


def test_scores_are_those_of_a_slow_reference(model: Any) -> None:
    batch = jets()
    model.fit_inputs([batch, jets([20] * 40, seed=1)])
    outputs = model.outputs(batch)
    every = np.concatenate([_slow_vectors(batch), _slow_vectors(jets([20] * 40, seed=1))])
    low, median, high = np.quantile(every, (0.25, 0.5, 0.75), axis=0)
    spread = np.where(high > low, high - low, 1.0)
    for event, vector in enumerate(_slow_vectors(batch)):
        x = (vector - median) / spread
        mean, log_variance = np.split(_network(x, model.encoder.layers, 0.0), 2)
        decoded = _network(mean, model.decoder, 0.0)
        expected = {
            "mse": np.mean((decoded - x) ** 2),
            "kl": 0.5 * np.sum(mean**2 + np.exp(log_variance) - 1 - log_variance),
            "adversary": -_network(x, model.adversary.layers, 0.2)[0],
        }
        for name, value in expected.items():
            assert outputs.scores[name][event].item() == pytest.approx(value, rel=1e-3, abs=1e-5)
        before = outputs.columns["relative_mass"][event].item()
        after = outputs.columns["reconstructed_relative_mass"][event].item()
        assert before == pytest.approx(_mass(vector), rel=1e-4, abs=1e-5)
        assert after == pytest.approx(_mass(decoded * spread + median), rel=1e-3, abs=1e-5)


def test_a_jet_that_is_reconstructed_exactly_is_not_moved(model: Any) -> None:
    """A decoder that returns one jet, whatever z is, has no distance from that jet."""
    batch = jets([20, 20])
    vectors = model.embed(batch)
    with torch.no_grad():
        model.decoder[-1].weight.zero_()
        model.decoder[-1].bias.copy_(vectors[0])
    scores = model.scores(batch)
    assert scores["mse"][0].item() == pytest.approx(0, abs=1e-12)
    assert scores["emd"][0].item() == pytest.approx(0, abs=1e-6)
    assert scores["emd"][1].item() > 0.05
    shown = model.reconstruction(batch)
    torch.testing.assert_close(shown.truth[0], shown.reconstructed[0])


def test_the_distance_counts_a_jet_of_half_the_momentum_by_the_missing_half(model: Any) -> None:
    """The same directions with half the momentum: nothing moves, half of the weight is missing."""
    batch = jets([20])
    with torch.no_grad():
        model.decoder[-1].weight.zero_()
        model.decoder[-1].bias.copy_(0.5 * model.embed(batch)[0])
    total = torch.hypot(batch.features[:, 0], batch.features[:, 1]).sum().item()
    assert model.scores(batch)["emd"].item() == pytest.approx(0.5 * total, rel=1e-4)


def test_constituents_fainter_than_a_thousandth_of_the_jet_are_none(model: Any) -> None:
    batch = jets([3])
    with torch.no_grad():
        model.decoder[-1].weight.zero_()
        model.decoder[-1].bias.fill_(5e-4)
    shown = model.reconstruction(batch)
    assert shown.reconstructed.abs().max() == 0
    assert (shown.truth[0, 3:] == 0).all()


def test_the_three_phases_are_those_of_the_paper(model: Any) -> None:
    first, second, third = model.phases
    assert [p.epochs for p in model.phases] == [50, 10, 90]
    assert [p.optimizer["lr"] for p in model.phases] == [1e-3, 1e-5, 1e-3]
    assert [model._trains(p) for p in model.phases] == [False, True, False]
    batch = jets()
    assert set(model.loss(batch, first.name)) == {"loss", "mse", "kl"}
    with_penalty = {"loss", "mse", "kl", "penalty", "adversary", "objective"}
    assert set(model.loss(batch, second.name)) == with_penalty
    assert set(model.loss(batch, third.name)) == with_penalty - {"penalty"}


def test_the_terms_have_their_weights(model: Any) -> None:
    batch = jets()
    terms = model.loss(batch, "adversary")
    vae = terms["mse"] + 0.25 * terms["kl"]
    torch.testing.assert_close(terms["loss"], vae + 0.1 * terms["adversary"])
    entropy = terms["adversary"] - 10 * terms["penalty"]
    torch.testing.assert_close(terms["objective"], vae - 0.1 * entropy, rtol=1e-4, atol=1e-5)
    # an adversary without a weight finds both kinds equally likely
    for parameter in model.adversary.parameters():
        torch.nn.init.zeros_(parameter)
    terms = model.loss(batch, "adversary")
    assert terms["penalty"].item() == pytest.approx(1, abs=1e-5)
    assert terms["adversary"].item() == pytest.approx(np.log(2) + 10, abs=1e-4)


def _gradients(model: Any, batch: ParticleBatch, value: str, phase: str) -> dict[str, Tensor]:
    model.zero_grad()
    model.loss(batch, phase)[value].backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def test_the_decoder_climbs_what_the_adversary_descends(model: Any) -> None:
    """With reversal the gradient of `loss` is that of `objective` on the decoder."""
    model.begin(model.phases[2])
    model.eval()
    batch = jets()
    with_reversal = _gradients(model, batch, "loss", "frozen")
    plain = _gradients(model, batch, "mse", "frozen")
    assert not any(name.startswith("adversary.") for name in with_reversal)
    assert not torch.equal(with_reversal["decoder.6.weight"], plain["decoder.6.weight"])
    # the same by finite differences of the objective, whose sign is the decoder's
    bias = model.decoder[-1].bias
    gradient = with_reversal["decoder.6.bias"]
    step, direction = 3e-2, gradient / gradient.norm()
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            bias.add_(sign * step * direction)
            values.append(_objective_of(model, batch))
            bias.sub_(sign * step * direction)
    numerical = (values[0] - values[1]) / (2 * step)
    assert float(gradient @ direction) == pytest.approx(numerical, rel=1e-2)


def _objective_of(model: Any, batch: ParticleBatch) -> float:
    return float(model.loss(batch, "frozen")["objective"].double())


def _steps(model: Any, optimizer: torch.optim.Optimizer, number: int = 3) -> None:
    for seed in range(number):
        model.noise.rng = lambda seed=seed: torch.Generator().manual_seed(seed)
        optimizer.zero_grad()
        model.loss(jets(seed=seed), model.phase.name)["loss"].backward()
        optimizer.step()


def test_in_the_last_phase_the_adversary_and_its_optimiser_stay(model: Any) -> None:
    model.begin(model.phases[1])
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-3)
    _steps(model, optimizer)
    frozen = {n: v.clone() for n, v in model.state_dict().items() if n.startswith("adversary.")}
    states = {
        n: {k: torch.as_tensor(v).clone() for k, v in optimizer.state[p].items()}
        for n, p in model.named_parameters()
        if n.startswith("adversary.")
    }
    assert all(states.values())
    assert states
    model.begin(model.phases[2])
    assert not model.adversary.training
    # the same optimiser goes on: without a gradient it leaves the adversary and its moments alone
    _steps(model, optimizer)
    for name, value in model.state_dict().items():
        if name.startswith("adversary."):
            assert torch.equal(value, frozen[name]), name
    for name, parameter in model.named_parameters():
        if name.startswith("adversary."):
            assert parameter.grad is None
            for key, value in optimizer.state[parameter].items():
                assert torch.equal(torch.as_tensor(value), states[name][key]), (name, key)


def test_the_optimiser_of_the_last_phase_has_no_parameter_of_the_adversary(model: Any) -> None:
    model.begin(model.phases[2])
    optimizer = configured(model.phases[2], model, 10)["optimizer"]
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for n, p in model.named_parameters() if not n.startswith("adversary.")}


def test_a_model_without_a_phase_of_the_adversary_has_no_such_score() -> None:
    model = make_model("model=ibvae", "~model.phases.adversary", "~model.phases.frozen").eval()
    assert model.score_names == ("mse", "emd", "kl")
    assert set(model.scores(jets())) == set(model.score_names)
    assert set(model.loss(jets(), "vae")) == {"loss", "mse", "kl"}


def test_without_the_energy_movers_distance_the_host_need_not_compute() -> None:
    model = make_model("model=ibvae", "model.energy_movers=false").eval()
    assert "emd" not in model.scores(jets())
    assert not model.waits_for_host
    assert make_model("model=ibvae").waits_for_host


def test_embedded_events_have_the_loss_of_their_jets(model: Any) -> None:
    batch = jets()
    model.fit_inputs([batch])
    stage = Stage(model.embed, lambda: autocast(torch.device("cpu"), "32-true"))
    vectors = stage(batch)
    assert isinstance(vectors, VectorBatch)
    assert all(model.embeds(phase) for phase in model.phases)
    for phase in model.phases:
        for name, value in model.loss(batch, phase.name).items():
            torch.testing.assert_close(value, model.loss(vectors, phase.name)[name])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=5), st.integers(0, 5))
def test_the_order_of_constituents_has_no_effect(lengths: list[int], seed: int) -> None:
    torch.manual_seed(0)
    model = make_model("model=ibvae").eval()
    batch = jets(lengths, seed)
    rows = torch.arange(sum(lengths)).split(lengths)
    order = torch.cat([part.flip(0) for part in rows]) if sum(lengths) else torch.arange(0)
    shuffled = replace(batch, features=batch.features[order])
    torch.testing.assert_close(model.embed(batch), model.embed(shuffled))


def test_other_features_are_refused_in_one_line() -> None:
    choices = settings_of("model=ibvae", "model.features=[pt_rel, delta_eta]")
    del choices["name"], choices["_target_"]
    with pytest.raises(ConfigError, match=r"takes frame_px, .* Cure: data/features=fourmomenta"):
        IBVAE(**choices)
