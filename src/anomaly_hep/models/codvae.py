"""Categorical CoDVAE: CoDAE with relaxed categorical latents (arXiv:2306.12955 section 4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from anomaly_hep.bounds import Count, NonNegative, Positive, Seed
from anomaly_hep.data.batch import ImageBatch
from anomaly_hep.models.codae import LATENT, CoDAE, ResidualEncoder, he_start, operations
from anomaly_hep.models.imagescores import (
    LATENT_DESCRIPTIONS,
    RECONSTRUCTION_DESCRIPTIONS,
    bernoulli_loss,
    reconstruction_columns,
    reconstruction_scores,
    structural_similarity,
)
from anomaly_hep.models.layers.concrete import log_density, mixture_log_density, sample
from anomaly_hep.models.outputs import (
    EventOutputs,
    ImageReconstruction,
    ScoreDescription,
    weighted_mean,
)

COMPONENTS = 5  # of the prior, a mixture
_PRIOR_TEMPERATURES = (0.1, 1.0)  # uniform between these
_SCORING_SEED = 42  # of the fixed draws for scores

Latent = Float[Tensor, "image row column category"]


class CategoricalEncoder(ResidualEncoder):
    """The large encoder with logits and a temperature, and the parameters of the prior.

    Each of the 5 x 4 positions has 64 categories and one temperature, softplus + `base`.
    """

    def __init__(self, base_temperature: float) -> None:
        super().__init__()
        self.base = base_temperature
        self.temperature = nn.Conv2d(256, 1, 1)
        he_start(self.temperature)
        categories, rows, columns = LATENT
        # trainable, and counted among the encoder's parameters, as in the published code
        self.prior_logits = nn.Parameter(torch.randn(rows, columns, COMPONENTS, categories))
        low, high = _PRIOR_TEMPERATURES
        self.prior_temperature: Tensor
        self.register_buffer("prior_temperature", low + (high - low) * torch.rand(COMPONENTS, 1))

    def posterior(
        self, mask: Float[Tensor, "image 1 72 58"]
    ) -> tuple[Latent, Float[Tensor, "image row column 1"]]:
        """Return logits and temperature of the relaxed categorical at each position."""
        features = self.blocks(mask)
        logits, raw = self.out(features), self.temperature(features)
        return (
            logits.permute(0, 2, 3, 1).float(),
            functional.softplus(raw.permute(0, 2, 3, 1).float()) + self.base,
        )

    def operations(self) -> float:
        """Return multiplications and additions for one image, without the divergence."""
        return super().operations() + operations([self.temperature], [(5, 4)])


class CoDVAE(CoDAE):
    """CoDAE whose large latent image is drawn from relaxed categoricals.

    The KL term of the loss is beta x kl_weight x the mean divergence per position; kl_weight is
    0.625 in the published code at its batch size. kl_samples: draws for the Monte-Carlo estimate
    of the divergence. score_draws: draws over which scores are averaged; their noise is fixed and
    the same for all events. base_temperature: added to the learned temperature.
    """

    title: ClassVar[str] = "CoDVAE"
    default_score: str = "sse"
    residual_encoder: CategoricalEncoder

    def __init__(
        self,
        *,
        phases: Mapping[str, Any],
        latent_dim: Count,
        seed: Seed,
        beta: NonNegative,
        kl_weight: NonNegative,
        kl_samples: Count,
        score_draws: Count,
        base_temperature: Positive,
    ) -> None:
        super().__init__(phases=phases, latent_dim=latent_dim, seed=seed)
        self.save_hyperparameters(logger=False)
        self.beta, self.kl_weight = beta, kl_weight
        self.kl_samples, self.score_draws = kl_samples, score_draws
        self.score_names = (*self.score_names, "kl_forward", "kl_reverse")
        self.residual_encoder = CategoricalEncoder(base_temperature)
        self.to(memory_format=torch.channels_last)
        # fixed noise is drawn only once: drawing it in a step would make the device wait
        categories, rows, columns = LATENT
        self.fixed_noise: Tensor
        number = max(1 + kl_samples, score_draws)
        self._fix("fixed_noise", (number, 1, rows, columns, categories))
        self.fixed_prior_noise: Tensor
        self._fix("fixed_prior_noise", (score_draws, *self.residual_encoder.prior_logits.shape))

    @classmethod
    def score_descriptions(cls) -> Mapping[str, ScoreDescription]:
        """Return titles and units."""
        return {
            **LATENT_DESCRIPTIONS,
            "kl_forward": ScoreDescription("KL (forward)", "nats"),
            "kl_reverse": ScoreDescription("KL (reverse)", "nats"),
            **RECONSTRUCTION_DESCRIPTIONS,
        }

    def loss(self, batch: ImageBatch, phase: str) -> dict[str, Float[Tensor, ""]]:
        """Return reconstruction + beta x kl_weight x KL per position; in validation also SSIM."""
        del phase  # there is one
        mask = batch.mask()
        logits, temperature = self.residual_encoder.posterior(mask)
        draws = self.draws(1 + self.kl_samples, logits.shape)
        decoded = self.decode(sample(logits, temperature, draws[0]), mask)
        reconstruction = weighted_mean(bernoulli_loss(decoded, mask), batch.weight)
        divergence = self.reverse_divergence(logits, temperature, draws[1:]).mean((1, 2))
        kl = self.kl_weight * weighted_mean(divergence, batch.weight)
        terms = {
            "loss": reconstruction + self.beta * kl,
            "reconstruction": reconstruction,
            "kl": kl,
            "temperature": weighted_mean(temperature.mean((1, 2, 3)), batch.weight),
        }
        if not self.training:
            similarity = structural_similarity((decoded > 0).float(), mask)
            terms["ssim"] = weighted_mean(similarity, batch.weight)
        return terms

    def decode(
        self, log_latent: Latent, mask: Float[Tensor, "image 1 72 58"]
    ) -> Float[Tensor, "image 1 72 58"]:
        """Return the logits of the reconstruction from a draw and the small latent vector."""
        latent = log_latent.exp().permute(0, 3, 1, 2)
        return self.decoder(latent, self.mask_encoder(mask)).float()

    def draws(
        self, number: int, shape: torch.Size
    ) -> Float[Tensor, "draw image row column category"]:
        """Return uniform noise: from seed and step in training, otherwise fixed for all events."""
        if self.training:
            return self.uniform((number, *shape))
        return self.fixed_noise[:number].expand(number, *shape)

    def _fix(self, name: str, shape: tuple[int, ...]) -> None:
        """Register uniform noise of the scoring seed; more draws begin with the same ones."""
        generator = torch.Generator().manual_seed(_SCORING_SEED)
        self.register_buffer(name, torch.rand(shape, generator=generator), persistent=False)

    def reverse_divergence(
        self,
        logits: Latent,
        temperature: Float[Tensor, "image row column 1"],
        noise: Float[Tensor, "draw image row column category"],
    ) -> Float[Tensor, "image row column"]:
        """Return KL(q || p) of each position by Monte Carlo: the mean of log q - log p."""
        value = sample(logits, temperature, noise)
        return (log_density(value, logits, temperature) - self._prior(value)).mean(0)

    def forward_divergence(
        self, logits: Latent, temperature: Float[Tensor, "image row column 1"], draws: int
    ) -> Float[Tensor, "image row column"]:
        """Return KL(p || q) of each position, from fixed draws of each component of the prior."""
        encoder = self.residual_encoder
        noise = self.fixed_prior_noise[:draws]
        value = sample(encoder.prior_logits, encoder.prior_temperature, noise)
        # (draw x component, row, column, category): stratified by component, for less noise
        value = value.permute(0, 3, 1, 2, 4).flatten(0, 1)
        prior = self._prior(value)[:, None]
        return (prior - log_density(value[:, None], logits, temperature)).mean(0)

    def _prior(
        self, value: Float[Tensor, "*draw row column category"]
    ) -> Float[Tensor, "*draw row column"]:
        encoder = self.residual_encoder
        return mixture_log_density(value, encoder.prior_logits, encoder.prior_temperature)

    def outputs(self, batch: ImageBatch) -> EventOutputs:
        """Return all scores and the quality of the reconstruction, averaged over fixed draws.

        The reconstruction is the mode of the Bernoulli decoder (0 or 1), except for `bce`.
        """
        mask = batch.mask()
        logits, temperature = self.residual_encoder.posterior(mask)
        z = self.mask_encoder(mask).float()
        draws = self.draws(self.score_draws, logits.shape)
        by_draw, columns = [], []
        for noise in draws:
            latent = sample(logits, temperature, noise).exp().permute(0, 3, 1, 2)
            decoded = self.decoder(latent, z).float()
            mode = (decoded > 0).float()
            by_draw.append(reconstruction_scores(mode, mask, bernoulli_loss(decoded, mask)))
            columns.append(reconstruction_columns(mode, mask))
        scores = {f"latent_{i + 1}": z[:, i] for i in range(self.latent_dim)} | _mean(by_draw)
        scores["kl_forward"] = self.forward_divergence(logits, temperature, self.score_draws).sum(
            (1, 2)
        )
        scores["kl_reverse"] = self.reverse_divergence(
            logits, temperature, self.draws(self.kl_samples, logits.shape)
        ).sum((1, 2))
        return EventOutputs(scores, _mean(columns), {"latent": z})

    def reconstruction(self, batch: ImageBatch) -> ImageReconstruction:
        """Return the masks and the probability of a hit in each pixel, for one fixed draw."""
        mask = batch.mask()
        logits, temperature = self.residual_encoder.posterior(mask)
        value = sample(logits, temperature, self.draws(1, logits.shape)[0])
        probability = torch.sigmoid(self.decode(value, mask))
        return ImageReconstruction(mask[:, 0], probability[:, 0])


def _mean(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([part[name] for part in parts]).mean(0) for name in parts[0]}
