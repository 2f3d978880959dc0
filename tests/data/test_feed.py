"""How batches come to a device; of a GPU's own means there are stand-ins."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import pytest
import torch

from anomaly_hep.data.batch import ParticleBatch
from anomaly_hep.data.feed import Feed
from tests.models.jets import random_batch


def test_on_the_cpu_a_batch_is_handed_on_as_it_is() -> None:
    batch = random_batch([3, 0, 40])
    assert torch.equal(Feed()(batch).features, batch.features)
    assert Feed()(batch).slots is None


def test_slotted_batches_have_as_many_events_as_the_largest() -> None:
    feed = Feed(slotted=True, events=5)
    for lengths, slots in (([3, 0, 40], 64), ([1] * 5, 32)):
        found = feed(random_batch(lengths))
        assert (found.slots, len(found), found.events) == (slots, 5, len(lengths))


def test_where_there_are_no_values_to_look_at_slots_are_known_all_the_same() -> None:
    """Tensors of the device meta have a shape and no values: to wait for one is an error."""
    feed = Feed(torch.device("meta"), slotted=True, events=5)
    found = feed(random_batch([3, 0, 40]))
    assert found.features.is_meta
    assert found.features.shape == (5 * 64, 8)


class _Log:
    """What happened on streams, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []


@pytest.fixture
def gpu() -> Iterator[_Log]:
    log = _Log()
    copying, computing = mock.MagicMock(), mock.MagicMock()
    copying.record_event.side_effect = lambda: len(log.lines)
    computing.wait_event.side_effect = lambda event: log.lines.append(f"wait {event}")

    def copy(batch: ParticleBatch, device: torch.device, non_blocking: bool) -> ParticleBatch:
        assert non_blocking
        log.lines.append(f"copy {int(batch.index[0])}")
        return batch

    with (
        mock.patch.multiple(
            torch.cuda,
            Stream=mock.Mock(return_value=copying),
            stream=mock.MagicMock(),
            current_stream=mock.Mock(return_value=computing),
        ),
        mock.patch.multiple(
            ParticleBatch, pin_memory=lambda batch: batch, record_stream=mock.Mock(), to=copy
        ),
    ):
        yield log


def test_on_a_gpu_the_next_batch_is_copied_before_the_last_one_is_handed_out(gpu: _Log) -> None:
    batches = [random_batch([2, 2]).part(i, i + 1, 0, 2) for i in (0, 1)]
    feed = Feed(torch.device("cuda"), slotted=True, events=1)
    for batch in feed.ahead(iter(batches)):
        gpu.lines.append(f"step {int(batch.index[0])}")
    assert gpu.lines == ["copy 0", "copy 1", "wait 1", "step 0", "wait 2", "step 1"]
    assert list(feed.ahead(iter([]))) == []
