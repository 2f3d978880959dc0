from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from anomaly_hep.errors import ConfigError
from tests.models.jets import make_model, random_batch

# arXiv:2311.17162 Tables 1 and 2: parameters, then FLOPs in units of the last printed digit
PUBLISHED = {
    "deepset": (205_155, 103_264, 13.8e6, 6.95e6),
    "transformer": (1_812_259, 952_352, 171e6, 78.9e6),
}


@pytest.mark.parametrize("encoder", PUBLISHED)
def test_parameters_and_flops_are_the_published_ones(encoder: str) -> None:
    total, encoder_only, flops, encoder_flops = PUBLISHED[encoder]
    model = make_model("model=setvae", f"model/encoder={encoder}")
    assert model.parameter_counts() == {"total": total, "encoder": encoder_only}
    counted = model.flops(model.reference_multiplicity)
    assert counted["total"] == pytest.approx(flops, rel=6e-3)
    assert counted["encoder"] == pytest.approx(encoder_flops, rel=3e-3)


def test_the_flop_formula_of_attention_is_what_torch_counts() -> None:
    # jets of equal length leave nothing to padding; the Deep Set folds products, so only
    # the Transformer executes what the formula says
    model = make_model("model=setvae", "model/encoder=transformer").eval()
    batch = random_batch([12, 12])
    # the counter knows the products of this kernel, not those of the fused one
    kernel = sdpa_kernel(SDPBackend.MATH)
    with FlopCounterMode(display=False) as counter, torch.no_grad(), kernel:
        model.scores(batch)
    assert counter.get_total_flops() == pytest.approx(2 * model.flops(12.0)["total"], rel=2e-3)


def test_features_in_another_order_are_refused() -> None:
    with pytest.raises(Exception, match="list these first") as caught:
        make_model("~data.features.pt_rel")
    assert isinstance(caught.value.__cause__, ConfigError)


@pytest.mark.parametrize("fraction", [0.0, 1.5, -1.0])
def test_a_clip_fraction_that_is_no_share_is_refused(fraction: float) -> None:
    with pytest.raises(Exception, match="share of jets"):
        make_model(f"model.clip_fraction={fraction}")


def test_scores_are_the_closed_forms_of_the_posterior() -> None:
    model = make_model("model=setvae").eval()
    # with zero weights in the heads the posterior is the prior: KL is 0, total is the Chamfer
    for head in (model.encoder.mean, model.encoder.log_variance):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    batch = random_batch([5, 1, 9])
    scores = model.scores(batch)
    assert (scores["kl"] == 0).all()
    assert torch.equal(scores["total"], scores["chamfer"])
    assert torch.equal(scores["chamfer_sum"], scores["chamfer"] * batch.lengths)
    torch.nn.init.constant_(model.encoder.mean.bias, 2.0)
    assert torch.allclose(model.scores(random_batch([5, 1, 9]))["kl"], torch.tensor(2.0))


def test_the_noise_ramps_up_and_depends_on_the_step_alone() -> None:
    model = make_model("model.noise_ramp_steps=10", "model.encoder.legacy_norm_start=true").train()
    batch = random_batch([4, 7])
    quiet = model.eval().loss(batch, "train")["reconstruction"]
    ramped = model.train()
    # at step 0 the noise is off, so training and evaluation see the same latent vector
    for module in ramped.modules():
        if hasattr(module, "momentum"):
            module.momentum = 0.0
    torch.testing.assert_close(ramped.loss(batch, "train")["reconstruction"], quiet)
    assert torch.equal(ramped.noise_like(quiet), ramped.noise_like(quiet))


def test_the_objective_is_final_when_the_noise_has_its_full_size() -> None:
    assert make_model("model.noise_ramp_steps=0").objective_is_final
    assert not make_model("model.noise_ramp_steps=1").objective_is_final


def test_legacy_numbers_change_the_reconstruction_and_nothing_else() -> None:
    torch.manual_seed(0)
    right = make_model("model=setvae").eval()
    legacy = make_model("model=setvae", "model.legacy_identification=true").eval()
    legacy.load_state_dict(right.state_dict())
    batch = random_batch([20, 30])
    assert torch.equal(right.scores(batch)["kl"], legacy.scores(batch)["kl"])
    assert not torch.equal(right.scores(batch)["chamfer"], legacy.scores(batch)["chamfer"])
