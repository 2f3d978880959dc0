"""The Deep Set for a trigger: the hardest particles, one sum, integer arithmetic throughout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anomaly_hep.errors import ConfigError
from anomaly_hep.models.layers.segments import Segments

# Extra bits for the sum over particles.
SUM_BITS = 2
# A flag of 1 is half of its range, a power of two.
FLAG_RANGE = 2.0


class TriggerEncoder(nn.Module):
    """head(rho(sum over the hardest particles of phi(x), context)), float or on integers.

    phi has no bias, so phi(0) = 0: a slot without a particle, whose inputs are zero, adds exactly
    nothing, and the hardware needs no mask. context: quantities of the whole event, if any, which
    enter rho beside the sum. ranges, context_ranges: for each input a power of two, to which its
    absolute value is clipped. The network gets value / range, which in the hardware is the
    integer input itself. precision: {weight_bits, activation_bits, input_bits, output_bits}, or
    None for floating point.
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
        context_ranges: Sequence[float | int] = (),
    ) -> None:
        super().__init__()
        for value in (*ranges, *context_ranges):
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
        self.phi_widths, self.rho_widths = list(phi), list(rho)
        self.ranges: Tensor
        self.context_ranges: Tensor
        for name, limits in (("ranges", ranges), ("context_ranges", context_ranges)):
            self.register_buffer(name, torch.tensor(limits, dtype=torch.float32), persistent=False)
        # rho takes the sum and the context
        of_phi, of_rho = [len(ranges), *phi], [phi[-1] + len(context_ranges), *rho]
        if precision is None:
            self._build_float(outputs, of_phi, of_rho)
        else:
            self._build_quantized(outputs, of_phi, of_rho, precision)

    def _build_float(self, outputs: int, phi: Sequence[int], rho: Sequence[int]) -> None:
        self.input: nn.Module = nn.Identity()
        self.pool: nn.Module = nn.Identity()
        self.output: nn.Module = nn.Identity()
        self.phi = _layers(phi, lambda a, b: [nn.Linear(a, b, bias=False), nn.ReLU()])
        self.rho = _layers(rho, lambda a, b: [nn.Linear(a, b), nn.ReLU()])
        self.head: nn.Module = nn.Linear(rho[-1], outputs)

    def _build_quantized(
        self, outputs: int, phi: Sequence[int], rho: Sequence[int], settings: Mapping[str, int]
    ) -> None:
        # Brevitas is optional, and only needed here
        from anomaly_hep.models.layers import quantized as q

        precision = q.Precision.of(settings)
        bits = precision.activation_bits
        self.input = q.below_one(precision.input_bits)
        self.phi = _layers(phi, lambda a, b: [q.linear(a, b, precision, bias=False), q.relu(bits)])
        self.pool = q.unsigned(bits + SUM_BITS)
        self.rho = _layers(rho, lambda a, b: [q.linear(a, b, precision, bias=True), q.relu(bits)])
        self.head = q.linear(rho[-1], outputs, precision, bias=True)
        self.output = q.signed(precision.output_bits)
        # Brevitas shares a stateless clamp between encoders; Lightning warns if another encoder
        # left it in evaluation mode
        self.train()

    def forward(
        self,
        inputs: Float[Tensor, "jet constituent input"],
        context: Float[Tensor, "jet quantity"] | None = None,
    ) -> Float[Tensor, "jet output"]:
        """Return the outputs for zero-padded particles, and the context of each jet, if any."""
        features = self.phi(self.input(inputs / self.ranges))
        total = self.pool(features.sum(1))
        if context is not None and len(self.context_ranges):
            total = torch.cat([total, self.input(context / self.context_ranges)], 1)
        outputs: Tensor = self.output(self.head(self.rho(total)))
        return outputs

    def macs(self, particles: float) -> float:
        """Return the multiply-adds for a jet of `particles`."""
        phi = min(particles, self.constituents) * _weights(self.phi)
        return phi + _weights(self.rho) + _weights(self.head)


class TriggerPosterior(nn.Module):
    """A TriggerEncoder on flat particles whose outputs are means and log-variances.

    names: the particles' features, followed in the inputs by `flags` type flags. ranges: {feature:
    power of two} for the features that the trigger uses.
    """

    def __init__(
        self,
        *,
        names: Sequence[str],
        flags: int,
        ranges: Mapping[str, float],
        latent_dim: int,
        **settings: Any,
    ) -> None:
        super().__init__()
        unknown = sorted(set(ranges) - set(names))
        if unknown:
            raise ConfigError(
                f"model.encoder.ranges.{unknown[0]} is no feature of a particle. Cure: choose "
                f"from data.features: {', '.join(names)}"
            )
        self.ranges, self.latent_dim = dict(ranges), latent_dim
        self.columns = [list(names).index(name) for name in ranges]
        self.columns += range(len(names), len(names) + flags)
        limits = [*ranges.values(), *[FLAG_RANGE] * flags]
        self.network = TriggerEncoder(ranges=limits, outputs=2 * latent_dim, **settings)

    def forward(
        self, inputs: Float[Tensor, "particle input"], segments: Segments
    ) -> tuple[Float[Tensor, "jet latent"], Float[Tensor, "jet latent"]]:
        """Return mean and log-variance of the posterior of each jet's hardest particles."""
        kept = segments.hardest(inputs, inputs[:, 0], self.network.constituents)
        mean, log_variance = self.network(kept[..., self.columns]).chunk(2, dim=1)
        return mean, log_variance

    def macs(self, particles: float) -> float:
        """Return the multiply-adds for a jet of `particles`."""
        return self.network.macs(particles)


def _layers(sizes: Sequence[int], make: Callable[[int, int], list[nn.Module]]) -> nn.Sequential:
    """Return the layers that `make` gives for each pair of consecutive `sizes`, in a chain."""
    parts = [part for before, after in pairwise(sizes) for part in make(before, after)]
    return nn.Sequential(*parts)


def _weights(module: nn.Module) -> int:
    return sum(p.numel() for name, p in module.named_parameters() if name.endswith("weight"))
