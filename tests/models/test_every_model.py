"""What holds for every conf/model/*.yaml, Deep Set and Transformer, with and without types."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from anomaly_hep.data.batch import ParticleBatch
from tests.models.jets import MODELS, make_model, random_batch

SMALL = ("model.encoder.layers=1", "model.encoder.decoder_layers=1")
VARIANTS = list(product(MODELS, ("deepset", "transformer"), ("true", "false")))
LENGTHS = [6, 1, 14, 3]


@pytest.fixture(params=VARIANTS, ids="-".join)
def model(request: pytest.FixtureRequest) -> Any:
    name, encoder, pid = request.param
    torch.manual_seed(0)
    choices = (f"model={name}", f"model/encoder={encoder}", f"model.use_pid={pid}")
    return make_model(*choices, *SMALL).eval()


def _shuffled(batch: ParticleBatch) -> ParticleBatch:
    parts = batch.lengths.tolist()
    order = torch.cat(
        [
            rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(3))]
            for rows in torch.arange(sum(parts)).split(parts)
        ]
    )
    return replace(batch, features=batch.features[order], types=batch.types[order])


def test_scores_do_not_depend_on_the_order_of_particles(model: Any) -> None:
    batch = random_batch(LENGTHS)
    scores, shuffled = model.scores(batch), model.scores(_shuffled(batch))
    assert set(scores) == set(model.score_names)
    for name, values in scores.items():
        torch.testing.assert_close(values, shuffled[name], rtol=1e-4, atol=1e-6)


def test_scores_of_a_jet_do_not_depend_on_its_batch(model: Any) -> None:
    batch = random_batch(LENGTHS)
    together = model.scores(batch)
    starts = [0, 6, 7, 21, 24]
    for jet in range(len(LENGTHS)):
        one = slice(jet, jet + 1)
        alone = model.scores(batch.part(jet, jet + 1, starts[jet], starts[jet + 1]))
        for name, values in together.items():
            torch.testing.assert_close(values[one], alone[name], rtol=1e-4, atol=1e-6)


def test_an_empty_batch_has_no_scores(model: Any) -> None:
    for values in model.scores(random_batch([])).values():
        assert values.shape == (0,)


def test_saved_and_loaded_weights_give_the_same_scores(model: Any, tmp_path: Path) -> None:
    torch.save({"state": model.state_dict(), "hparams": dict(model.hparams)}, tmp_path / "model.pt")
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    again = type(model)(**content["hparams"]).eval()
    again.load_state_dict(content["state"])
    batch = random_batch(LENGTHS)
    for name, values in model.scores(batch).items():
        assert torch.equal(values, again.scores(batch)[name])


def test_one_batch_can_be_learnt(model: Any) -> None:
    model.train()
    batch = random_batch(LENGTHS)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = model.loss(batch)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.25 * losses[0]
    assert all(p.grad is not None for p in model.parameters())
