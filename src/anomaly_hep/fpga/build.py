"""A firmware run: from a checkpoint to the exports, the comparison and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Shaped

from anomaly_hep.atomic import write_text
from anomaly_hep.data.particles import ParticleReading
from anomaly_hep.evaluate.figures.style import save
from anomaly_hep.evaluate.intervals import Interval, binomial
from anomaly_hep.evaluate.thresholds import Thresholds
from anomaly_hep.fpga import budget_figure, firmware_figures
from anomaly_hep.fpga.comparison import compared
from anomaly_hep.fpga.decorrelation import measured
from anomaly_hep.fpga.design import Design, learn
from anomaly_hep.fpga.design_settings import ChipSettings, DesignSettings, check_cycles
from anomaly_hep.fpga.export import Physical, ProofEvents, export
from anomaly_hep.fpga.firmware_page import firmware_page
from anomaly_hep.fpga.flows import FLOWS
from anomaly_hep.fpga.inputs import PinConversion
from anomaly_hep.fpga.integers import ChipEvents, IntegerEncoder, Port
from anomaly_hep.fpga.source import SPLITS, Source, Timed
from anomaly_hep.fpga.stages import (
    Wide,
    float_stages,
    integer_stage,
    quantized_stage,
    stage_of,
    wide_stage,
)
from anomaly_hep.fpga.stimuli import Stimuli
from anomaly_hep.fpga.summary import (
    ClippedSummary,
    DesignSummary,
    FirmwareSummary,
    LayerSummary,
    PortSummary,
    RateSummary,
    StimuliSummary,
    SumSummary,
)
from anomaly_hep.fpga.targets import Targets
from anomaly_hep.fpga.trigger_inputs import Jets
from anomaly_hep.fpga.verify import Stage, compare, refuse_differences

_IN_RTL_ALONE = (
    "The port of the mass and the thresholds by mass are in the RTL alone: the projects of hls4ml "
    "and FINN end with the score or the latent vector, and in their rows numpy decides."
)
_WEIGHTS = (
    "The events have weights ({}), which are not used: in the training of the encoder, for the "
    "threshold and in the efficiencies each event counts once."
)


def build(
    source: Source,
    requested: DesignSettings,
    seed: int,
    path: Path,
    timed: Timed,
    seconds: Mapping[str, float],
    thresholds: Thresholds | None,
) -> None:
    """Make firmware and its proof in a run directory, or complete what is missing.

    Writes fpga.json, figures/ and report.html, then raises ExportError if an export does not equal
    the quantised model. `seconds` are the durations that `timed` has measured. `thresholds` set
    the rejection of `requested`, if given.
    """
    settings = source.settings(requested)
    check_cycles(settings.constituents, settings.cycles)
    jets = {name: source.jets(name, settings, path, timed) for name in SPLITS}
    design = learn(source, settings, jets, path, seed, timed)
    test = jets["test"]
    inputs, clipped = design.integers.quantize(test.inputs)
    context, cut = design.integers.quantize_context(test.context)
    masses = np.zeros(len(test), np.int64)
    if design.table is not None:
        masses, _ = design.table.quantize(test.mass)
    events = ChipEvents(inputs, masses, context if design.integers.context else None)
    mass = None if design.table is None else design.table.mass
    stimuli = Stimuli(design.integers, events, mass, settings.proof_events, seed)
    with timed("integer reference, all events"):
        wide = wide_stage(design, stimuli)
    proof = _proof_events(source, settings, design, stimuli, wide, test, path, timed)
    with timed("float, Brevitas and integer scores"):
        stages = [
            *float_stages(design, jets, settings.rejection, settings.teacher),
            quantized_stage(design, test, events),
            integer_stage(design, events),
        ]
    requested_flows = {n: f for n, f in FLOWS.items() if getattr(settings, n) is not None}
    alone = len(requested_flows) == 1
    exports = [
        export(name, flow, design, proof, settings, path, timed, alone=alone)
        for name, flow in requested_flows.items()
    ]
    for results in exports:
        stages += [
            stage_of(name, design, found, wide.masses) for name, found in results.integers.items()
        ]
    comparisons = compare(stages, test.labels, source.background, settings.rejection, wide.stage)
    chip = next(stage for stage in stages if stage.integers)
    firing = _firing(chip, test.labels == source.background)
    decorrelation = None
    if design.table is not None:
        decorrelation = measured(
            design, design.table, chip, test, source.background, settings.rejection
        )
    budget = compared(design, settings, test, source.background, timed)
    summary = FirmwareSummary(
        stages=tuple(comparisons),
        resources=tuple(row for results in exports for row in results.resources),
        seconds=dict(seconds),
        exact=all(comparison.exact for comparison in comparisons),
        model=source.summary(settings),
        events=_counts(test.labels),
        background=source.background,
        design=_design_summary(design, settings),
        background_firing=firing,
        inputs_beyond_range=_clipped_summary(np.hstack([clipped, cut]), design.integers),
        remarks=(
            *_learned(source, settings, jets),
            *([_WEIGHTS.format(source.weight)] if source.weight else []),
            *(remark for results in exports for remark in results.remarks),
            *([_IN_RTL_ALONE] if design.table and (settings.hls4ml or settings.finn) else []),
        ),
        decorrelation=decorrelation,
        rate=None if thresholds is None else _rate(thresholds, firing),
        stimuli=StimuliSummary(len(events), len(stimuli), *wide.coverage.counts),
        budget=budget,
    )
    _write(path, summary, stages, chip, test)
    refuse_differences(comparisons)


def _write(
    path: Path, summary: FirmwareSummary, stages: Sequence[Stage], chip: Stage, test: Jets
) -> None:
    """Write fpga.json, the figures and the page of a run; `chip` is the quantised model's stage."""
    write_text(path / "fpga.json", summary.to_json())
    figures, rejection = path / "figures", summary.design.rejection
    if summary.stages[0].efficiency:
        save(firmware_figures.efficiencies(summary), figures / "efficiencies.png")
    floats = [stage for stage in stages if not stage.integers]
    agreement = firmware_figures.agreement(chip, floats[-1], test.labels, summary)
    save(agreement, figures / "agreement.png")
    if summary.decorrelation is not None:
        passing = firmware_figures.passing(summary.decorrelation, rejection)
        save(passing, figures / "passing.png")
    if summary.budget is not None and summary.budget.model:
        save(budget_figure.budget(summary.budget, rejection), figures / "budget.png")
    write_text(path / "report.html", firmware_page(path, summary))


def _proof_events(
    source: Source,
    settings: DesignSettings,
    design: Design,
    stimuli: Stimuli,
    wide: Wide,
    test: Jets,
    path: Path,
    timed: Timed,
) -> ProofEvents:
    """Return the events of the proof, with the particles of the data's if they are wanted."""
    particles = None
    if settings.emulator is not None and not design.integers.context:
        particles = source.particles(settings, path, timed)
    if particles is None:
        return ProofEvents(stimuli, wide.stage.integers)
    assert isinstance(source.reading, ParticleReading)
    conversion = PinConversion.of(source.reading, design.integers, particles)
    return ProofEvents(
        stimuli, wide.stage.integers, Physical(particles, test.mass, conversion, stimuli.mass)
    )


def _counts(labels: Shaped[np.ndarray, " event"]) -> dict[str, int]:
    return dict(
        zip(*(values.tolist() for values in np.unique(labels, return_counts=True)), strict=True)
    )


def _firing(stage: Stage, background: Bool[np.ndarray, " event"]) -> Interval:
    fires = stage.fires[background]
    return binomial(int(fires.sum()), len(fires))


def _rate(thresholds: Thresholds, firing: Interval) -> RateSummary:
    background = Interval(*(share * thresholds.input_rate_hz for share in firing))
    return RateSummary(thresholds.wanted_hz, thresholds.input_rate_hz, background)


def _clipped_summary(
    clipped: Bool[np.ndarray, "event port"], encoder: IntegerEncoder
) -> ClippedSummary:
    names = [port.name for port in (*encoder.ports, *encoder.context)]
    shares = dict(zip(names, clipped.mean(axis=0).tolist(), strict=True))
    return ClippedSummary(float(clipped.any(axis=1).mean()), shares)


def _learned(source: Source, settings: DesignSettings, jets: Mapping[str, Jets]) -> list[str]:
    """Return a remark on the targets; a model's own trigger encoder has learned none."""
    if source.trigger is not None:
        return []
    name = source.learned(settings)
    targets = Targets.of(jets["training"].score, name)
    return [targets.remark(name, jets["test"].score)]


def _port_summaries(ports: Sequence[Port], encoder: IntegerEncoder) -> tuple[PortSummary, ...]:
    types = [port.type(encoder.input) for port in ports]
    return tuple(
        PortSummary(port.name, str(kind), kind.lsb, port.center, port.scale)
        for port, kind in zip(ports, types, strict=True)
    )


def _design_summary(design: Design, settings: DesignSettings) -> DesignSummary:
    encoder, score = design.integers, design.score
    if settings.target_lut is not None:
        own = settings.learned
        settings = replace(settings, phi=own.phi, rho=own.rho, latent_dim=own.latent_dim)
    return DesignSummary(
        **{field.name: getattr(settings, field.name) for field in fields(ChipSettings)},
        threshold=design.threshold,
        score_type=str(score.type),
        threshold_value=float(score.real(np.array([design.threshold]))[0]),
        ports=_port_summaries(encoder.ports, encoder),
        context=_port_summaries(encoder.context, encoder),
        layers=tuple(
            LayerSummary(
                layer.name,
                layer.weight.shape,
                float((layer.weight == 0).mean()),
                str(layer.input),
                str(layer.accumulator),
                str(layer.output),
            )
            for layer in encoder.layers
        ),
        sum=SumSummary(str(encoder.sum), str(encoder.pool)),
    )
