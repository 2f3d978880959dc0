"""The Deep Set of Set-VAE and CLIP-VAE (arXiv:2311.17162), for jagged and slotted particles."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from anomaly_hep.models.layers.product import product
from anomaly_hep.models.layers.segments import Segments

SLOPE = 0.01  # of every LeakyReLU


class JetBatchNorm(nn.Module):
    """Batch norm that weights jets equally and always normalises with the running statistics.

    Each of n particles in a jet has weight 1/n. As in the published network, the running mean and
    variance normalise in training too, so the layer is an affine map that can be folded into the
    next linear map. The running statistics are means over all steps at first, later they move by
    `momentum`. With `legacy_start` they always do, from mean 0 and variance 1, as in the published
    network: it takes hundreds of steps until values are normalised.
    """

    running_mean: Tensor
    running_var: Tensor
    updates: Tensor

    def __init__(
        self,
        features: int,
        *,
        momentum: float = 0.01,
        eps: float = 1e-5,
        legacy_start: bool = False,
    ) -> None:
        super().__init__()
        self.momentum, self.eps, self.legacy_start = momentum, eps, legacy_start
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))
        self.register_buffer("updates", torch.zeros(()))

    @torch.no_grad()
    def update(
        self,
        flat: Float[Tensor, "particle input"],
        jet_mean: Float[Tensor, "jet input"],
        segments: Segments,
        embed: nn.Linear | None = None,
    ) -> None:
        """Move the running statistics towards those of this batch; empty jets do not count.

        With `embed`, they are those of embed(flat), computed from the covariance of its inputs.
        """
        present = segments.lengths > 0
        filled = present.sum().clamp(min=1)
        mean = jet_mean.sum(0) / filled
        # statistics have the precision of the weights, not of autocast
        flat = flat[: segments.rows].to(mean.dtype)
        weights = (segments.shares / filled).to(mean.dtype)
        if embed is None:
            square = weights @ flat.square()
            variance = (square - mean.square()).clamp_(min=0.0)
        else:
            centred = flat - mean
            covariance = (centred * weights[:, None]).t() @ centred
            variance = ((embed.weight @ covariance) * embed.weight).sum(1)
            mean = embed(mean)
        self.updates += present.any()
        share = torch.full_like(self.updates, self.momentum)
        if not self.legacy_start:
            share = torch.maximum(share, 1.0 / self.updates)
        # a batch of empty jets changes nothing; `where` avoids waiting for the device
        share = torch.where(present.any(), share, 0.0)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)

    def affine(self) -> tuple[Float[Tensor, " feature"], Float[Tensor, " feature"]]:
        """Return scale and shift of the current affine map."""
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return scale, self.bias - self.running_mean * scale


class DeepSetLayer(nn.Module):
    """out = act(W (act(phi x) + act(rho mean x))), after a batch norm; no residual."""

    def __init__(self, d_model: int, d_ff: int, *, legacy_norm_start: bool = False) -> None:
        super().__init__()
        self.norm = JetBatchNorm(d_model, legacy_start=legacy_norm_start)
        self.phi = nn.Linear(d_model, d_ff)
        self.rho = nn.Linear(d_model, d_ff)
        self.out = nn.Linear(d_ff, d_model)
        self._folded: list[Tensor] | None = None
        self.register_load_state_dict_post_hook(_drop_folded)

    def forward(
        self,
        flat: Float[Tensor, "particle input"],
        segments: Segments,
        embed: nn.Linear | None = None,
    ) -> Float[Tensor, "particle d_model"]:
        """Return the particles' new features; with `embed`, the layer is applied to embed(flat).

        `embed`, the norm and phi are all linear and folded into one map: a product with the
        particles' 16 inputs instead of 64 features.
        """
        jet_mean = segments.mean(flat).to(self.norm.running_mean.dtype)
        if self.training:
            with torch.autocast(flat.device.type, enabled=False):
                self.norm.update(flat, jet_mean, segments, embed)
        phi_weight, phi_bias, rho_weight, rho_bias = self.folded(embed)
        phi = product(flat, phi_weight, phi_bias)
        rho = functional.leaky_relu(functional.linear(jet_mean, rho_weight, rho_bias), SLOPE)
        # W(phi + rho) = W phi + W rho: the second product has one row per jet, not per particle
        out = product(functional.leaky_relu_(phi, SLOPE), self.out.weight)
        out += segments.spread(self.out(rho), flat.shape[0])
        return functional.leaky_relu_(out, SLOPE)

    def folded(self, embed: nn.Linear | None) -> list[Tensor]:
        """Return weight and bias of phi and rho with norm and embed folded in.

        Evaluation without gradients folds only once after `eval()`, since folding takes a third of
        the time of one jet. Later in-place changes of weights have no effect until the next
        `eval()`.
        """
        reuse = not (self.training or torch.is_grad_enabled() or torch.compiler.is_compiling())
        if reuse and self._folded is not None:
            return self._folded
        with torch.autocast(self.phi.weight.device.type, enabled=False):
            folded = self._fold(embed)
        if reuse:
            self._folded = folded
        return folded

    def _fold(self, embed: nn.Linear | None) -> list[Tensor]:
        scale, shift = self.norm.affine()
        folded = []
        for linear in (self.phi, self.rho):
            weight, bias = linear.weight * scale, linear.bias + linear.weight @ shift
            if embed is not None:
                weight, bias = weight @ embed.weight, bias + weight @ embed.bias
            folded += [weight, bias]
        return folded

    def train(self, mode: bool = True) -> DeepSetLayer:
        """Switch between training and evaluation, and drop the folded weights."""
        self._folded = None
        return super().train(mode)

    def _apply(self, fn: Any, recurse: bool = True) -> DeepSetLayer:
        # called for a move to another device or precision
        self._folded = None
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, Any]:
        # a copy must fold its own weights
        return self.__dict__ | {"_folded": None}


def _drop_folded(layer: DeepSetLayer, keys: object) -> None:
    """Drop the folded weights, since the layer has just loaded new ones."""
    del keys
    layer._folded = None


class DeepSetEncoder(nn.Module):
    """Encode particles in the mean and log-variance of each jet's latent vector."""

    def __init__(
        self,
        *,
        inputs: int,
        latent_dim: int,
        d_model: int,
        d_ff: int,
        layers: int,
        legacy_norm_start: bool,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(inputs, d_model)
        self.layers = nn.ModuleList(
            DeepSetLayer(d_model, d_ff, legacy_norm_start=legacy_norm_start) for _ in range(layers)
        )
        self.mean = nn.Linear(d_model, latent_dim)
        self.log_variance = nn.Linear(d_model, latent_dim)

    def forward(
        self, inputs: Float[Tensor, "particle input"], segments: Segments
    ) -> tuple[Float[Tensor, "jet latent"], Float[Tensor, "jet latent"]]:
        """Return mean and log-variance of the posterior."""
        flat = segments.lengthened(inputs)
        for number, layer in enumerate(self.layers):
            flat = layer(flat, segments, self.embed if number == 0 else None)
        pooled = segments.mean(flat)
        return self.mean(pooled), self.log_variance(pooled)

    def macs(self, particles: float) -> float:
        """Return the multiply-adds for a jet of `particles`, counted as the paper does."""
        heads = self.mean.weight.numel() + self.log_variance.weight.numel()
        return particles * self.embed.weight.numel() + _layer_macs(self.layers, particles) + heads


class DeepSetDecoder(nn.Module):
    """Decode a latent vector and a code per particle to (10 pT/pT_jet, delta eta, delta phi)."""

    def __init__(
        self,
        *,
        outputs: int,
        latent_dim: int,
        d_model: int,
        d_ff: int,
        layers: int,
        legacy_norm_start: bool,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(latent_dim, d_model)
        self.layers = nn.ModuleList(
            DeepSetLayer(d_model, d_ff, legacy_norm_start=legacy_norm_start) for _ in range(layers)
        )
        self.output = nn.Linear(d_model, outputs)

    def forward(
        self,
        latent: Float[Tensor, "jet latent"],
        codes: Float[Tensor, "particle d_model"],
        segments: Segments,
    ) -> Float[Tensor, "particle output"]:
        """Return the reconstructed particles, with the logarithm of the momentum."""
        codes = segments.lengthened(codes)
        flat = segments.spread(self.embed(latent), len(codes)) + codes
        for layer in self.layers:
            flat = layer(flat, segments)
        reconstructed: Tensor = self.output(flat[: segments.rows])
        return reconstructed

    def macs(self, particles: float) -> float:
        """Return the multiply-adds for a jet of `particles`, counted as the paper does."""
        per_particle = particles * self.output.weight.numel()
        return self.embed.weight.numel() + _layer_macs(self.layers, particles) + per_particle


def _layer_macs(layers: nn.ModuleList, particles: float) -> float:
    total = 0.0
    for layer in layers:
        phi, rho, out = (getattr(layer, name).weight.numel() for name in ("phi", "rho", "out"))
        total += particles * (phi + out) + rho
    return total
