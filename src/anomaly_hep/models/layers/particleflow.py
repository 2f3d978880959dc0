"""The Particle Flow Network of arXiv:1810.05165, in the sizes of arXiv:2408.17409."""

from __future__ import annotations

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from anomaly_hep.data.batch import ParticleBatch
from anomaly_hep.models.layers.kernels import particle_sum
from anomaly_hep.models.layers.layouts import segments_of
from anomaly_hep.models.layers.scaling import MinMax

EMBEDDED = 64  # components of an event's vector
_WIDTH = 75


class ParticleFlow(nn.Module):
    """Phi: the sum over particles of three layers on each, with ReLU after all of them."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.scaling = MinMax(features)
        sizes = (features, _WIDTH, _WIDTH, EMBEDDED)
        self.layers = nn.ModuleList(_linear(a, b) for a, b in pairwise(sizes))

    def forward(self, batch: ParticleBatch) -> Float[Tensor, "event component"]:
        """Return the vector of each event, 0 for one without particles."""
        segments = segments_of(batch)
        weights, biases = zip(*(layer.parameters() for layer in self.layers), strict=True)
        return particle_sum(self.scaling(batch.features), segments, weights, biases)

    def flops(self, multiplicity: float) -> float:
        """Return twice the multiply-adds for an event of `multiplicity` particles."""
        maps = [p.numel() for name, p in self.named_parameters() if name.endswith("weight")]
        return 2.0 * multiplicity * sum(maps)


def classifier() -> nn.Sequential:
    """Return F: three hidden layers to the logits of two classes."""
    sizes = (EMBEDDED, _WIDTH, _WIDTH, _WIDTH)
    hidden = [part for a, b in pairwise(sizes) for part in (_linear(a, b), nn.ReLU())]
    return nn.Sequential(*hidden, _linear(_WIDTH, 2))


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """Return a linear map that begins with He's uniform distribution and without a shift."""
    layer = nn.Linear(inputs, outputs)
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer
