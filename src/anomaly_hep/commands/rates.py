"""How fast a model trains and scores on given batches, beside what the machine can multiply."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from anomaly_hep.data.batch import ImageBatch, JaggedBatch, ParticleBatch
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.layers.product import product, rounded

PASSES = 3  # a training step multiplies about three times as much as a forward pass


class Clock:
    """Calls something again and again for `seconds`, `repeats` times."""

    def __init__(self, seconds: float, repeats: int) -> None:
        self.seconds, self.repeats = seconds, repeats

    def rate(self, call: Callable[[], Any], amount: float) -> dict[str, float]:
        """Return `amount` per second of wall time: best, median and worst of the repeats."""
        call()
        rates = []
        for _ in range(self.repeats):
            begin, calls = time.perf_counter(), 0
            while time.perf_counter() - begin < self.seconds / self.repeats or calls < 2:
                call()
                calls += 1
            rates.append(amount * calls / (time.perf_counter() - begin))
        return {"best": max(rates), "median": statistics.median(rates), "worst": min(rates)}


def product_rate(clock: Clock, batch: JaggedBatch, dtype: torch.dtype) -> dict[str, float]:
    """Return operations per second of matrix products as the networks of this data make them.

    Jets: particles x 64 x 128, as torch.mm and as the layers make it, the quicker one. Images: the
    product that a 3 x 3 convolution of 128 channels on 40 x 32 positions is, 9 x 128 x 128.
    """
    particles = isinstance(batch, ParticleBatch)
    rows = rounded(len(batch.known_types)) if isinstance(batch, ParticleBatch) else 8 * 40 * 32
    inner, outer = (64, 128) if particles else (9 * 128, 128)
    left, right = torch.randn(rows, inner).to(dtype), torch.randn(outer, inner).to(dtype)
    out = torch.empty(rows, outer, dtype=dtype)
    operations = 2.0 * left.numel() * outer
    with torch.inference_mode():
        rates = [
            clock.rate(lambda: torch.mm(left, right.t(), out=out), operations),
            clock.rate(lambda: product(left, right), operations),
        ]
    return max(rates, key=lambda rate: rate["best"])


def model_rates(
    model: AnomalyModel,
    batches: Sequence[JaggedBatch],
    clock: Clock,
    dtype: torch.dtype,
    products: float,
) -> dict[str, Any]:
    """Return events per second of training and scoring, ms for one event, shares of `products`.

    Scoring is measured for all scores, and for the score that needs the encoder alone.
    """
    events = float(sum(len(batch) for batch in batches))
    flops = model.flops(_rows(batches) / events)
    rates: dict[str, Any] = {
        "train": clock.rate(_training(model, batches, dtype), events)
        | {"flops_per_event": PASSES * flops["total"]}
    }
    model.eval()
    gc.collect()
    calls = {"score": (model.scores, flops["total"])}
    if encoder_score := getattr(model, "encoder_score", None):
        calls["encoder_score"] = (encoder_score, flops["encoder"])
    one = batches[0].part(0, 1, 0, int(batches[0].lengths[0]))
    with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        for name, (score, operations) in calls.items():
            rates[name] = clock.rate(partial(_each, score, batches), events)
            rates[name]["flops_per_event"] = operations
            rates[name]["one_event_milliseconds"] = _milliseconds(clock, partial(score, one))
    for rate in rates.values():
        rate["fraction_of_products"] = rate["best"] * rate["flops_per_event"] / products
    return rates


def _each(score: Callable[[Any], Any], batches: Sequence[JaggedBatch]) -> None:
    for batch in batches:
        score(batch)


def _rows(batches: Sequence[JaggedBatch]) -> int:
    return sum(int(batch.lengths.sum()) for batch in batches)


def _training(
    model: AnomalyModel, batches: Sequence[JaggedBatch], dtype: torch.dtype
) -> Callable[[], None]:
    """Return a function that makes one training step with each batch."""
    optimizer = torch.optim.AdamW(model.parameters(), amsgrad=True)
    images = isinstance(batches[0], ImageBatch)

    def train() -> None:
        for batch in batches:
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                loss = model.loss(batch, model.phase.name)["loss"]
            optimizer.zero_grad()
            loss.backward()
            if images:
                model.configure_gradient_clipping(optimizer)
            else:
                torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()

    return train


def _milliseconds(clock: Clock, call: Callable[[], Any]) -> dict[str, float]:
    """Return the time of one call on one thread: a trigger has one event at a time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rate = clock.rate(call, 1.0)
    torch.set_num_threads(threads)
    return {name: 1e3 / value for name, value in rate.items()}
