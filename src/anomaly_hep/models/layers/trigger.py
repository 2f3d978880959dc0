"""The Deep Set for a trigger: the hardest particles, one sum, integers from end to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from anomaly_hep.errors import ConfigError
from anomaly_hep.models.layers.segments import Segments

# The sum over particles of unsigned numbers may need more bits than its terms.
SUM_BITS = 2


class TriggerEncoder(nn.Module):
    """head(rho(sum over the hardest particles of phi(x))), float or with integer arithmetic.

    phi has no bias, so phi(0) = 0: a place without a particle, whose inputs are zero, adds exactly
    nothing, and the hardware needs no mask. ranges: for each input a power of two that its absolute
    value stays below; what does not is clipped to it. The network sees value / range, which in the
    hardware is the input's integer as it arrives. precision: {weight_bits, activation_bits,
    input_bits, output_bits}, or None for floating point.
    """

    def __init__(
        self,
        *,
        ranges: Sequence[float | int],
        outputs: int,
        constituents: int,
        phi: Sequence[int],
        rho: Sequence[int],
        precision: Mapping[str, int] | None,
    ) -> None:
        super().__init__()
        for value in ranges:
            if value <= 0 or torch.tensor(float(value)).frexp().mantissa != 0.5:
                raise ConfigError(
                    f"the range {value} of an input is not a power of two. Cure: choose one, "
                    "so that the scale of the integers is one too"
                )
        if constituents < 1 or not phi:
            raise ConfigError(
                f"{constituents} constituents and {len(phi)} layers of phi leave nothing to sum. "
                "Cure: choose at least one of each"
            )
        self.constituents, self.precision = constituents, dict(precision) if precision else None
        self.ranges: Tensor
        self.register_buffer("ranges", torch.tensor(ranges, dtype=torch.float32), persistent=False)
        if precision is None:
            self._build_float(len(ranges), outputs, phi, rho)
        else:
            self._build_quantized(len(ranges), outputs, phi, rho, precision)

    def _build_float(
        self, inputs: int, outputs: int, phi: Sequence[int], rho: Sequence[int]
    ) -> None:
        self.input: nn.Module = nn.Identity()
        self.pool: nn.Module = nn.Identity()
        self.output: nn.Module = nn.Identity()
        self.phi = _layers([inputs, *phi], lambda a, b: [nn.Linear(a, b, bias=False), nn.ReLU()])
        self.rho = _layers([phi[-1], *rho], lambda a, b: [nn.Linear(a, b), nn.ReLU()])
        self.head: nn.Module = nn.Linear([phi[-1], *rho][-1], outputs)

    def _build_quantized(
        self,
        inputs: int,
        outputs: int,
        phi: Sequence[int],
        rho: Sequence[int],
        settings: Mapping[str, int],
    ) -> None:
        # Brevitas is needed for nothing else here, and optional
        from anomaly_hep.models.layers import quantized as q

        precision = q.Precision.of(settings)
        bits = precision.activation_bits
        self.input = q.below_one(precision.input_bits)
        self.phi = _layers(
            [inputs, *phi], lambda a, b: [q.linear(a, b, precision, bias=False), q.relu(bits)]
        )
        self.pool = q.unsigned(bits + SUM_BITS)
        self.rho = _layers(
            [phi[-1], *rho], lambda a, b: [q.linear(a, b, precision, bias=True), q.relu(bits)]
        )
        self.head = q.linear([phi[-1], *rho][-1], outputs, precision, bias=True)
        self.output = q.signed(precision.output_bits)

    def forward(
        self, flat: Float[Tensor, "particle input"], segments: Segments
    ) -> Float[Tensor, "jet output"]:
        """Return the outputs for jagged particles, hardest first; only the hardest count."""
        return self.dense(hardest(flat, segments, self.constituents))

    def dense(self, inputs: Float[Tensor, "jet constituent input"]) -> Float[Tensor, "jet output"]:
        """Return the outputs for particles in a rectangle, zero where there is none."""
        features = self.phi(self.input(inputs / self.ranges))
        outputs: Tensor = self.output(self.head(self.rho(self.pool(features.sum(1)))))
        return outputs

    def outside(self, inputs: Float[Tensor, "jet constituent input"]) -> Bool[Tensor, "jet input"]:
        """Return which inputs of which jets have a value that its range cuts."""
        return ((inputs >= self.ranges) | (inputs < -self.ranges)).any(1)

    def macs(self, particles: float) -> float:
        """Return the multiply-adds for a jet of `particles`."""
        inner = min(particles, self.constituents) * _weights(self.phi)
        return inner + _weights(self.rho) + _weights(self.head)


def hardest(
    flat: Float[Tensor, "particle input"], segments: Segments, count: int
) -> Float[Tensor, "jet constituent input"]:
    """Return the first `count` particles of each jet in a rectangle, zeros behind them.

    Files hold the particles of a jet in falling pT.
    """
    kept = segments.position < count
    padded = Segments(segments.lengths.clamp(max=count)).pad(flat[: len(kept)][kept])
    return functional.pad(padded, (0, 0, 0, count - padded.shape[1]))


def _layers(sizes: Sequence[int], make: Callable[[int, int], list[nn.Module]]) -> nn.Sequential:
    """Return a chain of linear maps between the `sizes`, each with what `make` puts behind it."""
    parts = [part for before, after in pairwise(sizes) for part in make(before, after)]
    return nn.Sequential(*parts)


def _weights(module: nn.Module) -> int:
    return sum(p.numel() for name, p in module.named_parameters() if name.endswith("weight"))
