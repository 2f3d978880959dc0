"""The auto-encoder after 'QCD or What?' (arXiv:1808.08979), to which CoDAE is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anomaly_hep.bounds import Count, Seed
from anomaly_hep.data.batch import ImageBatch, JaggedBatch
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.imagescores import (
    RECONSTRUCTION_COLUMNS,
    RECONSTRUCTION_DESCRIPTIONS,
    RECONSTRUCTION_SCORES,
    bernoulli_loss,
    reconstruction_columns,
    reconstruction_scores,
    structural_similarity,
)
from anomaly_hep.models.layers.convolution import he_uniform
from anomaly_hep.models.outputs import (
    EventOutputs,
    ImageReconstruction,
    ScoreDescription,
    weighted_mean,
)

UNITS = (400, 100)  # of the dense layers on either side of the latent vector
SIDE = 20  # pixels: the decoder's image starts as 400 = 20 x 20 x 1
START = -1.0  # initial bias of the last layer, for images with few hits
# number of times that each kernel is applied to an image, in the order of the parameters
_ENCODER = (72 * 58, 36 * 29, 36 * 29, 1, 1, 1)
_DECODER = (1, 1, 20 * 20, 40 * 40, 40 * 40, 80 * 80, 72 * 58)


def _prelu(features: int) -> nn.PReLU:
    return nn.PReLU(features, init=0.0)  # Keras initialises it as a ReLU


def encoder(latent_dim: int) -> nn.Sequential:
    """Return the network from mask image (1, 72, 58) to latent vector, arXiv:2306.12955 Table 9."""
    return nn.Sequential(
        nn.Conv2d(1, 10, 3, padding=1), _prelu(10),
        nn.AvgPool2d(2),  # 36 x 29
        nn.Conv2d(10, 5, 3, padding=1), _prelu(5),
        nn.Conv2d(5, 5, 3, padding=1), _prelu(5),
        nn.AvgPool2d(2),  # 18 x 14
        nn.Flatten(),
        nn.Linear(5 * 18 * 14, UNITS[0]), _prelu(UNITS[0]),
        nn.Linear(UNITS[0], UNITS[1]), _prelu(UNITS[1]),
        nn.Linear(UNITS[1], latent_dim),
    )  # fmt: skip


class Doubling(nn.ConvTranspose2d):
    """Transposed 3 x 3 convolution of stride 2 with TensorFlow's SAME padding: doubles the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, stride=2)

    def forward(  # type: ignore[override] # torch's takes the output size too: here the double
        self, x: Float[Tensor, "image channel row column"]
    ) -> Float[Tensor, "image channel2 row2 column2"]:
        """Return the larger image, without the surplus last row and column."""
        return super().forward(x)[:, :, :-1, :-1]


class CentreCrop(nn.Module):
    """The middle 72 x 58 of 80 x 80 pixels."""

    def forward(
        self, x: Float[Tensor, "image channel 80 80"]
    ) -> Float[Tensor, "image channel 72 58"]:
        """Return the crop."""
        return x[:, :, 4:76, 11:69]


def decoder(latent_dim: int) -> nn.Sequential:
    """Return the network from latent vector to logits (1, 72, 58), arXiv:2306.12955 Table 9."""
    return nn.Sequential(
        nn.Linear(latent_dim, UNITS[1]), _prelu(UNITS[1]),
        nn.Linear(UNITS[1], UNITS[0]), _prelu(UNITS[0]),
        nn.Unflatten(1, (1, SIDE, SIDE)),
        Doubling(1, 5), _prelu(5),  # 40 x 40
        nn.Conv2d(5, 5, 3, padding=1), _prelu(5),
        Doubling(5, 5), _prelu(5),  # 80 x 80
        nn.Conv2d(5, 5, 3, padding=1), _prelu(5),
        CentreCrop(),
        nn.Conv2d(5, 1, 1),
    )  # fmt: skip


def _start(network: nn.Sequential) -> None:
    """Initialise all layers with He-uniform kernels and zero biases."""
    for layer in network:
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.ConvTranspose2d):
            he_uniform(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


def _operations(network: nn.Module, applied: Sequence[int]) -> float:
    kernels = [p for p in network.parameters() if p.dim() > 1]
    return sum(2.0 * kernel.numel() * n for kernel, n in zip(kernels, applied, strict=True))


class ImageAE(AnomalyModel):
    """Encode a mask image in `latent_dim` numbers and decode it; trained on the squared error.

    Layers are those of arXiv:2306.12955 Table 9, with 3 x 3 kernels, 2 x 2 pooling, PReLU with one
    slope per channel or unit and a final sigmoid as in its public code. Inferred: the reshape of
    400 numbers to 20 x 20 x 1 (two steps of stride 2 give the 80 x 80 that the crop needs), the He
    initialisation, and the last bias of -1.
    """

    title: ClassVar[str] = "AE (Heimel-like)"
    embedding_names: ClassVar[tuple[str, ...]] = ("latent",)
    accepts: ClassVar[type[JaggedBatch]] = ImageBatch
    default_score: str = "sse"
    firmware_refusal: ClassVar[str | None] = (
        "its encoder convolves whole detector images, and they have no constituents for a "
        "trigger to take the hardest of"
    )
    score_names = RECONSTRUCTION_SCORES
    event_columns = RECONSTRUCTION_COLUMNS

    def __init__(self, *, phases: Mapping[str, Any], latent_dim: Count, seed: Seed) -> None:
        super().__init__(phases, seed)
        self.save_hyperparameters(logger=False)
        self.encoder, self.decoder = encoder(latent_dim), decoder(latent_dim)
        _start(self.encoder)
        _start(self.decoder)
        last = self.decoder[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        nn.init.constant_(last.bias, START)

    def forward(self, mask: Float[Tensor, "image 1 72 58"]) -> Float[Tensor, "image 1 72 58"]:
        """Return the logit of a hit in each pixel."""
        logits: Tensor = self.decoder(self.encoder(mask))
        return logits.float()

    @classmethod
    def score_descriptions(cls) -> Mapping[str, ScoreDescription]:
        """Return titles and units."""
        return RECONSTRUCTION_DESCRIPTIONS

    def loss(self, batch: ImageBatch, phase: str) -> dict[str, Float[Tensor, ""]]:
        """Return the squared error summed over pixels; in validation also the SSIM."""
        del phase  # there is one
        mask = batch.mask()
        probability = torch.sigmoid(self(mask))
        error = (probability - mask).square().flatten(1).sum(1)
        terms = {"loss": weighted_mean(error, batch.weight)}
        if not self.training:
            similarity = structural_similarity(probability, mask)
            terms["ssim"] = weighted_mean(similarity, batch.weight)
        return terms

    def outputs(self, batch: ImageBatch) -> EventOutputs:
        """Return all scores, and the quality of the reconstruction."""
        mask = batch.mask()
        latent = self.encoder(mask)
        logits = self.decoder(latent).float()
        probability = torch.sigmoid(logits)
        scores = reconstruction_scores(probability, mask, bernoulli_loss(logits, mask))
        columns = reconstruction_columns(probability, mask)
        return EventOutputs(scores, columns, {"latent": latent.float()})

    def reconstruction(self, batch: ImageBatch) -> ImageReconstruction:
        """Return the masks and the probability of a hit in each pixel."""
        mask = batch.mask()
        return ImageReconstruction(mask[:, 0], torch.sigmoid(self(mask))[:, 0])

    def flops(self, multiplicity: float) -> dict[str, float]:
        """Return multiplications and additions of the convolutions and products of one image."""
        del multiplicity
        encoder = _operations(self.encoder, _ENCODER)
        return {"encoder": encoder, "total": encoder + _operations(self.decoder, _DECODER)}
