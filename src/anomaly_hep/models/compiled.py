"""Compiled steps on slotted batches, captured and replayed as one graph on CUDA."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException

from anomaly_hep.data.batch import JaggedBatch
from anomaly_hep.errors import ConfigError
from anomaly_hep.models.noise import drawn
from anomaly_hep.models.outputs import EventOutputs

if TYPE_CHECKING:
    from anomaly_hep.models.base import AnomalyModel
    from anomaly_hep.models.stepping import SteppedModule

T = TypeVar("T")
# runs of a compiled function before its kernels are captured: the first compiles and chooses
# kernels, the second allocates the memory that is kept
_WARM_UP = 2


@dataclass
class _Shape:
    """Batches of one shape: the noise that they need, and on CUDA static memory and a graph."""

    asked: list[tuple[Callable[..., Tensor], torch.Size]]
    batch: JaggedBatch | None = None
    numbers: list[Tensor] = field(default_factory=list)
    runs: int = 0
    graph: Any = None
    result: Any = None


class Replayed(Generic[T]):
    """A compiled function of slotted batches that needs none of their values on the host.

    plain: the function; compiled: the same with its inner part compiled. The first batch of each
    shape goes through `plain`, to record the noise that it draws. required: whether a function that
    does not compile is an error; if not, `plain` is used, with a warning. The next call may
    overwrite the returned tensors.
    """

    def __init__(
        self,
        model: SteppedModule,
        plain: Callable[[Any], T],
        compiled: Callable[[Any], T],
        *,
        required: bool,
    ) -> None:
        self.model, self.plain, self.required = model, plain, required
        self.compiled: Callable[[Any], T] | None = compiled
        self._shapes: dict[tuple[int | None, int], _Shape] = {}
        self._pool: Any = None

    def __call__(self, batch: JaggedBatch) -> T:
        """Return the function's value for the batch."""
        if self.compiled is None:
            return self.plain(batch)
        key = batch.slots, len(batch)
        if key not in self._shapes:
            with self.model.noise.listening() as asked:
                result = self.plain(batch)
            self._shapes[key] = _Shape(asked)
            return result
        shape = self._shapes[key]
        cuda = batch.lengths.is_cuda
        rng = self.model.noise.rng
        numbers = [drawn(draw, size, rng(), pin_memory=cuda) for draw, size in shape.asked]
        if cuda:
            return self._on_cuda(shape, batch, numbers)
        return self._run(batch, numbers)

    def _run(self, batch: JaggedBatch, numbers: list[Tensor]) -> T:
        assert self.compiled is not None
        with self.model.noise.given_as(numbers):
            try:
                return self.compiled(batch)
            except TorchDynamoException as error:
                self._refuse(error)
        return self.plain(batch)

    def _refuse(self, error: Exception) -> None:
        """Continue without compilation, or raise ConfigError if it is required."""
        name, why = type(self.model).__name__, str(error).strip().splitlines()[0]
        if self.required:
            raise ConfigError(
                f"trainer.compile=on: {name} does not compile ({why}). Cure: trainer.compile=off"
            ) from error
        warnings.warn(f"{name} does not compile ({why}): it computes as it is", stacklevel=2)
        self.compiled = None

    def _on_cuda(self, shape: _Shape, batch: JaggedBatch, numbers: list[Tensor]) -> T:
        """Copy batch and noise into the static memory of the shape's graph, and replay it."""
        if shape.batch is None:
            shape.batch = batch.clone()
            shape.numbers = [torch.empty(n.shape, device=batch.lengths.device) for n in numbers]
        shape.batch.copy_(batch)
        for static, new in zip(shape.numbers, numbers, strict=True):
            static.copy_(new, non_blocking=True)
        if shape.runs < _WARM_UP:
            shape.runs += 1
            # on a side stream, like the capture that follows
            side, current = torch.cuda.Stream(), torch.cuda.current_stream()
            side.wait_stream(current)
            with torch.cuda.stream(side):
                result = self._run(shape.batch, shape.numbers)
            current.wait_stream(side)
            return result
        if shape.graph is None:
            shape.graph = torch.cuda.CUDAGraph()
            # capturing computes nothing; graphs never run concurrently, so they may share memory
            with torch.cuda.graph(shape.graph, pool=self._pool, capture_error_mode="thread_local"):
                shape.result = self._run(shape.batch, shape.numbers)
            self._pool = shape.graph.pool()
        shape.graph.replay()
        return cast(T, shape.result)


class TrainingStep:
    """One training step without the update: loss, gradients and their clipping.

    The update is one pass of a fused optimiser, whose learning rate changes from step to step.
    """

    def __init__(self, model: SteppedModule, clip: Callable[[], None], *, required: bool) -> None:
        self.clip = clip
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self._phase = ""
        compiled = torch.compile(model.loss, fullgraph=True, dynamic=False)
        self._replayed = Replayed(
            model, partial(self._work, model.loss), partial(self._work, compiled), required=required
        )

    def __call__(self, batch: JaggedBatch, phase: str) -> dict[str, Float[Tensor, ""]]:
        """Return the detached loss terms; the parameters get their clipped gradients.

        The phase must be the same in all calls.
        """
        self._phase = phase
        terms, gradients = self._replayed(batch)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        return {name: value.clone() for name, value in terms.items()}

    def _work(
        self, loss: Callable[[Any, str], dict[str, Tensor]], batch: JaggedBatch
    ) -> tuple[dict[str, Tensor], list[Tensor | None]]:
        with _uncached_autocast(batch.lengths.device.type):
            terms = loss(batch, self._phase)
        for parameter in self.parameters:
            parameter.grad = None
        with torch.autocast(batch.lengths.device.type, enabled=False):
            terms["loss"].backward()
            self.clip()
        detached = {name: value.detach() for name, value in terms.items()}
        return detached, [parameter.grad for parameter in self.parameters]


def replayed_outputs(model: AnomalyModel, *, required: bool) -> Callable[[Any], EventOutputs]:
    """Return the model's outputs as a function of slotted batches."""
    compiled = torch.compile(model.outputs, fullgraph=True, dynamic=False)
    return Replayed(model, model.outputs, compiled, required=required)


def _uncached_autocast(device: str) -> torch.autocast:
    """Return the active autocast without its cache of weights in low precision.

    A captured graph would otherwise reuse the weights of the step in which it was captured.
    """
    enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    return torch.autocast(device, dtype, enabled=enabled, cache_enabled=False)
