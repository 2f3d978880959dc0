"""Anomaly detection in high-energy physics: from simulated collisions to scores with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anomaly_hep.api import events, load, train

__version__ = "0.1.0"
__all__ = ["events", "load", "train"]


def __getattr__(name: str) -> Any:
    # torch and other slow imports happen only when one of these names is used
    if name in __all__:
        from anomaly_hep import api

        return getattr(api, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
