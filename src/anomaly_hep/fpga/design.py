"""The encoder for the chip: learned from a trained model, quantised, and as integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64

from anomaly_hep.atomic import atomic_path
from anomaly_hep.errors import CheckpointError
from anomaly_hep.fpga import student
from anomaly_hep.fpga.chipscore import ChipScore, check_kind, outputs_of, threshold
from anomaly_hep.fpga.events import Jets
from anomaly_hep.fpga.fixedpoint import whole
from anomaly_hep.fpga.integers import IntegerEncoder
from anomaly_hep.fpga.quantize import integer_encoder
from anomaly_hep.fpga.source import Source, Timed
from anomaly_hep.fpga.student import Examples, Schedule
from anomaly_hep.fpga.verify import Stage
from anomaly_hep.models.layers.trigger import TriggerEncoder

_PRECISION = ("weight_bits", "activation_bits", "input_bits", "output_bits")


@dataclass(frozen=True, eq=False)
class Design:
    """What goes to the chip: the encoder float, quantised and as integers, its score and cut.

    The cut, in integers of the score, is set on validation background.
    """

    float_encoder: TriggerEncoder
    quantized: TriggerEncoder
    integers: IntegerEncoder
    score: ChipScore
    cut: int


def learn(
    source: Source,
    settings: Mapping[str, Any],
    jets: Mapping[str, Jets],
    directory: Path,
    seed: int,
    timed: Timed,
) -> Design:
    """Train the float and the quantised encoder, or load them where a run before did, and cut.

    settings: those of conf/fpga/design.yaml. The float encoder learns the model's score of all
    constituents on background, from several starts of which the best on validation background is
    kept; a model that has an encoder for a trigger gives its own. The quantised one starts from its
    weights and learns the same; a quantised model gives its own.
    """
    kind = settings["score"]
    check_kind(kind)
    ports = source.ports(settings)
    shape = {
        "ranges": [port.range for port in ports],
        "outputs": outputs_of(kind, settings["latent_dim"]),
        **{name: settings[name] for name in ("constituents", "phi", "rho")},
    }
    own = source.trigger
    examples, check = _examples(jets["training"]), _examples(jets["validation"])

    def trained(starts: list[TriggerEncoder], name: str) -> TriggerEncoder:
        path = directory / f"{name}.ckpt"
        if path.exists():
            return _load(starts[0], path)
        found = []
        with timed(f"train {name} encoder"):
            for number, start in enumerate(starts):
                how = Schedule(
                    settings[f"{name}_steps"],
                    settings[f"{name}_learning_rate"],
                    settings["batch_size"],
                    seed + number,
                )
                found.append(student.train(start, kind, examples, check, how))
        encoder, _ = min(found, key=lambda pair: pair[1])
        with atomic_path(path) as temporary:
            torch.save(encoder.state_dict(), temporary)
        return encoder

    if own is None:
        float_encoder = trained(_starts(shape, settings["float_starts"], seed), "float")
    else:
        float_encoder = student.floating(own, shape)
        examples, check = (
            replace(some, target=student.scores(float_encoder, kind, some.inputs))
            for some in (examples, check)
        )
    if own is not None and own.precision is not None:
        quantized = own
    else:
        precision = {name: settings[name] for name in _PRECISION}
        quantized = trained([student.quantized(float_encoder, shape, precision)], "quantized")
    integers = integer_encoder(quantized, ports).with_outputs(shape["outputs"])
    score = ChipScore(kind, integers.head.output, shape["outputs"])
    inputs, _ = integers.quantize(jets["validation"].inputs)
    cut = threshold(score(integers(inputs)), settings["rejection"])
    return Design(float_encoder, quantized, integers, score, int(cut))


def _starts(shape: Mapping[str, Any], number: int, seed: int) -> list[TriggerEncoder]:
    """Return float encoders with other random weights each."""
    found = []
    with torch.random.fork_rng(devices=[]):
        for offset in range(number):
            torch.manual_seed(seed + offset)
            found.append(TriggerEncoder(**shape, precision=None))
    return found


def _examples(jets: Jets) -> Examples:
    return Examples(torch.from_numpy(jets.inputs), torch.from_numpy(jets.score))


def _load(encoder: TriggerEncoder, path: Path) -> TriggerEncoder:
    try:
        encoder.load_state_dict(torch.load(path, weights_only=True))
    except Exception as error:  # a damaged file fails in any way its bytes happen to take
        raise CheckpointError(
            f"{path} is damaged ({type(error).__name__}: {str(error).splitlines()[0]}). "
            "Cure: remove it, and the same command trains it again"
        ) from error
    return encoder.eval()


def float_stages(design: Design, validation: Jets, test: Jets, rejection: float) -> list[Stage]:
    """Return the rows before quantisation, each with its own cut from validation background."""
    found = []
    count = design.integers.constituents
    kind = design.score.kind
    small = {
        name: student.scores(design.float_encoder, kind, torch.from_numpy(jets.inputs)).numpy()
        for name, jets in (("validation", validation), ("test", test))
    }
    for name, background, values in (
        ("float model, all constituents: torch", validation.score, test.score),
        (
            f"float model, {count} hardest constituents: torch",
            validation.score_of_hardest,
            test.score_of_hardest,
        ),
        (
            f"float trigger encoder, {count} hardest constituents: torch",
            small["validation"],
            small["test"],
        ),
    ):
        found.append(Stage(name, values, values > threshold(background, rejection)))
    return found


def quantized_stage(design: Design, inputs: Float[np.ndarray, "event constituent port"]) -> Stage:
    """Return the row of the quantised model: what Brevitas computes, in units of the last bit."""
    values = student.outputs(design.quantized, torch.from_numpy(inputs)).double().numpy()
    values = values[:, : design.score.outputs]
    latents = whole(values, design.integers.head.output.fraction, "Brevitas's outputs")
    return latent_stage("quantisation-aware model: Brevitas", design, latents)


def integer_stage(design: Design, inputs: Int64[np.ndarray, "event constituent port"]) -> Stage:
    """Return the row of the integer reference."""
    return latent_stage("integer reference: numpy", design, design.integers(inputs))


def latent_stage(name: str, design: Design, latents: Int64[np.ndarray, "event latent"]) -> Stage:
    """Return the row of an implementation that ends in the latent vector."""
    return score_stage(name, design, design.score(latents), {"latent": latents})


def score_stage(
    name: str,
    design: Design,
    scores: Int64[np.ndarray, " event"],
    more: Mapping[str, Int64[np.ndarray, "event ..."]],
) -> Stage:
    """Return the row of an implementation that gives integer scores."""
    fires = scores > design.cut
    integers = {"score": scores, "decision": fires.astype(np.int64), **more}
    return Stage(name, design.score.real(scores), fires, integers)
