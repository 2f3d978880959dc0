"""The designs that are trained to a budget of logic, and which of them becomes the chip."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anomaly_hep.errors import CheckpointError, ExportError
from anomaly_hep.fpga import budget, distillation, from_brevitas, from_learned, starts
from anomaly_hep.fpga.budget import Candidate
from anomaly_hep.fpga.chipscore import outputs_of
from anomaly_hep.fpga.design_settings import DesignSettings
from anomaly_hep.fpga.distillation import Lesson
from anomaly_hep.fpga.integers import IntegerEncoder, Port
from anomaly_hep.fpga.starts import Start, Trained
from anomaly_hep.models.layers.trigger import TriggerEncoder


@dataclass(frozen=True, eq=False)
class Alternative:
    """A trained design: whether its widths are learned, its start, and what it became.

    `in_budget`: whether it is its start's best within the budget; `chosen`: whether it is the one
    that becomes the chip. Designs with fixed widths are neither.
    """

    learned: bool
    start: int
    candidate: Candidate
    float_encoder: TriggerEncoder
    quantized: TriggerEncoder
    integers: IntegerEncoder
    in_budget: bool = False
    chosen: bool = False


def shape_of(
    settings: DesignSettings, ports: Sequence[Port], context: Sequence[Port]
) -> dict[str, Any]:
    """Return the shape of the network with fixed widths, as `TriggerEncoder` takes it."""
    return {
        "ranges": [port.range for port in ports],
        "outputs": outputs_of(settings.score, settings.latent_dim),
        "constituents": settings.constituents,
        "phi": list(settings.phi),
        "rho": list(settings.rho),
        "context_ranges": [port.range for port in context],
    }


def train_to_budget(
    settings: DesignSettings,
    lesson: Lesson,
    ports: tuple[Port, ...],
    context: tuple[Port, ...],
    directory: Path,
    seed: int,
) -> list[Alternative]:
    """Return the designs with fixed widths and those with learned ones, from several starts each.

    What is in the directory from an earlier try is not trained again. Raises ExportError if no
    design comes down to the budget.
    """
    own = settings.learned
    fixed = shape_of(settings, ports, context)
    outputs = outputs_of(settings.score, own.latent_dim)
    learned = {**fixed, "outputs": outputs, "phi": list(own.phi), "rho": list(own.rho)}
    jobs: list[tuple[Callable[[Start], None], Start]] = []
    for work, shape, name in (
        (starts.learned_widths, learned, "learned"),
        (starts.fixed_widths, fixed, "fixed"),
    ):
        for number in range(1, own.starts + 1):
            path = directory / "starts" / f"{name}-{number}.ckpt"
            start = Start(settings, shape, ports, context, lesson, number, seed + number - 1, path)
            jobs.append((work, start))
    starts.train(jobs)
    found = [
        alternative
        for work, start in jobs
        for alternative in _loaded(start, learned=work is starts.learned_widths)
    ]
    return _with_choice(found, settings)


def _loaded(start: Start, *, learned: bool) -> list[Alternative]:
    trained = Trained.load(start.path)
    float_encoder = TriggerEncoder(**start.shape, precision=None)
    _fill(float_encoder, trained.float_state, start.path)
    assert start.settings.target_lut is not None
    best = budget.chosen(trained.candidates, start.settings.target_lut) if learned else None
    found = []
    for candidate in trained.candidates:
        quantized: TriggerEncoder
        if learned:
            quantized = own = start.learned(float_encoder)
            _fill(quantized, candidate.state, start.path)
            integers = from_learned.integer_encoder(own, start.ports, start.context)
        else:
            precision = start.settings.precision
            quantized = distillation.quantized_copy(float_encoder, start.shape, precision)
            _fill(quantized, candidate.state, start.path)
            integers = from_brevitas.integer_encoder(quantized, start.ports, start.context)
        found.append(
            Alternative(
                learned,
                start.number,
                candidate,
                float_encoder.eval(),
                quantized.eval(),
                integers,
                in_budget=candidate is best,
            )
        )
    return found


def _fill(encoder: TriggerEncoder, state: Mapping[str, Any], path: Path) -> None:
    """Give an encoder its weights; raises CheckpointError for those of another version."""
    try:
        encoder.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} was written by another version. Cure: remove it, and the same command trains "
            "it again"
        ) from error


def _with_choice(found: Sequence[Alternative], settings: DesignSettings) -> list[Alternative]:
    """Mark the design that agrees best with the teacher among those in the budget."""
    within = [alternative for alternative in found if alternative.in_budget]
    if not within:
        luts = [alternative.candidate.lut for alternative in found if alternative.learned]
        raise ExportError(
            f"no design came down to fpga.target_lut={settings.target_lut}: they have "
            f"{min(luts):,} to {max(luts):,} LUTs. Cure: more fpga.learned.steps, or a larger "
            "fpga.target_lut"
        )
    best = max(within, key=lambda alternative: alternative.candidate.agreement)
    return [replace(a, chosen=True) if a is best else a for a in found]


def the_chosen(alternatives: Sequence[Alternative]) -> Alternative:
    """Return the design that becomes the chip."""
    return next(alternative for alternative in alternatives if alternative.chosen)
