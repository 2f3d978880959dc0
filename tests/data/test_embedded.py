"""Vectors of events that are computed once: which events, in which order, and how it goes on."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from anomaly_hep.data.batch import ParticleBatch, VectorBatch
from anomaly_hep.data.embedded import EmbeddedStream, Stage
from anomaly_hep.data.module import EventDataModule
from tests.data.files import write_toy_collisions
from tests.modules import module_of

BACKGROUND = 120
FEATURES = {"pt": {"column": "part_pt"}}


def _sums(batch: ParticleBatch) -> torch.Tensor:
    """Return the sum of pT and the number of particles of each event."""
    event = torch.repeat_interleave(torch.arange(len(batch)), batch.lengths)
    pt = torch.zeros(len(batch)).index_add(0, event, batch.features[:, 0])
    return torch.stack([pt, batch.lengths.float()], 1)


@pytest.fixture(scope="module")
def collisions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_collisions(tmp_path_factory.mktemp("collisions"), background=BACKGROUND)


def _module(collisions: Path, share: tuple[float, float] = (0.0, 1.0), **begin: Any) -> Any:
    module = module_of("lhco", collisions, features=FEATURES, chunk_events=10, pool_batches=2)
    module.begin((), 0, background=share, **begin)
    module.setup("fit")
    return module


def _embedded(collisions: Path, **begin: Any) -> EventDataModule:
    module: EventDataModule = _module(
        collisions, stage=Stage(_sums, nullcontext), batch_size=8, **begin
    )
    return module


def test_batches_hold_the_vectors_of_their_events(collisions: Path) -> None:
    plain = {
        int(i): vector
        for batch in _module(collisions, batch_size=500).train_dataloader()
        for i, vector in zip(batch.index, _sums(batch), strict=True)
    }
    batches = list(_embedded(collisions).train_dataloader())
    assert all(isinstance(batch, VectorBatch) for batch in batches)
    assert {len(batch) for batch in batches} == {8}
    for batch in batches:
        for i, vector in zip(batch.index, batch.vectors, strict=True):
            assert torch.equal(vector, plain[int(i)])
    assert sorted(torch.cat([batch.index for batch in batches]).tolist()) == list(range(72))


def test_epochs_have_orders_of_their_own_and_validation_has_none(collisions: Path) -> None:
    module = _embedded(collisions)
    stream = module.streams["train"]
    epochs = [torch.cat([batch.index for batch in stream]).tolist() for _ in range(3)]
    assert len({tuple(order) for order in epochs}) == 3
    assert sorted(epochs[0]) == sorted(epochs[2])
    validation = [torch.cat([b.index for b in module.val_dataloader()]).tolist() for _ in range(2)]
    assert validation[0] == validation[1] == list(range(12))


@pytest.mark.parametrize("done", [1, 8, 9, 13])
def test_a_stream_goes_on_where_its_state_was_taken(collisions: Path, done: int) -> None:
    stream = _embedded(collisions).streams["train"]
    batches = [batch for _ in range(2) for batch in stream]
    first = _embedded(collisions).streams["train"]
    seen = 0
    while seen < done:
        for _ in first:
            seen += 1
            if seen == done:
                break
    again = _embedded(collisions).streams["train"]
    assert isinstance(again, EmbeddedStream)
    again.load_state_dict(first.state_dict())
    rest = list(again)
    expected = batches[done : done + len(rest)]
    assert rest
    for one, other in zip(rest, expected, strict=True):
        assert torch.equal(one.index, other.index)
        assert torch.equal(one.vectors, other.vectors)


def test_events_are_read_once_and_counted_once(collisions: Path) -> None:
    module = _embedded(collisions)
    for _ in range(3):
        list(module.streams["train"])
    assert module.counts["train"].events == 72


def test_shares_of_the_background_are_disjoint_and_cover_it(collisions: Path) -> None:
    parts = {}
    for share in ((0.0, 0.5), (0.5, 1.0), (0.0, 1.0)):
        module = _module(collisions, share, batch_size=8)
        for split, loader in (
            ("train", module.train_dataloader()),
            ("val", module.val_dataloader()),
        ):
            parts[share, split] = {int(i) for batch in loader for i in batch.index}
    for split in ("train", "val"):
        one, other, whole = (parts[share, split] for share in ((0, 0.5), (0.5, 1), (0, 1)))
        assert not one & other
        assert one | other == whole


def test_a_share_is_of_the_background_alone(collisions: Path) -> None:
    module = module_of("lhco", collisions, features=FEATURES)
    module.begin(("two_prong",), 0, background=(0.0, 0.5))
    module.setup("fit")
    labels = torch.cat([batch.label for batch in module.train_dataloader()])
    # 0.6 of 60 signal events, and half of 0.6 of 120
    assert labels.bincount().tolist() == [36, 36]


def test_all_events_once_are_in_file_order_and_not_counted(collisions: Path) -> None:
    module = _module(collisions, (0.5, 1.0), batch_size=8)
    seen = torch.cat([batch.index for batch in module.events_once()]).tolist()
    assert seen == list(range(36, 72))
    assert module.counts["train"].events == 0


def test_padding_of_a_batch_has_no_weight(collisions: Path) -> None:
    batch = next(iter(_embedded(collisions).train_dataloader()))
    slotted = batch.slotted(16, 1)
    assert (len(slotted), slotted.events) == (16, 8)
    assert slotted.weight[8:].tolist() == [0.0] * 8
    assert slotted.vectors[8:].eq(0).all()
