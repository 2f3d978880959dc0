"""How fast a model trains and scores, compared with the machine's matrix products."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from anomaly_hep.data.batch import JaggedBatch, VectorBatch
from anomaly_hep.data.embedded import Stage
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.compiled import Replayed, TrainingStep
from anomaly_hep.models.execution import Execution
from anomaly_hep.models.layers.product import product
from anomaly_hep.models.optimization import configured
from anomaly_hep.models.phase import Phase

PASSES = 3  # a training step has about three times the operations of a forward pass
_PROFILED = 5  # steps


class Clock:
    """Times repeated calls on a device: `repeats` measurements that share `seconds`."""

    def __init__(self, seconds: float, repeats: int, device: torch.device) -> None:
        self.seconds, self.repeats, self.device = seconds, repeats, device

    def rate(self, call: Callable[[], Any], amount: float) -> dict[str, float]:
        """Return `amount` per second of wall time: best, median and worst of the repeats."""
        for _ in range(4):  # compiled by the second call, captured by the fourth
            call()
        self.settle()
        rates = []
        for _ in range(self.repeats):
            begin, calls = time.perf_counter(), 0
            while time.perf_counter() - begin < self.seconds / self.repeats or calls < 2:
                call()
                self.settle()
                calls += 1
            rates.append(amount * calls / (time.perf_counter() - begin))
        return {"best": max(rates), "median": statistics.median(rates), "worst": min(rates)}

    def settle(self) -> None:
        """Wait until the device has finished its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def product_rate(clock: Clock, sizes: Sequence[int], dtype: torch.dtype) -> dict[str, float]:
    """Return operations per second of the product of rows x inputs with outputs x inputs.

    The faster one of torch.mm and the product that the layers use.
    """
    rows, inner, outer = sizes
    left = torch.randn(rows, inner, device=clock.device).to(dtype)
    right = torch.randn(outer, inner, device=clock.device).to(dtype)
    out = torch.empty(rows, outer, dtype=dtype, device=clock.device)
    operations = 2.0 * left.numel() * outer
    with torch.inference_mode():
        rates = [
            clock.rate(lambda: torch.mm(left, right.t(), out=out), operations),
            clock.rate(lambda: product(left, right), operations),
        ]
    return max(rates, key=lambda rate: rate["best"])


@contextmanager
def one_busy_process() -> Iterator[None]:
    """Run another process that computes all the time, as on a shared machine."""
    process = get_context("spawn").Process(target=_compute, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def _compute() -> None:
    number = 1
    while True:
        number = number * 6364136223846793005 % 2**61


class ModelRates:
    """Rates of training and scoring one model on given batches, in one precision."""

    def __init__(
        self,
        model: AnomalyModel,
        batches: Sequence[JaggedBatch],
        execution: Execution,
        dtype: torch.dtype,
        clip: float | None,
    ) -> None:
        """`clip` bounds the norm of all gradients, unless the model clips each tensor."""
        self.model, self.execution, self.dtype, self.clip = model, execution, dtype, clip
        self.events = float(sum(len(batch) for batch in batches))
        self.flops = model.flops(sum(int(b.lengths.sum()) for b in batches) / self.events)
        self.one = batches[0].part(0, 1, 0, int(batches[0].lengths[0]))
        model.to(execution.device)
        feed = execution.feed(max(len(batch) for batch in batches))
        self.batches = [feed(batch) for batch in batches]

    def measure(self, clock: Clock, products: float) -> dict[str, Any]:
        """Return events per second, ms for one event, and fractions of the rate `products`.

        Scoring is measured for all scores, and for the score that needs the encoder alone. A phase
        among several trains a part of the network, whose operations are not counted.
        """
        rates: dict[str, Any] = {}
        for phase in self.model.phases:
            name, step, batches = self._training(phase)
            rates[name] = clock.rate(partial(_each, step, batches), _number(batches))
            if len(self.model.phases) == 1:
                rates[name]["flops_per_event"] = PASSES * self.flops["total"]
            if clock.device.type == "cuda":
                rates[name] |= _launches(partial(step, batches[0]))
        for name, (score, operations) in self._scores().items():
            single_event = partial(score, self.execution.feed(1)(self.one))
            rates[name] = clock.rate(partial(_each, score, self.batches), self.events)
            rates[name]["flops_per_event"] = operations
            rates[name]["one_event_milliseconds"] = _milliseconds(clock, single_event)
        for rate in rates.values():
            if "flops_per_event" in rate:
                rate["fraction_of_products"] = rate["best"] * rate["flops_per_event"] / products
        return rates

    def beside(self, clock: Clock) -> dict[str, dict[str, float]]:
        """Return only the events per second of training and scoring, for a busy machine."""
        rates = {}
        for phase in self.model.phases:
            name, step, batches = self._training(phase)
            rates[name] = clock.rate(partial(_each, step, batches), _number(batches))
        for name, (score, _) in self._scores().items():
            rates[name] = clock.rate(partial(_each, score, self.batches), self.events)
        return rates

    def _training(
        self, phase: Phase
    ) -> tuple[str, Callable[[JaggedBatch], None], Sequence[JaggedBatch]]:
        """Return what a phase is called, a function that makes one step of it, and its batches.

        A phase that sees labels gets those of two classes in turn, one whose first stage is frozen
        the vectors of the events.
        """
        model, batches = self.model, self.batches
        model.begin(phase)
        name = "train" if len(model.phases) == 1 else f"train {phase.name}"
        if phase.labels:
            batches = [replace(batch, label=batch.index % 2) for batch in batches]
        if model.embeds(phase):
            stage = Stage(model.embed, self._autocast)
            events = VectorBatch.joined([stage(batch) for batch in batches])
            size = phase.batch_size or len(batches[0])
            starts = range(0, len(events) - size + 1, size)
            batches = [events.part(start, start + size, 0, 0) for start in starts]
            if self.execution.slotted:
                batches = [batch.slotted(size, 1) for batch in batches]
        return name, self._step(phase), batches

    def _step(self, phase: Phase) -> Callable[[JaggedBatch], None]:
        """Return a function that makes one training step, as in a run."""
        model = self.model
        optimizer: torch.optim.Optimizer = configured(phase, model, 10**9)["optimizer"]
        parameters = [p for p in model.parameters() if p.requires_grad]

        def clip() -> None:
            if phase.clip_each_tensor is not None:
                model.clip(optimizer, None, None)
            elif self.clip is not None:
                torch.nn.utils.clip_grad_norm_(parameters, self.clip)

        compiled = self.execution.compiled
        fused = None if compiled is False else TrainingStep(model, clip, required=bool(compiled))

        def step(batch: JaggedBatch) -> None:
            with self._autocast():
                if fused:
                    fused(batch, phase.name)
                else:
                    loss = model.loss(batch, phase.name)["loss"]
            if not fused:
                optimizer.zero_grad()
                loss.backward()
                clip()
            optimizer.step()

        return step

    def _scores(self) -> dict[str, tuple[Callable[[JaggedBatch], Any], float]]:
        """Return the scoring functions of a batch, with their operations per event, by name."""
        self.model.eval()
        functions = {"scores": (self.model.outputs, self.flops["total"])}
        if encoder_score := getattr(self.model, "encoder_score", None):
            functions["encoder"] = (encoder_score, self.flops["encoder"])
        return {name: (self._scoring(score), flops) for name, (score, flops) in functions.items()}

    def _scoring(self, score: Callable[[Any], Any]) -> Callable[[JaggedBatch], Any]:
        call = score
        if self.execution.compiled is not False and not self.model.waits_for_host:
            compiled = torch.compile(score, fullgraph=True, dynamic=False)
            required = bool(self.execution.compiled)
            call = Replayed(self.model, score, compiled, required=required)

        def run(batch: JaggedBatch) -> Any:
            with torch.inference_mode(), self._autocast():
                return call(batch)

        return run

    def _autocast(self) -> torch.autocast:
        low = self.dtype != torch.float32
        return torch.autocast(self.execution.device.type, torch.bfloat16, enabled=low)


def _number(batches: Sequence[JaggedBatch]) -> float:
    """Return the number of events of some batches."""
    return float(sum(batch.events for batch in batches))


def _each(call: Callable[[Any], Any], batches: Sequence[JaggedBatch]) -> None:
    for batch in batches:
        call(batch)


def _milliseconds(clock: Clock, call: Callable[[], Any]) -> dict[str, float]:
    """Return the time of one call on one thread: a trigger sees one event at a time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rate = clock.rate(call, 1.0)
    torch.set_num_threads(threads)
    return {name: 1e3 / value for name, value in rate.items()}


def _launches(step: Callable[[], None]) -> dict[str, float]:
    """Return how many kernels a step runs on the GPU, and how often the host waits for it."""
    step()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        for _ in range(_PROFILED):
            step()
    kernels, names = 0, Counter[str]()
    for event in profiled.events() or []:
        on_device = event.device_type.name == "CUDA"
        kernels += on_device and not event.name.startswith(("Memcpy", "Memset"))
        names[event.name] += not on_device
    waits = sum(count for name, count in names.items() if name.endswith("Synchronize"))
    # the profiler itself waits once, at its end
    return {"kernels": kernels / _PROFILED, "host_waits": max(waits - 1, 0) / _PROFILED}
