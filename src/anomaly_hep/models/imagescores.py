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
_HALF = 5  # half-width in pixels of an SSIM window
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
    """Return the binary cross-entropy summed over pixels, probabilities clipped as by Keras."""
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
    """Return all reconstruction scores of section 4.4, as sums over pixels.

    `sae` is called BCE in the published tables: their code swapped the two images, which makes the
    cross-entropy 15.42 times the sum of absolute errors. An image whose inverse Dice coefficient is
    not finite (true and predicted hits do not overlap) gets 0 and counts as most normal.
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
    """Return the SSIM with Gaussian windows of 11 x 11 pixels, sigma 1.5, as in tf.image.ssim.

    Only windows inside the image count.
    """
    if not len(mask):
        return mask.new_zeros(0)  # torchmetrics fails for empty input
    _, windows = structural_similarity_index_measure(
        reconstructed, mask, sigma=1.5, data_range=1.0, reduction="none", return_full_image=True
    )
    return windows[..., _HALF:-_HALF, _HALF:-_HALF].flatten(1).mean(1)
