"""CLIP-VAE: Set-VAE without a KL term for badly reconstructed jets (arXiv:2311.17162)."""

from __future__ import annotations

from typing import ClassVar

from anomaly_hep.models.setvae import SetVAE


class CLIPVAE(SetVAE):
    """Set-VAE trained so that its KL divergence is the score: no decoder in the trigger.

    It differs from Set-VAE in the configuration (clip_fraction < 1, beta, angular_scale) and in the
    default score.
    """

    title: ClassVar[str] = "CLIP-VAE"
    default_score: str = "kl"
