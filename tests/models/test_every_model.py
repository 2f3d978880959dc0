"""What holds for every conf/model/*.yaml: models of jets in all variants, models of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from anomaly_hep.data.batch import JaggedBatch
from anomaly_hep.errors import ConfigError
from tests.models.images import block_images, labelled, random_images
from tests.models.jets import MODELS, batch_for, make_model, random_batch, settings_of

ENCODERS, PARTICLE_TYPES = ("deepset", "transformer"), ("true", "false")
SMALL = ("model.encoder.layers=1", "model.encoder.decoder_layers=1")
# dropout and smoothed labels keep a batch from being learnt by heart
BY_HEART = {
    "cct": ("model.dropout=0", "model.attention_dropout=0", "model.drop_path=0",
            "model.label_smoothing=0"),
}  # fmt: skip
# steps and learning rate with which one batch is learnt
PACE = {
    "codae": (20, 3e-3),
    "codvae": (20, 3e-3),
    "imageae": (80, 1e-2),
    "dirichletvae": (150, 3e-2),
    "cct": (40, 3e-4),
}
LENGTHS = [6, 1, 14, 3]


@dataclass
class Case:
    """A model, and batches of its kind by their number of events."""

    name: str
    model: Any
    batch: Callable[[int], JaggedBatch]

    def to_learn(self) -> JaggedBatch:
        if self.name in (*JETS, *OBJECTS):
            return self.batch(4)
        # a network with a narrow latent vector cannot learn noise
        return labelled(random_images(3)) if self.model.supervised else block_images(3)


def _jets(number: int) -> JaggedBatch:
    return random_batch(LENGTHS[:number])


SETTINGS = {name: settings_of(f"model={name}") for name in MODELS}
# a model of particles is told what their features are; that of jets has encoders to choose from
JETS = [name for name in MODELS if "encoder" in SETTINGS[name]]
OBJECTS = [name for name in MODELS if "features" in SETTINGS[name] and name not in JETS]
IMAGES = [(name,) for name in MODELS if name not in (*JETS, *OBJECTS)]
VARIANTS = [*product(JETS, ENCODERS, PARTICLE_TYPES), *product(OBJECTS, ("1", "0.5")), *IMAGES]


@pytest.fixture(params=VARIANTS, ids="-".join)
def case(request: pytest.FixtureRequest) -> Case:
    name, *variant = request.param
    torch.manual_seed(0)
    if not variant:
        own = BY_HEART.get(name, ())
        model = make_model(f"model={name}", "data=darkshowers", *own)
        return Case(name, model.eval(), random_images)
    if name in OBJECTS:
        model = make_model(f"model={name}", f"model.beta={variant[0]}")
        return Case(name, model.eval(), lambda n: batch_for(model, LENGTHS[:n]))
    encoder, pid = variant
    choices = (f"model={name}", f"model/encoder={encoder}", f"model.use_pid={pid}")
    return Case(name, make_model(*choices, *SMALL).eval(), _jets)


def test_there_are_models_of_all_kinds() -> None:
    assert {"setvae", "clipvae"} <= set(JETS)
    assert {"deepset_bvae"} <= set(OBJECTS)
    assert {("codae",), ("imageae",), ("dirichletvae",), ("cct",)} <= set(IMAGES)


def _rows(batch: JaggedBatch) -> list[Tensor]:
    return list(torch.arange(int(batch.lengths.sum())).split(batch.lengths.tolist()))


def _shuffled(batch: Any) -> Any:
    generator = torch.Generator().manual_seed(3)
    order = torch.cat(
        [rows[torch.randperm(len(rows), generator=generator)] for rows in _rows(batch)]
    )
    of_rows = {
        name: values[order]
        for name, values in vars(batch).items()
        if isinstance(values, Tensor) and name not in batch.event_fields
    }
    return replace(batch, **of_rows)


def test_scores_do_not_depend_on_the_order_of_particles_or_pixels(case: Case) -> None:
    batch = case.batch(4)
    scores, shuffled = case.model.scores(batch), case.model.scores(_shuffled(batch))
    assert set(scores) == set(case.model.score_names)
    assert case.model.default_score in scores
    for name, values in scores.items():
        torch.testing.assert_close(values, shuffled[name], rtol=1e-4, atol=1e-6)


def test_scores_of_an_event_do_not_depend_on_its_batch(case: Case) -> None:
    batch = case.batch(4)
    together = case.model.scores(batch)
    for event, rows in enumerate(_rows(batch)):
        alone = case.model.scores(batch.part(event, event + 1, int(rows[0]), int(rows[-1]) + 1))
        for name, values in together.items():
            torch.testing.assert_close(values[event : event + 1], alone[name], rtol=1e-4, atol=1e-5)


def test_scores_are_the_same_twice_and_the_columns_are_those_named(case: Case) -> None:
    batch = case.batch(2)
    outputs = case.model.outputs(batch)
    assert set(outputs.columns) == set(case.model.event_columns)
    assert set(outputs.scores) <= set(case.model.score_descriptions())
    assert set(outputs.embeddings) == set(case.model.embedding_names)
    for embedding in outputs.embeddings.values():
        assert embedding.shape[0] == 2
        assert embedding.isfinite().all()
    for name, values in case.model.scores(batch).items():
        assert torch.equal(values, outputs.scores[name])
        assert values.shape == (2,)


def test_an_empty_batch_has_no_scores(case: Case) -> None:
    outputs = case.model.outputs(case.batch(0))
    for values in ({**outputs.scores, **outputs.columns}).values():
        assert values.shape == (0,)


@pytest.mark.parametrize("case", IMAGES, ids="-".join, indirect=True)
def test_an_image_without_hits_has_finite_scores(case: Case) -> None:
    for values in case.model.scores(random_images(2, density=0.0)).values():
        assert values.isfinite().all()


def test_saved_and_loaded_weights_give_the_same_scores(case: Case, tmp_path: Path) -> None:
    model = case.model
    torch.save({"state": model.state_dict(), "hparams": dict(model.hparams)}, tmp_path / "model.pt")
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    again = type(model)(**content["hparams"]).eval()
    again.load_state_dict(content["state"])
    batch = case.batch(4)
    for name, values in model.scores(batch).items():
        assert torch.equal(values, again.scores(batch)[name])


def test_one_batch_can_be_learnt(case: Case) -> None:
    model = case.model.train()
    batch = case.to_learn()
    steps, rate = PACE.get(case.name, (60, 3e-3))
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = sum(model.loss(_seen(batch, phase), phase.name)["loss"] for phase in model.phases)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # the KL divergence alone is learnt within few steps; how far, its start decides
    # the lowest: which step a sampled latent vector throws back depends on the last bit
    assert min(losses) < 0.25 * losses[0]
    assert all(p.grad is not None for p in model.parameters())


def _seen(batch: Any, phase: Any) -> Any:
    """Return a batch as a phase sees it: with labels, or without."""
    if not phase.labels or batch.label is not None:
        return batch
    return replace(batch, label=torch.arange(len(batch)) % 2)


def test_an_event_of_twice_the_weight_counts_as_two(case: Case) -> None:
    if all(p.labels for p in case.model.phases) or getattr(case.model, "clip_fraction", 1.0) < 1.0:
        return  # the fraction that is clipped is one of events
    batch = case.batch(2)
    first, second = (
        case.model.loss(batch.part(i, i + 1, int(rows[0]), int(rows[-1]) + 1), "train")["loss"]
        for i, rows in enumerate(_rows(batch))
    )
    weighted = case.model.loss(replace(batch, weight=torch.tensor([2.0, 1.0])), "train")["loss"]
    torch.testing.assert_close(weighted, (2 * first + second) / 3, rtol=1e-4, atol=1e-5)


def test_labels_are_needed_by_supervised_models_alone(case: Case) -> None:
    plain = case.batch(2)
    if all(phase.labels for phase in case.model.phases):
        with pytest.raises(ConfigError, match=r"phases\.train\.labels=\['\*'\]"):
            case.model.loss(plain, "train")
    else:
        assert plain.label is None
        assert case.model.loss(plain, "train")["loss"].isfinite()
