"""Compact convolutional transformer (arXiv:2104.05704), supervised, as in arXiv:2306.12955."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from anomaly_hep.bounds import Count, Positive, Seed, Share
from anomaly_hep.data.batch import ImageBatch, JaggedBatch
from anomaly_hep.errors import ConfigError
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.layers import kernels
from anomaly_hep.models.outputs import EventOutputs, ScoreDescription, weighted_mean

FILTERS = (64, 128)  # of the tokeniser
ROWS, COLUMNS = 18, 15  # of tokens
WIDTH = FILTERS[-1]
_POSITIONS = 0.05  # Keras initialises embeddings uniformly within +- this
_EPS = 1e-5  # of the layer norms

Tokens = Float[Tensor, "image token feature"]


class Tokenizer(nn.Module):
    """Convert an image to 270 tokens of 128 features: twice 3 x 3 convolution, ReLU, max-pool."""

    def __init__(self) -> None:
        super().__init__()
        first, second = FILTERS
        self.convolutions = nn.ModuleList([
            nn.Conv2d(1, first, 3, bias=False), nn.Conv2d(first, second, 3, bias=False)
        ])  # fmt: skip
        for kernel in self.parameters():
            nn.init.kaiming_normal_(kernel, nonlinearity="relu")

    def forward(self, image: Float[Tensor, "image 1 72 58"]) -> Tokens:
        """Return the tokens, row by row."""
        x = image
        for convolution in self.convolutions:
            # zeros replace the edge that the convolution removes
            x = functional.pad(functional.relu(convolution(x)), (1, 1, 1, 1))
            x = kernels.pool(x)  # 36 x 29, then 18 x 15
        return x.flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Self-attention in which each head has keys as wide as the tokens."""

    def __init__(self, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value = (nn.Linear(WIDTH, heads * WIDTH) for _ in range(3))
        self.out = nn.Linear(heads * WIDTH, WIDTH)

    def forward(self, x: Tokens) -> Tokens:
        """Return the attended tokens."""
        # (image, token, head x key) -> (image, head, token, key)
        query, key, value = (
            layer(x).unflatten(2, (self.heads, WIDTH)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        attended = functional.scaled_dot_product_attention(
            query, key, value, dropout_p=self.dropout if self.training else 0.0
        )
        result: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return result


class Block(nn.Module):
    """Pre-norm attention and MLP branches, with stochastic depth.

    drop: probability that an image skips a branch. legacy: `legacy_skips` of `CCT`.
    """

    def __init__(
        self, heads: int, *, dropout: float, attention_dropout: float, drop: float, legacy: bool
    ) -> None:
        super().__init__()
        self.drop, self.legacy = drop, legacy
        self.norm_attention = nn.LayerNorm(WIDTH, eps=_EPS)
        self.attention = Attention(heads, attention_dropout)
        self.norm_mlp = nn.LayerNorm(WIDTH, eps=_EPS)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Dropout(dropout),
        )  # fmt: skip

    def forward(self, x: Tokens) -> Tokens:
        """Return the tokens after both branches."""
        x = self._joined(x, self.attention(self.norm_attention(x)))
        return self._joined(x, self.mlp(self.norm_mlp(x)))

    def _joined(self, shortcut: Tokens, branch: Tokens) -> Tokens:
        if self.legacy:
            kept = float(torch.rand(()) < self.drop) if self.training else self.drop
            return branch + kept * shortcut
        if not self.training or self.drop == 0:
            return shortcut + branch
        kept_images = torch.rand(len(branch), 1, 1, device=branch.device) >= self.drop
        return shortcut + branch * kept_images.to(branch.dtype) / (1 - self.drop)


class CCT(AnomalyModel):
    """Classify images into background and groups of signals, as an upper bound.

    It is trained and validated on labelled signal events (`labels` of its phase), so its results
    are a bound for anomaly detection. The paper chooses the checkpoint by the AUC of the
    validation events, this model by their loss.

    classes: number of classes, background included. maximum: GeV; the sum of the three channels is
    clipped to it and divided by it. drop_path: probability of dropping the last block's branches,
    rising from 0 in the first block. legacy_skips: as in the public code, which calls TensorFlow
    Addons' stochastic depth with branch and shortcut swapped and takes the drop probability for
    the survival probability: the first block has no shortcut, the last a fifth of one.

    Positions are constant: the published code adds an embedding that is neither trained nor counted
    among the 406 084 parameters.
    """

    title: ClassVar[str] = "CCT"
    accepts: ClassVar[type[JaggedBatch]] = ImageBatch
    default_score: str = "signal_probability"
    firmware_refusal: ClassVar[str | None] = (
        "its attention compares all patches of a detector image, which has no constituents for a "
        "trigger to take the hardest of, and it learns from signal labels"
    )
    score_names = ("signal_probability",)

    def __init__(
        self,
        *,
        phases: Mapping[str, Any],
        classes: Count,
        maximum: Positive,
        blocks: Count,
        heads: Count,
        dropout: Share,
        attention_dropout: Share,
        drop_path: Share,
        label_smoothing: Share,
        legacy_skips: bool,
        seed: Seed,
    ) -> None:
        super().__init__(phases, seed)
        self.save_hyperparameters(logger=False)
        for phase in self.phases:
            if not phase.labels:
                raise ConfigError(
                    f"CCT is supervised, but model.phases.{phase.name}.labels is empty. Cure: set "
                    "it to ['*'], or choose an unsupervised model"
                )
        self.classes, self.maximum, self.label_smoothing = classes, maximum, label_smoothing
        self.tokenizer = Tokenizer()
        self.positions: Tensor
        positions = (2 * torch.rand(ROWS * COLUMNS, WIDTH) - 1) * _POSITIONS
        self.register_buffer("positions", positions)
        self.blocks = nn.ModuleList(
            Block(
                heads,
                dropout=dropout,
                attention_dropout=attention_dropout,
                drop=drop_path * block / max(blocks - 1, 1),
                legacy=legacy_skips,
            )
            for block in range(blocks)
        )
        self.norm = nn.LayerNorm(WIDTH, eps=_EPS)
        self.importance = nn.Linear(WIDTH, 1)
        self.out = nn.Linear(WIDTH, classes)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):  # as initialised by Keras
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
        self.to(memory_format=torch.channels_last)

    def forward(self, image: Float[Tensor, "image 1 72 58"]) -> Float[Tensor, "image class"]:
        """Return the logits of the classes."""
        x = self.tokenizer(image) + self.positions
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        # sequence pooling: a weighted mean of the tokens
        weights = torch.softmax(self.importance(x), dim=1)
        logits: Tensor = self.out((weights * x).sum(1))
        return logits.float()

    def images(self, batch: ImageBatch) -> Float[Tensor, "image 1 72 58"]:
        """Return the sum of the channels, clipped and scaled to at most 1."""
        return batch.energies().sum(1, keepdim=True).clamp(max=self.maximum) / self.maximum

    @classmethod
    def score_descriptions(cls) -> Mapping[str, ScoreDescription]:
        """Return titles and units."""
        return {"signal_probability": ScoreDescription("signal probability")}

    def loss(self, batch: ImageBatch, phase: str) -> dict[str, Float[Tensor, ""]]:
        """Return the cross-entropy with smoothed labels, and the accuracy."""
        if batch.label is None:
            raise ConfigError(
                "this model is supervised, but its training events have no label. Cure: set "
                f"model.phases.{phase}.labels=['*'], or choose an unsupervised model"
            )
        if len(batch) and int(batch.label.max()) >= self.classes:
            raise ConfigError(
                f"a training event is of class {int(batch.label.max())}, but the model has "
                f"{self.classes} classes. Cure: set model.classes to the number of data.groups + 1"
            )
        logits = self(self.images(batch))
        entropy = functional.cross_entropy(
            logits, batch.label, label_smoothing=self.label_smoothing, reduction="none"
        )
        correct = (logits.argmax(1) == batch.label).float()
        return {
            "loss": weighted_mean(entropy, batch.weight),
            "accuracy": weighted_mean(correct, batch.weight),
        }

    def outputs(self, batch: ImageBatch) -> EventOutputs:
        """Return the probability of any signal."""
        probability = torch.softmax(self(self.images(batch)), 1)[:, 1:].sum(1)
        return EventOutputs({"signal_probability": probability})

    def parameter_counts(self) -> dict[str, int]:
        """Return all parameters as both numbers, since the score needs all of them."""
        total = sum(p.numel() for p in self.parameters())
        return {"total": total, "encoder": total}

    def flops(self, multiplicity: float) -> dict[str, float]:
        """Return multiplications and additions of convolutions, products and attention."""
        del multiplicity
        tokens = ROWS * COLUMNS
        # output pixels of the two convolutions, without the edges
        applied = {self.tokenizer.convolutions[0]: 70 * 56, self.tokenizer.convolutions[1]: 34 * 27}
        total = float(2 * tokens * WIDTH)  # sequence pooling
        for layer in self.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                times = 1 if layer is self.out else applied.get(layer, tokens)
                total += 2.0 * layer.weight.numel() * times
            elif isinstance(layer, Attention):
                total += 4.0 * tokens * tokens * layer.heads * WIDTH
        return {"encoder": total, "total": total}
