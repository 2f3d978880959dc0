"""Numbers that the papers print, to stand beside ours."""

from __future__ import annotations

from anomaly_hep.evaluate.published.jetclass import (
    PAPER,
    PUBLISHED,
    REJECTION,
    SIGNALS,
    published_row,
    row_for,
)
from anomaly_hep.evaluate.published.rows import PublishedRow

__all__ = [
    "PAPER",
    "PUBLISHED",
    "REJECTION",
    "SIGNALS",
    "PublishedRow",
    "published_row",
    "row_for",
]
