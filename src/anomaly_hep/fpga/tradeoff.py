"""Many firmware runs in one figure: what a signal efficiency costs in logic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from anomaly_hep.atomic import write_text
from anomaly_hep.errors import ScoreTableError
from anomaly_hep.evaluate.figures.style import save
from anomaly_hep.fpga.figures import trade_off

NAME = "fpga_tradeoff"
_CHOICES = ("constituents", "weight_bits", "activation_bits", "score")


def write_trade_off(directory: Path) -> Path | None:
    """Write the table and the figure of all finished, exact firmware runs below a directory.

    Returns the figure's path, None without such a run.
    """
    found = sorted(directory.rglob("fpga.json"))
    points = [point for path in found if (point := _point(path))]
    if not points:
        return None
    columns = ["run", *_CHOICES, "lut", "stages", "efficiency", "low", "high"]
    rows = [
        {**point, **dict(zip(columns[-3:], point["efficiency"], strict=True))} for point in points
    ]
    write_text(directory / f"{NAME}.csv", pd.DataFrame(rows)[columns].to_csv(index=False))
    return save(trade_off(points), directory / f"{NAME}.png")


def _point(path: Path) -> dict[str, Any] | None:
    """Return what a run gives to the figure: nothing if it has no RTL, or is not exact."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        reference = next(s for s in content["stages"] if "Brevitas" in s["implementation"])
        rtl = [row for row in content["resources"] if row["tool"].startswith("da4ml")]
        if not rtl or not content["exact"] or reference["mean_efficiency"] is None:
            return None
        return {
            "run": path.parent.name,
            **{name: content["design"][name] for name in _CHOICES},
            "lut": rtl[0]["lut"],
            "stages": rtl[0]["pipeline_stages"],
            "efficiency": reference["mean_efficiency"],
        }
    except (ValueError, KeyError, StopIteration) as error:
        raise ScoreTableError(
            f"{path} is not what the command fpga writes ({type(error).__name__}: {error}). "
            "Cure: make this run anew, or remove it"
        ) from error
