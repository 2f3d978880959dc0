"""Medians of quantities of simulated classes, with their intervals, as lines of a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64


def median_interval(values: Float64[np.ndarray, " value"]) -> tuple[float, float, float]:
    """Return the median and its 68 % interval: ranks half a root of their number away from it."""
    away = 0.5 / np.sqrt(max(len(values), 1))
    low, median, high = np.quantile(values, (max(0.5 - away, 0), 0.5, min(0.5 + away, 1)))
    return float(median), float(low), float(high)


def cell(values: Float64[np.ndarray, " value"], digits: int) -> str:
    """Return the median and its interval as text, "51 [46, 56]"."""
    median, low, high = median_interval(values)
    return f"{median:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines with columns of equal width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
