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
    lessons = _Lessons(
        settings, _examples(jets["training"]), _examples(jets["validation"]), directory, seed, timed
    )
    float_encoder, quantized = _encoders(source.trigger, shape, lessons)
    integers = integer_encoder(quantized, ports).with_outputs(shape["outputs"])
    score = ChipScore(kind, integers.head.output, shape["outputs"])
    inputs, _ = integers.quantize(jets["validation"].inputs)
    cut = threshold(score(integers(inputs)), settings["rejection"])
    return Design(float_encoder, quantized, integers, score, int(cut))


@dataclass(frozen=True, eq=False)
class _Lessons:
    """What encoders learn from and how, and where they are kept."""

    settings: Mapping[str, Any]
    examples: Examples
    validation: Examples
    directory: Path
    seed: int
    timed: Timed

    def learned(self, starts: list[TriggerEncoder], name: str) -> TriggerEncoder:
        """Return the best of several starts on validation background, or what is kept of it.

        name: 'float' or 'quantized', as the settings and the file have it.
        """
        path = self.directory / f"{name}.ckpt"
        if path.exists():
            return _load(starts[0], path)
        found = []
        with self.timed(f"train {name} encoder"):
            for number, start in enumerate(starts):
                how = Schedule(
                    self.settings[f"{name}_steps"],
                    self.settings[f"{name}_learning_rate"],
                    self.settings["batch_size"],
                    self.seed + number,
                )
                kind = self.settings["score"]
                found.append(student.train(start, kind, self.examples, self.validation, how))
        encoder, _ = min(found, key=lambda pair: pair[1])
        with atomic_path(path) as temporary:
            torch.save(encoder.state_dict(), temporary)
        return encoder

    def from_itself(self, encoder: TriggerEncoder) -> _Lessons:
        """Return the same lessons with the encoder's own score as what is to be learned."""
        kind = self.settings["score"]
        examples, validation = (
            replace(some, target=student.scores(encoder, kind, some.inputs))
            for some in (self.examples, self.validation)
        )
        return replace(self, examples=examples, validation=validation)


def _encoders(
    own: TriggerEncoder | None, shape: Mapping[str, Any], lessons: _Lessons
) -> tuple[TriggerEncoder, TriggerEncoder]:
    """Return the float and the quantised encoder; `own` is the model's, if it has one."""
    settings = lessons.settings
    if own is None:
        starts = _starts(shape, settings["float_starts"], lessons.seed)
        float_encoder = lessons.learned(starts, "float")
    else:
        float_encoder = student.floating(own, shape)
        lessons = lessons.from_itself(float_encoder)
    if own is not None and own.precision is not None:
        return float_encoder, own
    precision = {name: settings[name] for name in _PRECISION}
    start = student.quantized(float_encoder, shape, precision)
    return float_encoder, lessons.learned([start], "quantized")


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
