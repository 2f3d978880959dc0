"""The stages of the proof: what each implementation computes for the test events."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64

from anomaly_hep.fpga import distillation
from anomaly_hep.fpga.chipscore import threshold
from anomaly_hep.fpga.design import Design
from anomaly_hep.fpga.fixedpoint import exact_integers
from anomaly_hep.fpga.integers import ChipEvents
from anomaly_hep.fpga.masstable import quantiles
from anomaly_hep.fpga.trigger_inputs import Jets
from anomaly_hep.fpga.verify import Stage


def float_stages(
    design: Design, jets: Mapping[str, Jets], rejection: float, score: str | None
) -> list[Stage]:
    """Return the stages before quantisation, each with a threshold of its own.

    It is set on validation background or, where it depends on the mass, on training background.
    `jets` are those of 'training', 'validation' and 'test', `score` is that of the model which was
    learned, None for that of its encoder.
    """
    model = "float model" if score is None else f"float model's {score}"
    hardest = f"{design.integers.constituents} hardest constituents"
    students = {
        name: distillation.scores(
            design.float_encoder,
            design.score.name,
            torch.from_numpy(part.inputs),
            torch.from_numpy(part.context),
        ).numpy()
        for name, part in jets.items()
    }
    scores = {
        f"{model}, all constituents": {n: part.score for n, part in jets.items()},
        f"{model}, {hardest}": {n: part.score_of_hardest for n, part in jets.items()},
        f"float trigger encoder, {hardest}": students,
    }
    return [
        Stage(f"{name}: torch", *_cut(design, values, jets, rejection))
        for name, values in scores.items()
    ]


def _cut(
    design: Design,
    scores: Mapping[str, Float[np.ndarray, " _"]],
    jets: Mapping[str, Jets],
    rejection: float,
) -> tuple[Float[np.ndarray, " event"], Bool[np.ndarray, " event"]]:
    """Return what is cut on, of the test events, and which of them fire."""
    if design.table is None:
        return scores["test"], scores["test"] > threshold(scores["validation"], rejection)
    fit = quantiles(design.table.column, scores["training"], jets["training"].mass)
    values = fit.score(np.stack([scores["test"], jets["test"].mass], axis=1))
    return values, values > math.log(rejection)


def quantized_stage(design: Design, test: Jets, events: ChipEvents) -> Stage:
    """Return the stage of the quantised model: Brevitas's outputs, in units of the last bit."""
    seen = (torch.from_numpy(values) for values in (test.inputs, test.context))
    real = distillation.outputs(design.quantized, *seen).double().numpy()
    latents = exact_integers(
        real[:, : design.score.outputs], design.integers.head.output.fraction, "Brevitas's outputs"
    )
    return stage_of("quantisation-aware model: Brevitas", design, {"latent": latents}, events)


def integer_stage(design: Design, events: ChipEvents) -> Stage:
    """Return the stage of the integer reference."""
    latents = {"latent": design.integers(events.inputs, events.context)}
    return stage_of("integer reference: numpy", design, latents, events)


def stage_of(
    name: str,
    design: Design,
    outputs: Mapping[str, Int64[np.ndarray, "event ..."]],
    events: ChipEvents,
) -> Stage:
    """Return the stage of an implementation from its integer outputs for the first `events`.

    A missing score, quantile or decision is computed from the output before it, if there is one.
    """
    integers: dict[str, Any] = dict(outputs)
    masses = events.masses[: len(next(iter(integers.values())))]
    if "latent" in integers:
        integers.setdefault("score", design.score(integers["latent"]))
    if "score" in integers:
        integers = design.decide(integers["score"], masses) | integers
    elif "quantile" in integers and design.table is not None:
        fires = integers["quantile"] > design.table.deciding
        integers.setdefault("decision", fires.astype(np.int64))
    fires = integers["decision"] == 1
    # an implementation without a score is ranked by its decision
    known = "score" in integers
    scores = design.rank(integers["score"], masses) if known else fires.astype(float)
    return Stage(name, scores, fires, integers)
