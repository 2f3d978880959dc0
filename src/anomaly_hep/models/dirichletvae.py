"""The Dirichlet VAE of images (arXiv:2104.08291), to which CoDAE is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import MinLen
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from anomaly_hep.bounds import Count, NonNegative, Positive, Seed
from anomaly_hep.data.batch import ImageBatch, JaggedBatch
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.imagescores import (
    LATENT_DESCRIPTIONS,
    RECONSTRUCTION_COLUMNS,
    reconstruction_columns,
    structural_similarity,
)
from anomaly_hep.models.outputs import (
    EventOutputs,
    ImageReconstruction,
    ScoreDescription,
    weighted_mean,
)

PIXELS = 72 * 58
LOG_VARIANCE = (-20.0, 2.0)  # bounds to which that of the posterior is clipped


def laplace_prior(
    concentration: Sequence[float],
) -> tuple[Float[Tensor, " component"], Float[Tensor, " component"]]:
    """Return mean and variance of the Gaussian whose softmax approximates a Dirichlet.

    This is the Laplace approximation in the softmax basis, arXiv:1703.01488.
    """
    alpha = torch.tensor(list(concentration), dtype=torch.float64)
    mean = alpha.log() - alpha.log().mean()
    variance = (1 - 2 / len(alpha)) / alpha + (1 / alpha).mean() / len(alpha)
    return mean.float(), variance.float()


def gaussian_divergence(
    mean: Float[Tensor, "image component"],
    log_variance: Float[Tensor, "image component"],
    prior_mean: Float[Tensor, " component"],
    prior_variance: Float[Tensor, " component"],
) -> Float[Tensor, " image"]:
    """Return the KL divergence of N(mean, variance) from the prior, summed over components."""
    squares = log_variance.exp() + (mean - prior_mean).square()
    terms = squares / prior_variance - 1 + prior_variance.log() - log_variance
    return 0.5 * terms.sum(1)


def pixel_divergence(
    image: Float[Tensor, "image pixel"], log_reconstruction: Float[Tensor, "image pixel"]
) -> Float[Tensor, " image"]:
    """Return the sum over pixels of x log(x / reconstruction), in nats; 0 for pixels with x = 0."""
    return (torch.special.xlogy(image, image) - image * log_reconstruction).sum(1)


class TopicEncoder(nn.Module):
    """Encode an image in means and log-variances: dense SELU layer, batch norm, two heads."""

    def __init__(self, hidden: int, components: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(PIXELS, hidden)
        # Keras' momentum 0.99 and epsilon; no learned offset
        self.norm = nn.BatchNorm1d(hidden, eps=1e-3, momentum=0.01)
        self.norm.register_parameter("bias", None)
        self.mean, self.log_variance = (nn.Linear(hidden, components) for _ in range(2))
        for layer in (self.hidden, self.mean, self.log_variance):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self, image: Float[Tensor, "image pixel"]
    ) -> tuple[Float[Tensor, "image component"], Float[Tensor, "image component"]]:
        """Return mean and clipped log-variance of the posterior."""
        x = self.norm(functional.selu(self.hidden(image)))
        return self.mean(x).float(), self.log_variance(x).float().clamp(*LOG_VARIANCE)


class DirichletVAE(AnomalyModel):
    """Describe an image as a mixture of topics, each of which is an image.

    A weakly supervised model in arXiv:2306.12955: its training events include unlabelled signals
    (data.signal_in_training). concentration: of the Dirichlet prior, one number per topic. beta:
    weight of the latent divergence. normalise: whether the mask image is divided by its number of
    hits, as in arXiv:2306.12955 section 5.3; without it, as in the public code, beta has some 80
    times less weight.

    Scores use the posterior's mean; the paper's best one is the second topic's weight.
    """

    title: ClassVar[str] = "Dirichlet VAE"
    embedding_names: ClassVar[tuple[str, ...]] = ("latent",)
    accepts: ClassVar[type[JaggedBatch]] = ImageBatch
    default_score: str = "latent_2"
    firmware_refusal: ClassVar[str | None] = (
        "its encoder takes every pixel of a detector image, and images have no constituents "
        "for a trigger to take the hardest of"
    )

    def __init__(
        self,
        *,
        phases: Mapping[str, Any],
        concentration: Annotated[Sequence[Positive], MinLen(2)],
        hidden: Count,
        beta: NonNegative,
        normalise: bool,
        seed: Seed,
    ) -> None:
        super().__init__(phases, seed)
        self.save_hyperparameters(logger=False)
        self.beta, self.normalise, topics = beta, normalise, range(len(concentration))
        self.score_names = (*(f"latent_{i + 1}" for i in topics), "reconstruction_kl", "latent_kl")
        self.event_columns = (*(f"posterior_mean_{i + 1}" for i in topics), *RECONSTRUCTION_COLUMNS)
        self.encoder = TopicEncoder(hidden, len(topics))
        self.decoder = nn.Linear(len(topics), PIXELS, bias=False)
        nn.init.xavier_uniform_(self.decoder.weight)
        self.prior_mean: Tensor
        self.prior_variance: Tensor
        mean, variance = laplace_prior(concentration)
        self.register_buffer("prior_mean", mean, persistent=False)
        self.register_buffer("prior_variance", variance, persistent=False)

    def decode(self, z: Float[Tensor, "image component"]) -> Float[Tensor, "image pixel"]:
        """Return the logarithm of the reconstruction, which sums to 1."""
        return functional.log_softmax(self.decoder(torch.softmax(z, 1)).float(), 1)

    def pixels(self, batch: ImageBatch) -> Float[Tensor, "image pixel"]:
        """Return the mask images as input of the network."""
        mask = batch.mask().flatten(1)
        # the clamp keeps an image without a hit at zero
        return mask / mask.sum(1, keepdim=True).clamp(min=1) if self.normalise else mask

    @classmethod
    def score_descriptions(cls) -> Mapping[str, ScoreDescription]:
        """Return titles and units."""
        return {
            **LATENT_DESCRIPTIONS,
            "reconstruction_kl": ScoreDescription("KL of the reconstruction", "nats"),
            "latent_kl": ScoreDescription("KL of the latent vector", "nats"),
        }

    def loss(self, batch: ImageBatch, phase: str) -> dict[str, Float[Tensor, ""]]:
        """Return pixel divergence + beta x latent divergence; in validation also the SSIM."""
        del phase  # there is one
        image = self.pixels(batch)
        mean, log_variance = self.encoder(image)
        z = mean
        if self.training:
            z = mean + (0.5 * log_variance).exp() * self.noise_like(mean)
        log_reconstruction = self.decode(z)
        reconstruction = weighted_mean(pixel_divergence(image, log_reconstruction), batch.weight)
        latent = weighted_mean(self.latent_divergence(mean, log_variance), batch.weight)
        terms = {
            "loss": reconstruction + self.beta * latent,
            "reconstruction": reconstruction,
            "kl": latent,
        }
        if not self.training:
            mask, expected = batch.mask(), self._expected_hits(batch, log_reconstruction)
            terms["ssim"] = weighted_mean(structural_similarity(expected, mask), batch.weight)
        return terms

    def latent_divergence(
        self, mean: Float[Tensor, "image component"], log_variance: Float[Tensor, "image component"]
    ) -> Float[Tensor, " image"]:
        """Return the KL divergence of the posterior from the prior."""
        return gaussian_divergence(mean, log_variance, self.prior_mean, self.prior_variance)

    def _expected_hits(
        self, batch: ImageBatch, log_reconstruction: Float[Tensor, "image pixel"]
    ) -> Float[Tensor, "image 1 72 58"]:
        """Return the reconstruction scaled to the image's number of hits, to compare with the mask.

        Inferred: the paper does not say how it compares a reconstruction that sums to 1.
        """
        hits = batch.mask().flatten(1).sum(1, keepdim=True)
        return (hits * log_reconstruction.exp()).view(-1, 1, *batch.shape[1:])

    def outputs(self, batch: ImageBatch) -> EventOutputs:
        """Return all scores, and the posterior's mean and the quality of the reconstruction."""
        image = self.pixels(batch)
        mean, log_variance = self.encoder(image)
        log_reconstruction = self.decode(mean)
        weights = torch.softmax(mean, 1)
        scores = {f"latent_{i + 1}": weight for i, weight in enumerate(weights.unbind(1))}
        scores["reconstruction_kl"] = pixel_divergence(image, log_reconstruction)
        scores["latent_kl"] = self.latent_divergence(mean, log_variance)
        columns = {f"posterior_mean_{i + 1}": value for i, value in enumerate(mean.unbind(1))}
        expected = self._expected_hits(batch, log_reconstruction)
        columns |= reconstruction_columns(expected, batch.mask())
        return EventOutputs(scores, columns, {"latent": mean})

    def encoder_score(self, batch: ImageBatch) -> Float[Tensor, " image"]:
        """Return the default score, which needs only the encoder."""
        return torch.softmax(self.encoder(self.pixels(batch))[0], 1)[:, 1]

    def reconstruction(self, batch: ImageBatch) -> ImageReconstruction:
        """Return the masks and the expected number of hits in each pixel."""
        log_reconstruction = self.decode(self.encoder(self.pixels(batch))[0])
        expected = self._expected_hits(batch, log_reconstruction)
        return ImageReconstruction(batch.mask()[:, 0], expected[:, 0])

    def flops(self, multiplicity: float) -> dict[str, float]:
        """Return multiplications and additions of the products of one image."""
        del multiplicity
        encoder, decoder = (
            sum(2.0 * p.numel() for p in network.parameters() if p.dim() > 1)
            for network in (self.encoder, self.decoder)
        )
        return {"encoder": encoder, "total": encoder + decoder}
