"""Every model in every precision: nothing kept from one call may reach another that it is not for.

`trainer.precision=bf16-mixed` scored in bfloat16 and then failed to reconstruct in float32, because
weights folded in the one were used in the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise, product
from typing import Any

import pytest
import torch
from torch import Tensor

from anomaly_hep.data.batch import JaggedBatch
from tests.models.images import labelled, random_images
from tests.models.jets import MODELS, make_model, random_batch
from tests.models.test_every_model import OBJECTS, SMALL, VARIANTS

PRECISIONS = ["32-true", "bf16-mixed"]
VERBS = ["score", "reconstruct", "train"]
ACTIONS = list(product(VERBS, PRECISIONS))


def _every_pair(number: int) -> list[int]:
    """Return a sequence in which each of `number` things follows each, itself included, once."""
    left = {first: list(range(number)) for first in range(number)}
    trail, path = [0], []
    while trail:  # Hierholzer's walk over all edges of the complete graph
        if left[trail[-1]]:
            trail.append(left[trail[-1]].pop())
        else:
            path.append(trail.pop())
    return path[::-1]


def test_every_pair_is_there() -> None:
    path = _every_pair(len(ACTIONS))
    pairs = list(pairwise(path))
    assert len(pairs) == len(set(pairs)) == len(ACTIONS) ** 2


@contextmanager
def _precision(name: str) -> Iterator[None]:
    with torch.autocast("cpu", torch.bfloat16, enabled=name == "bf16-mixed"):
        yield


def _do(model: Any, batch: JaggedBatch, verb: str, precision: str) -> dict[str, Tensor]:
    """Do what the commands do, and return the numbers that come of it."""
    model.train(verb == "train")
    if verb == "train":
        torch.manual_seed(0)  # dropout's
        with _precision(precision):
            loss = model.loss(batch, "train")["loss"]
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss.detach()}
    with torch.inference_mode(), _precision(precision):
        if verb == "score":
            return dict(model.scores(batch))
        shown = model.reconstruction(batch)
    return {} if shown is None else _tensors(shown)


def _tensors(shown: Any) -> dict[str, Tensor]:
    return {name: value for name, value in vars(shown).items() if isinstance(value, Tensor)}


@pytest.mark.parametrize("variant", VARIANTS, ids="-".join)
def test_what_was_done_before_does_not_matter(variant: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    name, *of_jets = variant
    if name in OBJECTS:
        choices: tuple[str, ...] = (f"model.beta={of_jets[0]}",)
        features = len(make_model(f"model={name}", *choices).features)
        batch: JaggedBatch = random_batch([6, 1, 14, 3], features=features)
    elif of_jets:
        choices = (f"model/encoder={of_jets[0]}", f"model.use_pid={of_jets[1]}", *SMALL)
        batch = random_batch([6, 1, 14, 3])
    else:
        choices = ("data=darkshowers",)
        batch = labelled(random_images(2))
    model = make_model(f"model={name}", *choices)
    for number in _every_pair(len(ACTIONS)):
        fresh = type(model)(**model.hparams)
        fresh.load_state_dict(model.state_dict())
        expected = _do(fresh, batch, *ACTIONS[number])
        found = _do(model, batch, *ACTIONS[number])
        assert set(found) == set(expected)
        for what, values in found.items():
            torch.testing.assert_close(values, expected[what])
        for one, other in zip(model.parameters(), fresh.parameters(), strict=True):
            torch.testing.assert_close(one, other)


def test_every_model_is_there() -> None:
    assert {name for name, *_ in VARIANTS} == set(MODELS)
