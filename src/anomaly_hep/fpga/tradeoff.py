"""Signal efficiency against its cost in logic, for many firmware runs in one figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from anomaly_hep.atomic import write_text
from anomaly_hep.evaluate.figures.style import save
from anomaly_hep.fpga.firmware_figures import trade_off
from anomaly_hep.fpga.resources import ESTIMATES
from anomaly_hep.fpga.summary import FirmwareSummary

NAME = "fpga_tradeoff"


def write_trade_off(directory: Path) -> Path | None:
    """Write the table and the figure of all finished, exact firmware runs below a directory.

    Returns the figure's path, None without such a run.
    """
    paths = sorted(directory.rglob("fpga.json"))
    rows = [row for path in paths if (row := _row(path))]
    if not rows:
        return None
    points = pd.DataFrame(rows)
    write_text(directory / f"{NAME}.csv", points.to_csv(index=False))
    return save(trade_off(points), directory / f"{NAME}.png")


def _row(path: Path) -> dict[str, Any] | None:
    """Return a run's point in the figure; None if it has no RTL, or is not exact."""
    summary = FirmwareSummary.read(path)
    design = summary.design
    # the last stage that is not compared is the quantised model, which all implementations equal
    reference = [stage for stage in summary.stages if stage.equal is None][-1]
    rtl = [row for row in summary.resources if row.tool in ESTIMATES]
    if not rtl or not summary.exact or reference.mean_efficiency is None:
        return None
    efficiency, low, high = reference.mean_efficiency
    return {
        "run": path.parent.name,
        "constituents": design.constituents,
        "widths": f"{design.weight_bits} bit" if summary.budget is None else "learned",
        "weight_bits": None if summary.budget else design.weight_bits,
        "activation_bits": None if summary.budget else design.activation_bits,
        "score": design.score,
        "estimate": rtl[0].tool,
        "lut": rtl[0].lut,
        "stages": rtl[0].pipeline_stages,
        "efficiency": efficiency,
        "low": low,
        "high": high,
    }
