"""The tables of a firmware run, for its page and for terminals and pipes of any width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from anomaly_hep.evaluate.cells import NOTHING, Cell, percent
from anomaly_hep.evaluate.intervals import Interval
from anomaly_hep.evaluate.paper import load_paper
from anomaly_hep.evaluate.resulttable import Column, ResultTable, Row
from anomaly_hep.fpga.summary import (
    DecorrelationSummary,
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


def _nats(value: Interval | None) -> Cell:
    if value is None:
        return NOTHING
    return Cell(f"{value.value:.3g}", f"{value.low:.2g}-{value.high:.2g}")


def resources(summary: FirmwareSummary) -> ResultTable:
    """Return the resources by tool, and the latency in clocks and in time."""
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
        ),
        "Estimates: nothing was placed or routed. The time is clocks x the period asked for, and "
        "the timing is not closed: no vendor's tool has shown that this clock can be met.",
    )


def _table(
    title: str, heads: Sequence[str], rows: Iterable[tuple[str, Sequence[Cell]]], *remarks: str
) -> ResultTable:
    columns = [Column(head, head, "\n".join(head.split(maxsplit=1))) for head in heads]
    lines = [Row(name, "", dict(zip(heads, cells, strict=True))) for name, cells in rows]
    return ResultTable(title, [columns], lines, remarks)


def _count(number: int | None) -> Cell:
    return NOTHING if number is None else Cell(f"{number:,}", "")
