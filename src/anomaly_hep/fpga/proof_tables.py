"""The tables of a firmware run, for its page and for terminals and pipes of any width."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from anomaly_hep.evaluate.cells import NOTHING, Cell, percent
from anomaly_hep.evaluate.intervals import Interval
from anomaly_hep.evaluate.paper import load_paper
from anomaly_hep.evaluate.resulttable import Column, ResultTable, Row
from anomaly_hep.fpga.summary import (
    BudgetSummary,
    DecorrelationSummary,
    DesignPoint,
    EfficiencyAt,
    FirmwareSummary,
    RateSummary,
    StimuliSummary,
)


def proof(summary: FirmwareSummary) -> ResultTable:
    """Return how each implementation compares, and its mean efficiency over the signals."""
    return _table(
        f"Proof, {summary.measured_on}",
        ("events", "exactly equal", "off by [LSB]", "decisions differ", "mean efficiency [%]"),
        (
            (
                stage.implementation,
                [
                    *map(_count, (stage.events, stage.equal, stage.max_difference_lsb)),
                    _count(stage.decision_flips),
                    percent(*stage.mean_efficiency) if stage.mean_efficiency else NOTHING,
                ],
            )
            for stage in summary.stages
        ),
        "Float rows have their own threshold and are compared with the row above; all others with "
        "the quantised model, output by output in units of its last bit, at the chip's threshold. "
        f"Efficiencies at rejection {summary.design.rejection:g}, with 68 % intervals.",
        *_stimuli(summary.stimuli),
    )


def _stimuli(found: StimuliSummary | None) -> list[str]:
    """Return what the events are that are not of data."""
    if found is None or found.events == found.data:
        return []
    made = (
        f"Beyond {found.data:,} events they are made: data with bits flipped or particles "
        "exchanged, and random integers over all inputs, compared with the integer reference. "
    )
    return [made + f"{found.toggled_pins:,} of {found.pins:,} input pins took both values."]


def efficiencies(summary: FirmwareSummary) -> ResultTable:
    """Return the signal efficiencies of the implementations that differ in them."""
    paper = load_paper(summary.model.paper)
    signals = paper.ordered(summary.stages[0].efficiency)
    rows: dict[str, list[Cell]] = {}
    for stage in summary.stages:
        if set(signals) <= set(stage.efficiency):
            cells = [percent(*stage.efficiency[signal]) for signal in signals]
            if cells not in rows.values():
                rows[stage.implementation.split(": ")[0]] = cells
    title = f"Signal efficiency in % at rejection {summary.design.rejection:g}"
    return _table(title, [paper.text(signal) for signal in signals], rows.items())


def decorrelation(found: DecorrelationSummary) -> ResultTable:
    """Return what thresholds by mass do to the background that fires, beside one threshold."""
    rows = {"one threshold": found.single, "thresholds by mass": found.by_mass}
    return _table(
        f"Background that fires, by {found.column}",
        ("fires [%]", "least in a bin [%]", "most in a bin [%]", "relative entropy [nats]",
         "by chance [nats]", "mean efficiency [%]"),
        (
            (
                name,
                [
                    *(percent(*share) for share in (row.share, min(row.in_bins), max(row.in_bins))),
                    _nats(row.relative_entropy),
                    _nats(row.chance),
                    percent(*row.efficiency) if row.efficiency else NOTHING,
                ],
            )
            for name, row in rows.items()
        ),
        f"{len(found.edges) - 1} bins of {found.edges[0]:.4g} to {found.edges[-1]:.4g} GeV, "
        "equally full of test background. Relative entropy of its mass after the cut against "
        "before, and of a random cut of the same size. The thresholds by mass come from "
        f"{found.training_events:,} events of training background, the single one from validation "
        "background.",
    )  # fmt: skip


def rate(found: RateSummary) -> ResultTable:
    """Return the trigger rate that was asked for, and that of the chip."""
    value, low, high = found.background_hz
    cell = Cell(f"{value:.4g}", f"{low:.3g}-{high:.3g}")
    return _table(
        f"Trigger rate of {found.input_rate_hz:g} Hz",
        ("asked for [Hz]", "test background [Hz]"),
        [("the chip", [Cell(f"{found.wanted_hz:g}", ""), cell])],
        "If all input is background like the test events. Interval: 68 %, binomial.",
    )


def budget(found: BudgetSummary) -> ResultTable:
    """Return the designs in the budget and those with fixed widths, and their mean and spread."""
    rejections = [at.rejection for at in found.model]
    heads = ("LUT", "agreement [%]", *(f"at rejection {r:g} [%]" for r in rejections))
    rows: list[tuple[str, list[Cell]]] = [
        ("float model", [NOTHING, NOTHING, *map(_mean, found.model)])
    ]
    for learned, name in ((False, "fixed widths"), (True, "learned widths")):
        designs = [d for d in found.designs if d.learned == learned]
        designs = [d for d in designs if d.in_budget or not learned]
        for design in designs:
            cells = [_count(design.lut), Cell(f"{100 * design.agreement:.1f}", "")]
            cells += map(_mean, design.efficiencies)
            rows.append((f"{name}, start {design.start}" + ", chosen" * design.chosen, cells))
        if len(designs) > 1:
            rows.append((f"{name}, mean and spread", _spreads(designs, len(rejections))))
    remark = (
        "Mean efficiency over the signals, with 68 % intervals of the test events; spread: "
        "standard deviation over the starts. Agreement with the float model on training and "
        "validation background, by which the start is chosen. LUTs: alkaid's estimate of encoder "
        "and score."
    )
    remarks = [remark]
    dead = found.starts - sum(not design.learned for design in found.designs)
    if dead:
        remarks.append(
            f"{dead} of {found.starts} starts with fixed widths are left out: a layer died."
        )
    missed = found.starts - sum(design.in_budget for design in found.designs)
    if missed:
        remarks.append(
            f"{missed} of {found.starts} starts with learned widths are left out: none of their "
            "designs came down to the budget."
        )
    if found.order_flips is not None:
        remarks.append(
            f"Order-aware: {percent(*found.order_flips)} % of the test events are decided "
            "otherwise if their constituents come in a random order."
        )
    return _table(f"Designs for {found.target_lut:,} LUTs", heads, rows, *remarks)


def _mean(at: EfficiencyAt) -> Cell:
    return NOTHING if at.mean is None else percent(*at.mean)


def _spreads(designs: Sequence[DesignPoint], rejections: int) -> list[Cell]:
    """Return mean and standard deviation over starts of LUTs, agreement and efficiencies."""
    cells = [_spread([design.lut for design in designs], 0)]
    cells.append(_spread([100 * design.agreement for design in designs], 1))
    for place in range(rejections):
        means = [d.efficiencies[place].mean for d in designs]
        known = [100 * mean.value for mean in means if mean is not None]
        cells.append(_spread(known, 1) if len(known) == len(means) else NOTHING)
    return cells


def _spread(values: Sequence[float], digits: int) -> Cell:
    spread = statistics.stdev(values)
    return Cell(f"{statistics.fmean(values):,.{digits}f}", f"±{spread:,.{digits}f}")


def _nats(value: Interval | None) -> Cell:
    if value is None:
        return NOTHING
    return Cell(f"{value.value:.3g}", f"{value.low:.2g}-{value.high:.2g}")


def resources(summary: FirmwareSummary) -> ResultTable:
    """Return the resources as tools estimate them, and the latency in clocks and in time."""
    clock_ns = summary.design.clock_ns
    return _table(
        "Resources and latency",
        ("LUT", "FF", "DSP", "BRAM", "clocks", "interval", f"time at {clock_ns:g} ns"),
        (
            (
                row.tool,
                [
                    *map(_count, (row.lut, row.ff, row.dsp, row.bram)),
                    *map(_count, (row.pipeline_stages, row.initiation_interval)),
                    Cell(f"{row.pipeline_stages * clock_ns:,g} ns", ""),
                ],
            )
            for row in summary.resources
            if row.clock_mhz is None
        ),
        "Estimates: nothing was placed or routed. The time is clocks x the period asked for, and "
        "the timing is not closed: no vendor's tool has shown that this clock can be met.",
    )


def routed(summary: FirmwareSummary) -> ResultTable | None:
    """Return what place and route made of the design or of a part of it, None where it did not."""
    rows = [(row, row.clock_mhz) for row in summary.resources if row.clock_mhz is not None]
    if not rows:
        return None
    return _table(
        "Placed and routed",
        ("LUT", "FF", "DSP", "BRAM", "clocks", "interval", "clock [MHz]", "time"),
        (
            (
                row.tool,
                [
                    *map(_count, (row.lut, row.ff, row.dsp, row.bram)),
                    *map(_count, (row.pipeline_stages, row.initiation_interval)),
                    Cell(f"{clock:,.1f}", ""),
                    Cell(f"{row.pipeline_stages * 1000 / clock:,.1f} ns", ""),
                ],
            )
            for row, clock in rows
        ),
        f"The fastest clock after routing ({1000 / summary.design.clock_ns:,.0f} MHz were asked "
        "for), on the device that the row names and on no other; the time is clocks x its period.",
    )


def _table(
    title: str, heads: Sequence[str], rows: Iterable[tuple[str, Sequence[Cell]]], *remarks: str
) -> ResultTable:
    columns = [Column(head, head, "\n".join(head.split(maxsplit=1))) for head in heads]
    lines = [Row(name, "", dict(zip(heads, cells, strict=True))) for name, cells in rows]
    return ResultTable(title, [columns], lines, remarks)


def _count(number: int | None) -> Cell:
    return NOTHING if number is None else Cell(f"{number:,}", "")
