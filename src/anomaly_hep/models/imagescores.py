"""Scores of a reconstructed image against the true mask, arXiv:2306.12955 section 4.4."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.image import structural_similarity_index_measure

from anomaly_hep.models.outputs import ScoreDescription

# Keras clips probabilities to [1e-7, 1 - 1e-7] before the logarithm
_LARGEST_LOGIT = 16.118095
_HALF = 5  # pixels of an SSIM window on either side of its centre
RECONSTRUCTION_SCORES = (
    "bce",
    "sse",
    "sae",
    "sae_mask",
    "inverse_dice",
    "energy_predicted",
    "energy_difference",
)
RECONSTRUCTION_DESCRIPTIONS: Mapping[str, ScoreDescription] = {
    "bce": ScoreDescription("BCE", "nats per image"),
    "sae": ScoreDescription("SAE", "sum over pixels"),
    "sse": ScoreDescription("SSE", "sum over pixels"),
    "inverse_dice": ScoreDescription("1/Dice"),
    "sae_mask": ScoreDescription("SAE of masks", "sum over pixels"),
    "energy_predicted": ScoreDescription("predicted energy", "sum over pixels"),
    "energy_difference": ScoreDescription("energy difference", "sum over pixels"),
}
# the latent vectors of these models have few components
LATENT_DESCRIPTIONS: Mapping[str, ScoreDescription] = {
    f"latent_{i}": ScoreDescription(f"latent {i}") for i in range(1, 10)
}
RECONSTRUCTION_COLUMNS = ("reconstruction_mse", "reconstruction_ssim")


def bernoulli_loss(
    logits: Float[Tensor, "image 1 row column"], mask: Float[Tensor, "image 1 row column"]
) -> Float[Tensor, " image"]:
    """Return the binary cross-entropy summed over pixels, probabilities clipped as Keras does."""
    clipped = logits.clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT)
    return (
        functional.binary_cross_entropy_with_logits(clipped, mask, reduction="none")
        .flatten(1)
        .sum(1)
    )


def reconstruction_scores(
    reconstructed: Float[Tensor, "image 1 row column"],
    mask: Float[Tensor, "image 1 row column"],
    cross_entropy: Float[Tensor, " image"],
) -> dict[str, Float[Tensor, " image"]]:
    """Return every reconstruction score of section 4.4, sums over pixels.

    `sae` is what the published tables call BCE: their code compared the two images the other way
    round, which makes the cross-entropy 15.42 times the sum of absolute errors. An image whose
    inverse Dice coefficient is not finite (nothing true, nothing predicted) counts as most normal.
    """
    p, t = reconstructed.flatten(1), mask.flatten(1)
    error = p - t
    dice = ((p * p).sum(1) + (t * t).sum(1)) / (2 * (p * t).sum(1))
    return {
        "bce": cross_entropy,
        "sse": (error * error).sum(1),
        "sae": error.abs().sum(1),
        "sae_mask": ((p > 0) != (t > 0)).sum(1).float(),
        "inverse_dice": torch.where(torch.isfinite(dice), dice, torch.zeros_like(dice)),
        "energy_predicted": p.sum(1),
        "energy_difference": t.sum(1) - p.sum(1),
    }


def reconstruction_columns(
    reconstructed: Float[Tensor, "image 1 row column"], mask: Float[Tensor, "image 1 row column"]
) -> dict[str, Float[Tensor, " image"]]:
    """Return the squared error summed over pixels and the SSIM of each image."""
    error = (reconstructed - mask).flatten(1)
    return {
        "reconstruction_mse": (error * error).sum(1),
        "reconstruction_ssim": structural_similarity(reconstructed, mask),
    }


def structural_similarity(
    reconstructed: Float[Tensor, "image 1 row column"], mask: Float[Tensor, "image 1 row column"]
) -> Float[Tensor, " image"]:
    """Return the SSIM: Gaussian windows of 11 x 11, sigma 1.5, as tf.image.ssim has it.

    Windows that would reach over the edge do not count.
    """
    if not len(mask):
        return mask.new_zeros(0)  # torchmetrics fails on no image
    _, windows = structural_similarity_index_measure(
        reconstructed, mask, sigma=1.5, data_range=1.0, reduction="none", return_full_image=True
    )
    return windows[..., _HALF:-_HALF, _HALF:-_HALF].flatten(1).mean(1)
