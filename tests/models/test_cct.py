"""The supervised transformer: the published layers and size, its parts against torch's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from anomaly_hep.errors import ConfigError
from anomaly_hep.models.cct import Attention, Block
from tests.models.images import labelled, random_images
from tests.models.jets import make_model


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return make_model("model=cct", "data=darkshowers").eval()


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameters_are_the_published_ones(model: Any) -> None:
    # of the public notebook's summary, layer by layer
    assert _count(model.tokenizer) == 74_304
    for block in model.blocks:
        assert _count(block.norm_attention) == _count(block.norm_mlp) == 256
        assert _count(block.attention) == 131_968
        assert [_count(layer) for layer in block.mlp if isinstance(layer, nn.Linear)] == [
            16_512
        ] * 2
    assert _count(model.norm) == 256
    assert _count(model.importance) == 129
    assert _count(model.out) == 387
    assert model.parameter_counts() == {"total": 406_084, "encoder": 406_084}


def test_sizes_of_every_layer(model: Any) -> None:
    image = model.images(random_images(2))
    tokens = model.tokenizer(image)
    assert tokens.shape == (2, 270, 128)
    for block in model.blocks:
        assert block(tokens).shape == (2, 270, 128)
    assert model(image).shape == (2, 3)


def test_tokens_are_those_of_torchs_own_layers(model: Any) -> None:
    image = model.images(random_images(2, density=0.3))
    x = image
    for convolution in model.tokenizer.convolutions:
        x = functional.pad(torch.relu(functional.conv2d(x, convolution.weight)), (1, 1, 1, 1))
        # TensorFlow's SAME: what is missing goes behind, half of it, rounded down, before
        odd = [size % 2 for size in x.shape[2:]]
        rows, columns = ((1, 1) if size else (0, 1) for size in odd)
        x = functional.max_pool2d(
            functional.pad(x, (*columns, *rows), value=-torch.inf), kernel_size=3, stride=2
        )
    torch.testing.assert_close(model.tokenizer(image), x.flatten(2).transpose(1, 2))


def test_operations_are_those_of_the_layers(model: Any) -> None:
    image = model.images(random_images(1))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    # torch does not see attention on CPUs and weighted sums
    attention = len(model.blocks) * 2 * 2 * 270 * 270 * 256
    expected = counter.get_total_flops() + attention + 2 * 270 * 128
    assert model.flops(0.0) == {"encoder": float(expected), "total": float(expected)}


def test_attention_is_the_softmax_of_products() -> None:
    torch.manual_seed(1)
    attention = Attention(2, 0.1).double().eval()
    x = torch.randn(1, 5, 128, dtype=torch.float64)
    heads = []
    for head in (slice(0, 128), slice(128, 256)):
        q, k, v = (layer(x)[0, :, head] for layer in
                   (attention.query, attention.key, attention.value))  # fmt: skip
        heads.append(torch.softmax(q @ k.T / 128**0.5, 1) @ v)
    torch.testing.assert_close(attention(x)[0], attention.out(torch.cat(heads, 1)))


def _block(*, drop: float, legacy: bool) -> Block:
    torch.manual_seed(2)
    return Block(2, dropout=0.0, attention_dropout=0.0, drop=drop, legacy=legacy)


def test_branches_are_dropped_for_whole_images_and_scaled_to_their_mean() -> None:
    block = _block(drop=0.2, legacy=False).train()
    x = torch.randn(1, 4, 128).expand(4000, 4, 128)
    torch.manual_seed(3)
    branch = torch.ones_like(x)
    joined = block._joined(x, branch) - x
    kept = joined[:, 0, 0] > 0.5
    assert kept.float().mean().item() == pytest.approx(0.8, abs=0.03)
    torch.testing.assert_close(joined[kept], torch.full_like(joined[kept], 1.25))
    torch.testing.assert_close(joined[~kept], torch.zeros_like(joined[~kept]), atol=1e-6, rtol=0)
    assert torch.equal(block.eval()._joined(x, branch), x + branch)


def test_the_first_block_drops_nothing_and_the_last_the_published_share(model: Any) -> None:
    assert [block.drop for block in model.blocks] == [0.0, 0.2]


def test_legacy_shortcuts_are_what_the_public_code_makes_of_them() -> None:
    # TensorFlow Addons: first input + p * second, called with branch and shortcut, p = 0 and 0.2
    x, branch = torch.randn(3, 4, 128), torch.randn(3, 4, 128)
    first, last = _block(drop=0.0, legacy=True), _block(drop=0.2, legacy=True)
    assert torch.equal(first.eval()._joined(x, branch), branch)
    torch.testing.assert_close(last.eval()._joined(x, branch), branch + 0.2 * x)
    last.train()
    drawn = [last._joined(x, branch) for _ in range(40)]
    whole, none = (sum(torch.equal(d, e) for d in drawn) for e in (branch + x, branch))
    assert whole + none == 40
    assert 0 < whole < none


def test_images_are_sums_of_channels_clipped_and_scaled(model: Any) -> None:
    batch = random_images(2)
    loud = replace(batch, energy=batch.energy * 200)
    expected = (loud.energies().sum(1) / 2000).clamp(max=1)
    torch.testing.assert_close(model.images(loud)[:, 0], expected)
    assert float(expected.max()) == 1.0


@torch.no_grad()
def test_the_score_is_the_probability_of_any_signal(model: Any) -> None:
    batch = random_images(3)
    probability = torch.softmax(model(model.images(batch)).double(), 1)
    torch.testing.assert_close(
        model.scores(batch)["signal_probability"].double(), 1 - probability[:, 0], rtol=1e-5, atol=0
    )
    assert model.supervised


@torch.no_grad()
def test_the_loss_is_the_cross_entropy_with_a_tenth_spread_over_the_classes(model: Any) -> None:
    batch = labelled(random_images(4))
    log_probability = torch.log_softmax(model(model.images(batch)).double(), 1)
    wanted = 0.9 * functional.one_hot(batch.label, 3) + 0.1 / 3
    expected = -(wanted * log_probability).sum(1).mean()
    terms = model.loss(batch, "train")
    assert float(terms["loss"]) == pytest.approx(float(expected), rel=1e-5)
    right = (log_probability.argmax(1) == batch.label).float().mean()
    assert float(terms["accuracy"]) == float(right)


def test_dropout_draws_by_seed_and_step_alone() -> None:
    batch = labelled(random_images(3))
    model = make_model("model=cct", "data=darkshowers").train()
    torch.manual_seed(1)
    first = model.training_step(batch, 0)["loss"]
    torch.manual_seed(2)
    assert torch.equal(first, model.training_step(batch, 0)["loss"])
    assert not torch.equal(first, model.eval().loss(batch, "train")["loss"])


def test_labels_move_and_split_with_their_images() -> None:
    batch = labelled(random_images(5))
    rows = batch.lengths.cumsum(0).tolist()
    part = batch.part(2, 4, rows[1], rows[3]).to("cpu")
    assert part.label.tolist() == [2, 0]
    assert len(part.pixel) == int(batch.lengths[2:4].sum())


def test_a_label_beyond_the_classes_is_refused_with_the_cure(model: Any) -> None:
    batch = labelled(random_images(3))
    with pytest.raises(ConfigError, match=r"class 3.*model\.classes"):
        model.loss(replace(batch, label=batch.label + 1), "train")
