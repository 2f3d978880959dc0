"""CoDAE: a dual auto-encoder of detector images, conditioned on two numbers (arXiv:2306.12955)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anomaly_hep.bounds import Count, Seed
from anomaly_hep.data.batch import ImageBatch, JaggedBatch
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.imagescores import (
    LATENT_DESCRIPTIONS,
    RECONSTRUCTION_COLUMNS,
    RECONSTRUCTION_DESCRIPTIONS,
    RECONSTRUCTION_SCORES,
    bernoulli_loss,
    reconstruction_columns,
    reconstruction_scores,
    structural_similarity,
)
from anomaly_hep.models.layers import kernels
from anomaly_hep.models.layers.convolution import (
    ConvBlock,
    MaskBlock,
    Residual,
    SpatialConditioning,
    he_uniform,
)
from anomaly_hep.models.outputs import (
    EventOutputs,
    ImageReconstruction,
    ScoreDescription,
    weighted_mean,
)

HEIGHT, WIDTH = 72, 58  # phi, eta
LATENT = (64, 5, 4)  # channels, rows, columns of the large bottleneck
START = -1.0  # initial bias of the last layer: sigmoid(-1) = 0.27, for images with few hits


def operations(layers: Iterable[nn.Module], sizes: Iterable[tuple[int, int]]) -> float:
    """Return the multiplications and additions of layers with outputs of these `sizes`."""
    return sum(
        2.0 * kernel.numel() * rows * columns
        for layer, (rows, columns) in zip(layers, sizes, strict=True)
        for kernel in layer.parameters()
        if kernel.dim() > 1
    )


class ResidualEncoder(nn.Module):
    """The large encoder f_R: a mask image to 5 x 4 x 64, arXiv:2306.12955 Table 1."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            MaskBlock(64, stride=2),  # 36 x 29
            Residual(64, groups=4),
            ConvBlock(64, 128, stride=2, groups=4),  # 18 x 15
            Residual(128, groups=4),
            ConvBlock(128, 128, stride=2, groups=4),  # 9 x 8
            Residual(128, groups=4),
            ConvBlock(128, 256, stride=2, groups=4),  # 5 x 4
            Residual(256, groups=4),
        )
        self.out = nn.Conv2d(256, LATENT[0], 1)
        he_start(self.out)

    def forward(self, mask: Float[Tensor, "image 1 72 58"]) -> Float[Tensor, "image 64 5 4"]:
        """Return the large latent image."""
        return self.out(self.blocks(mask))

    def operations(self) -> float:
        """Return multiplications and additions for one image."""
        sizes = [(36, 29)] * 2 + [(18, 15)] * 2 + [(9, 8)] * 2 + [(5, 4)] * 3
        return operations([*self.blocks, self.out], sizes)


class MaskEncoder(nn.Module):
    """The small encoder f_m: a mask image to `components` numbers, arXiv:2306.12955 Table 2."""

    def __init__(self, components: int) -> None:
        super().__init__()
        self.first = MaskBlock(64, pooled=True)  # 72 x 58, pooled to 36 x 29
        self.blocks = nn.ModuleList([
            ConvBlock(64, 128, groups=2),  # pooled to 18 x 15
            ConvBlock(128, 128, groups=2),  # 9 x 8
            ConvBlock(128, 256, groups=2),  # 5 x 4
        ])  # fmt: skip
        self.out = nn.Linear(256 * 5 * 4, components)
        he_start(self.out)

    def forward(self, mask: Float[Tensor, "image 1 72 58"]) -> Float[Tensor, "image component"]:
        """Return the small latent vector."""
        x = self.first(mask)
        for block in self.blocks:
            x = kernels.pool(block(x))
        return self.out(x.permute(0, 2, 3, 1).flatten(1))

    def operations(self) -> float:
        """Return multiplications and additions for one image."""
        sizes = [(HEIGHT, WIDTH), (36, 29), (18, 15), (9, 8), (1, 1)]
        return operations([self.first, *self.blocks, self.out], sizes)


class Decoder(nn.Module):
    """The conditional decoder: 5 x 4 x 64 and the small vector to an image of logits, Table 3."""

    def __init__(self, components: int) -> None:
        super().__init__()
        # the first up-convolution has one group in the published code, four in the paper's table
        stages = ((64, 256, 1, 5, 4), (256, 128, 4, 10, 8), (128, 128, 4, 20, 16),
                  (128, 64, 4, 40, 32))  # fmt: skip
        self.conditionings = nn.ModuleList(
            SpatialConditioning(components, inputs, height, width)
            for inputs, _, _, height, width in stages
        )
        self.blocks = nn.ModuleList(
            ConvBlock(inputs, outputs, groups=groups) for inputs, outputs, groups, _, _ in stages
        )
        self.residuals = nn.ModuleList(Residual(outputs, groups=4) for _, outputs, *_ in stages)
        self.out = nn.Linear(64, 1)
        he_start(self.out)
        nn.init.constant_(self.out.bias, START)

    def forward(
        self, latent: Float[Tensor, "image 64 5 4"], z: Float[Tensor, "image component"]
    ) -> Float[Tensor, "image 1 72 58"]:
        """Return the logit of a hit in each pixel."""
        x = latent
        for condition, block, residual in zip(
            self.conditionings, self.blocks, self.residuals, strict=True
        ):
            x = residual(block(kernels.upsample(condition(x, z))))
        logits = self.out(x.permute(0, 2, 3, 1))[..., 0]  # 80 x 64, cropped to the middle
        return logits[:, None, 4 : 4 + HEIGHT, 3 : 3 + WIDTH]

    def operations(self) -> float:
        """Return multiplications and additions for one image."""
        small = [(5, 4), (10, 8), (20, 16), (40, 32)]
        large = [(2 * rows, 2 * columns) for rows, columns in small]
        layers = [*self.conditionings, *self.blocks, *self.residuals, self.out]
        return operations(layers, [*small, *large, *large, large[-1]])


def he_start(layer: nn.Conv2d | nn.Linear) -> None:
    """Initialise a last layer as published: He-uniform kernel, zero bias."""
    he_uniform(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class CoDAE(AnomalyModel):
    """Encode a mask image in a large latent image and in `latent_dim` numbers, and decode both.

    The mask is 1 where the tracker has energy.
    """

    title: ClassVar[str] = "CoDAE"
    embedding_names: ClassVar[tuple[str, ...]] = ("latent",)
    accepts: ClassVar[type[JaggedBatch]] = ImageBatch
    default_score: str = "sse"
    firmware_refusal: ClassVar[str | None] = (
        "its mask encoder divides by each image's own standard deviation (InstanceNorm), which no "
        "fixed integer weights repeat"
    )

    def __init__(self, *, phases: Mapping[str, Any], latent_dim: Count, seed: Seed) -> None:
        super().__init__(phases, seed)
        self.save_hyperparameters(logger=False)
        self.latent_dim = latent_dim
        latent = (f"latent_{i + 1}" for i in range(latent_dim))
        self.score_names = (*latent, *RECONSTRUCTION_SCORES)
        self.event_columns = RECONSTRUCTION_COLUMNS
        self.residual_encoder = ResidualEncoder()
        self.mask_encoder = MaskEncoder(latent_dim)
        self.decoder = Decoder(latent_dim)
        self.to(memory_format=torch.channels_last)

    def forward(
        self, mask: Float[Tensor, "image 1 72 58"]
    ) -> tuple[Float[Tensor, "image component"], Float[Tensor, "image 1 72 58"]]:
        """Return the small latent vector and the logits of the reconstruction."""
        z = self.mask_encoder(mask)
        return z.float(), self.decoder(self.residual_encoder(mask), z).float()

    @classmethod
    def score_descriptions(cls) -> Mapping[str, ScoreDescription]:
        """Return titles and units."""
        return {**LATENT_DESCRIPTIONS, **RECONSTRUCTION_DESCRIPTIONS}

    def loss(self, batch: ImageBatch, phase: str) -> dict[str, Float[Tensor, ""]]:
        """Return the cross-entropy summed over pixels; in validation also the SSIM."""
        del phase  # there is one
        mask = batch.mask()
        _, logits = self(mask)
        terms = {"loss": weighted_mean(bernoulli_loss(logits, mask), batch.weight)}
        if not self.training:
            similarity = structural_similarity(torch.sigmoid(logits), mask)
            terms["ssim"] = weighted_mean(similarity, batch.weight)
        return terms

    def outputs(self, batch: ImageBatch) -> EventOutputs:
        """Return all scores, and the quality of the reconstruction."""
        mask = batch.mask()
        z, logits = self(mask)
        scores = {f"latent_{i + 1}": z[:, i] for i in range(self.latent_dim)}
        probability = torch.sigmoid(logits)
        scores |= reconstruction_scores(probability, mask, bernoulli_loss(logits, mask))
        columns = reconstruction_columns(probability, mask)
        return EventOutputs(scores, columns, {"latent": z})

    def encoder_score(self, batch: ImageBatch) -> Float[Tensor, " image"]:
        """Return the first latent component, which needs only the small encoder."""
        return self.mask_encoder(batch.mask())[:, 0].float()

    def reconstruction(self, batch: ImageBatch) -> ImageReconstruction:
        """Return the masks and the probability of a hit in each pixel."""
        mask = batch.mask()
        return ImageReconstruction(mask[:, 0], torch.sigmoid(self(mask)[1])[:, 0])

    def parameter_counts(self) -> dict[str, int]:
        """Return the number of parameters; 'encoder' are those that the latent scores need."""
        total = sum(p.numel() for p in self.parameters())
        return {"total": total, "encoder": sum(p.numel() for p in self.mask_encoder.parameters())}

    def flops(self, multiplicity: float) -> dict[str, float]:
        """Return multiplications and additions of the convolutions and products of one image.

        'encoder' is the small encoder, which the latent scores need. All windows of the first
        layers count, although a table replaces most of them.
        """
        del multiplicity
        encoder = self.mask_encoder.operations()
        return {
            "encoder": encoder,
            "total": encoder + self.residual_encoder.operations() + self.decoder.operations(),
        }
