"""Events as constituents: what a trigger, which takes the hardest of them, has to know."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from anomaly_hep.data.batch import ParticleBatch
from anomaly_hep.data.features import FeatureList
from anomaly_hep.data.reading import Counts, Reading
from anomaly_hep.types import Events


class ConstituentReading(Reading):
    """A reading whose rows are the constituents of an event, or stand for all of the event.

    max_particles: the most constituents of an event.
    """

    max_particles: int

    @abstractmethod
    def batch(
        self, events: Events, index: Int64[np.ndarray, " event"], path: Path | str
    ) -> tuple[ParticleBatch, Counts]:
        """Return events as one batch, and the counts of what was cut; `path` is for errors."""

    @property
    @abstractmethod
    def feature_list(self) -> FeatureList:
        """The features of a row, with their scales."""

    @property
    def momentum(self) -> str:
        """The feature that orders constituents by their momentum: here the first one."""
        return self.feature_list.names[0]

    @property
    @abstractmethod
    def type_names(self) -> Sequence[str]:
        """The types of a constituent, in the order of their numbers; none where there are none."""

    @property
    def event_features(self) -> Mapping[str, str]:
        """Names of event-level quantities, each a feature of the row that stands for the event."""
        return {}

    def constituents(self, batch: ParticleBatch) -> Bool[Tensor, " row"]:
        """Return which rows are constituents; with `event_features` each event has one other."""
        return torch.ones(len(batch.features), dtype=torch.bool)
