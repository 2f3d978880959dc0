"""Bounds on event branches, as listed in `data.selection` and a sample's `where`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool

from anomaly_hep.errors import ConfigError
from anomaly_hep.types import Events


class Selection:
    """Keep events whose branches lie inside inclusive bounds: {branch: {min: a, max: b}}."""

    def __init__(
        self, bounds: Mapping[str, Mapping[str, float]], place: str = "data.selection"
    ) -> None:
        for branch, cut in bounds.items():
            if not cut or set(cut) - {"min", "max"}:
                raise ConfigError(
                    f"{place}.{branch} has {', '.join(cut) or 'nothing'}. "
                    "Cure: give it min, max or both"
                )
        self.bounds = {branch: dict(cut) for branch, cut in bounds.items()}

    @property
    def columns(self) -> list[str]:
        """Branches that the cuts need."""
        return list(self.bounds)

    def passed(self, events: Events) -> Bool[np.ndarray, " event"]:
        """Return a mask of the events that pass all cuts."""
        result = np.ones(len(events), bool)
        for branch, cut in self.bounds.items():
            values = events.events[branch]
            result &= (values >= cut.get("min", -np.inf)) & (values <= cut.get("max", np.inf))
        return result
