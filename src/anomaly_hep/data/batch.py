"""Batches as the models see them: particles jagged, never padded."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float32, Int64
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ParticleBatch:
    """Jets as flat particles plus the number of particles of each jet.

    `features` are the scaled continuous features, `types` the particle type (0 to 7, see
    `data.features.PARTICLE_TYPES`), `index` says which event of the data set each jet is.
    There is no label here, so none can reach a loss.
    """

    features: Float32[Tensor, "particle feature"]
    types: Int64[Tensor, " particle"]
    lengths: Int64[Tensor, " jet"]
    index: Int64[Tensor, " jet"]

    def __len__(self) -> int:
        return len(self.lengths)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> ParticleBatch:
        """Return the same batch on `device`."""
        return ParticleBatch(
            *(getattr(self, f.name).to(device, non_blocking=non_blocking) for f in fields(self))
        )

    def pin_memory(self) -> ParticleBatch:
        """Return the same batch in page-locked memory."""
        return ParticleBatch(*(getattr(self, f.name).pin_memory() for f in fields(self)))
