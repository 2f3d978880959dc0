"""Cut on event branches, as listed in `data.selection` and a sample's `where`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from anomaly_hep.errors import ConfigError
from anomaly_hep.types import Events


@dataclass(frozen=True)
class Cut:
    """The inclusive bounds of one branch."""

    min: float | None = None
    max: float | None = None


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
            if not cut.get("min", -np.inf) <= cut.get("max", np.inf):
                raise ConfigError(
                    f"{place}.{branch} lets nothing pass: min {cut.get('min')}, max "
                    f"{cut.get('max')}. Cure: numbers, the smaller one as min"
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
            if branch not in events.events:
                raise ConfigError(
                    f"data.selection.{branch} is a column of particles, with a list per event. "
                    "Cure: choose a column with one number per event"
                )
            values = events.events[branch]
            result &= (values >= cut.get("min", -np.inf)) & (values <= cut.get("max", np.inf))
        return result
