"""Replaying steps, with stand-ins for what only a GPU has: streams, and a graph of kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException

from anomaly_hep.data.batch import ParticleBatch
from anomaly_hep.errors import ConfigError
from anomaly_hep.models.compiled import Replayed
from anomaly_hep.models.noise import Noise, drawn
from tests.models.jets import random_batch


class Model:
    """All that `Replayed` asks of a model: where its noise comes from."""

    def __init__(self) -> None:
        self.step = 0
        self.noise = Noise(lambda: torch.Generator().manual_seed(self.step))
        self.calls: list[str] = []

    def function(self, name: str) -> Callable[[ParticleBatch], list[Tensor]]:
        def compute(batch: ParticleBatch) -> list[Tensor]:
            self.calls.append(name)
            noise = self.noise(torch.randn, (len(batch),), torch.device("cpu"))
            return [batch.features.sum(), noise + batch.weight]

        return compute


def batch_of(seed: int, events: int = 4) -> ParticleBatch:
    return random_batch([3, 1, 2], seed=seed).slotted(events)


def expected(batch: ParticleBatch, step: int) -> list[Tensor]:
    noise = drawn(torch.randn, (len(batch),), torch.Generator().manual_seed(step))
    return [batch.features.sum(), noise + batch.weight]


def test_the_first_batch_of_a_shape_is_plain_and_all_get_the_noise_of_their_step() -> None:
    model = Model()
    replayed = Replayed(model, model.function("plain"), model.function("compiled"), required=True)
    for step, events in enumerate([4, 4, 6, 4, 6]):
        model.step = step
        batch = batch_of(step, events)
        torch.testing.assert_close(replayed(batch), expected(batch, step))
    assert model.calls == ["plain", "compiled", "plain", "compiled", "compiled"]


def test_what_does_not_compile_is_refused_or_computed_as_it_is() -> None:
    def fails(batch: Any) -> list[Tensor]:
        raise TorchDynamoException("a shape\nof many lines")

    for required in (True, False):
        model = Model()
        replayed = Replayed(model, model.function("plain"), fails, required=required)
        replayed(batch_of(0))
        if required:
            with pytest.raises(ConfigError, match=r"Model does not compile \(a shape\)\. Cure"):
                replayed(batch_of(1))
            continue
        with pytest.warns(UserWarning, match="computes as it is"):
            found = replayed(batch_of(1))
        torch.testing.assert_close(found, expected(batch_of(1), 0))
        torch.testing.assert_close(replayed(batch_of(2)), expected(batch_of(2), 0))
        assert model.calls == ["plain"] * 3


class Graph:
    """A graph whose kernels are one Python function: it reads and writes the same memory always."""

    captured: Graph | None = None

    def __init__(self) -> None:
        self.kernels: Callable[[], list[Tensor]] | None = None
        self.result: list[Tensor] = []
        self.replays = 0

    def pool(self) -> str:
        return "pool"

    def replay(self) -> None:
        assert self.kernels is not None
        self.replays += 1
        for kept, new in zip(self.result, self.kernels(), strict=True):
            kept.copy_(new)


RANDN = torch.randn


def unpinned(*size: Any, pin_memory: bool = False, **options: Any) -> Tensor:
    """torch.randn, on a machine that has no memory to pin."""
    return RANDN(*size, **options)


@contextmanager
def a_gpu() -> Iterator[list[Graph]]:
    """Let tensors of the CPU pass for ones of a GPU."""
    graphs: list[Graph] = []

    def make() -> Graph:
        graphs.append(Graph())
        return graphs[-1]

    with (
        mock.patch.multiple(
            torch.cuda,
            CUDAGraph=make,
            graph=mock.MagicMock(),
            stream=mock.MagicMock(),
            Stream=mock.MagicMock,
            current_stream=mock.MagicMock,
        ),
        mock.patch.object(torch.Tensor, "is_cuda", True),
        mock.patch.object(torch, "randn", unpinned),
    ):
        yield graphs


def test_a_captured_graph_reads_each_batch_and_its_noise_where_it_was_captured() -> None:
    model = Model()
    recorded: list[Any] = []

    def compiled(batch: ParticleBatch) -> list[Tensor]:
        given = list(model.noise.given or [])

        def kernels() -> list[Tensor]:
            return [batch.features.sum(), given[0] + batch.weight]

        result = kernels()
        recorded.append((kernels, result))
        return result

    with a_gpu() as graphs:
        replayed = Replayed(model, model.function("plain"), compiled, required=True)
        for step in range(6):
            model.step = step
            batch = batch_of(step)
            if step == 3:
                # the capture launches nothing: what it returns is filled by the replay
                with mock.patch.object(Graph, "replay"):
                    replayed(batch)
                graphs[0].kernels, graphs[0].result = recorded[-1]
            torch.testing.assert_close(replayed(batch), expected(batch, step))
    assert model.calls == ["plain"]
    # two to warm up, one captured; from then on nothing of Python runs
    assert len(recorded) == 3
    assert len(graphs) == 1
    assert graphs[0].replays == 3
