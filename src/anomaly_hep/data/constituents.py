"""Events as constituents: what a trigger, which takes the hardest of them, has to know."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from anomaly_hep.data.batch import ParticleBatch
from anomaly_hep.data.features import FeatureList
from anomaly_hep.data.reading import Reading


class ConstituentReading(Reading):
    """A reading whose rows are the constituents of an event, or stand for all of the event.

    max_particles: the most constituents of an event.
    """

    max_particles: int

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
