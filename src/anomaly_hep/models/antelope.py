"""ANTELOPE: a VAE of the event vectors that a classifier has learned (arXiv:2408.17409).

Decisions, with the sections of the paper, which numbers no equation: a particle is (pT, eta, phi),
its range scaled to 0 to 1 (section 2); Phi has ReLU after all three layers, F a softmax of two
classes, and the VAE a hidden layer of 32 twice and one of 16, dropout and a last ReLU, all as in
the published code; its loss is the mean squared error over the components plus the KL divergence,
summed over the latent dimensions, with weight 1 each, as printed (the code's sum over a batch of 32
has reconstruction_weight=32); the posterior is sampled in training alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import NormalDist
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from anomaly_hep.bounds import Count, NonNegative, Seed
from anomaly_hep.data.batch import JaggedBatch, ParticleBatch, VectorBatch
from anomaly_hep.errors import ConfigError
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.embedding import ModelEmbedding, described
from anomaly_hep.models.layers.particleflow import EMBEDDED, ParticleFlow, classifier
from anomaly_hep.models.losses import kl_divergence
from anomaly_hep.models.outputs import EventOutputs, ScoreDescription, weighted_mean
from anomaly_hep.models.phase import Phase

_EMBEDDING = "encoder.embedding."  # the parameters of the first stage
_HIDDEN, _NARROW = 32, 16
_DROPOUT, _SLOPE = 0.1, 0.3
_LOWEST = NormalDist().inv_cdf(_DROPOUT)  # that a normal number is below this has _DROPOUT's chance


class TwoStageEncoder(nn.Module):
    """Embed an event as one vector, and map that to the mean and log-variance of a posterior."""

    def __init__(self, embedding: nn.Module, size: int, latent_dim: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.widths = [size, _HIDDEN, _HIDDEN, _NARROW]
        last = nn.Linear(_NARROW, 2 * latent_dim)
        self.posterior = nn.ModuleList([*(nn.Linear(a, b) for a, b in pairwise(self.widths)), last])
        _initialize(self.posterior)
        # components are sums of up to 160 particles, so exp(log-variance) could begin infinite
        nn.init.zeros_(last.weight[latent_dim:])

    def forward(
        self,
        vectors: Float[Tensor, "event component"],
        noise: Float[Tensor, "event value"] | None = None,
    ) -> tuple[Float[Tensor, "event latent"], Float[Tensor, "event latent"]]:
        """Return mean and log-variance for embedded events.

        noise: normal numbers, of which one drops each input of a layer if it is low; None for no
        dropout. As in the published code, values are dropped before the activation.
        """
        kept: list[Tensor] | list[float] = [1.0] * len(self.widths)
        if noise is not None:
            scale = (noise > _LOWEST).to(noise.dtype) / (1 - _DROPOUT)
            kept = list(scale.split(self.widths, 1))
        *hidden, last = self.posterior
        x = vectors * kept[0]
        for layer, factor in zip(hidden, kept[1:], strict=True):
            x = functional.leaky_relu(layer(x) * factor, _SLOPE)
        mean, log_variance = last(x).float().chunk(2, dim=1)
        return mean, log_variance


class Antelope(AnomalyModel):
    """Score how badly a VAE of the background reconstructs the vector that embeds an event.

    signal: the class that the first stage learns to tell from the background, which is that of the
    phases' labels. embedding: the
    checkpoint of a trained model whose encoder is the first stage instead (or its description, as
    checkpoints of this model hold it); the phases that would train one are left out, and so is the
    score `pfn`. reconstruction_weight, beta: weights of the two terms of the loss.
    """

    title: ClassVar[str] = "ANTELOPE"
    accepts: ClassVar[type[JaggedBatch]] = ParticleBatch
    default_score: str = "total"
    embedding_names: ClassVar[tuple[str, ...]] = ("embedding", "latent")
    reference_multiplicity: ClassVar[float | None] = 160.0
    firmware_refusal: ClassVar[str | None] = None
    score_names: tuple[str, ...] = ("total", "reconstruction", "kl", "pfn")

    def __init__(
        self,
        *,
        features: Sequence[str],
        phases: Mapping[str, Any],
        signal: str,
        embedding: str | Mapping[str, Any] | None,
        latent_dim: Count,
        reconstruction_weight: NonNegative,
        beta: NonNegative,
        seed: Seed,
    ) -> None:
        super().__init__(phases, seed)
        self.save_hyperparameters(logger=False)
        self.reconstruction_weight, self.beta = reconstruction_weight, beta
        self.features = tuple(features)
        self.signal = signal
        self.latent_dim = latent_dim
        self.classifier: nn.Module | None = None
        if embedding is None:
            first: nn.Module = ParticleFlow(len(features))
            size, self.classifier = EMBEDDED, classifier()
        else:
            source = ModelEmbedding.of(embedding)
            self.hparams["embedding"] = described(source.model)
            first, size = source, source.size
            self.features, self.needs_types = source.model.features, source.model.needs_types
            self.score_names = self.score_names[:-1]
            self.phases = tuple(p for p in self.phases if not p.learns(_EMBEDDING))
        self.encoder = TwoStageEncoder(first, size, latent_dim)
        last = nn.ReLU() if embedding is None else nn.Identity()  # our vectors are not negative
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 2 * _HIDDEN), nn.ReLU(),
            nn.Linear(2 * _HIDDEN, size), last,
        )  # fmt: skip
        _initialize(self.decoder)
        self.phase = self.phases[0]
        for phase in self.phases:
            self._check_labels(phase)

    def _check_labels(self, phase: Phase) -> None:
        """Raise ConfigError unless a phase has labels where it trains the classifier, and no other.

        A VAE that sees signal events would learn to reconstruct them.
        """
        classifies = any(phase.learns(name) for name in self._first)
        key, labels = f"model.phases.{phase.name}.labels", list(phase.labels)
        if classifies and labels != [self.signal]:
            raise ConfigError(
                f"{key}={labels}, but model.signal={self.signal} is what the first stage learns to "
                f"tell from the background. Cure: {key}=[{self.signal}]"
            )
        if not classifies and labels:
            raise ConfigError(
                f"{key}={labels}, but the VAE learns background alone. Cure: {key}=[]"
            )

    @property
    def _first(self) -> set[str]:
        """The names of the parameters of the first stage."""
        names = (name for name, _ in self.named_parameters())
        return {name for name in names if name.startswith((_EMBEDDING, "classifier."))}

    @classmethod
    def score_descriptions(cls) -> Mapping[str, ScoreDescription]:
        """Return titles and units."""
        return {
            "total": ScoreDescription("total loss"),
            "reconstruction": ScoreDescription("reconstruction error"),
            "kl": ScoreDescription("KL divergence", "nats"),
            "pfn": ScoreDescription("particle flow classifier", "log odds"),
        }

    @property
    def labels_seen(self) -> dict[str, tuple[str, ...]]:
        """The classes whose labels each phase sees, and those of the model that is embedded."""
        source = self.encoder.embedding
        before = source.model.labels_seen if isinstance(source, ModelEmbedding) else {}
        return {f"embedding: {n}": labels for n, labels in before.items()} | super().labels_seen

    def fit_inputs(self, batches: Iterable[ParticleBatch]) -> None:
        """Fit the ranges of the particles' features."""
        if isinstance(self.encoder.embedding, ParticleFlow):
            self.encoder.embedding.scaling.fit(batch.features for batch in batches)

    def embeds(self, phase: Phase) -> bool:
        """Whether the phase trains the VAE alone."""
        return not any(phase.learns(name) for name in self._first)

    def embed(self, batch: ParticleBatch) -> Float[Tensor, "event component"]:
        """Return the vector of each event: the sum over its particles of what Phi gives each."""
        vectors: Tensor = self.encoder.embedding(batch)
        return vectors.float()

    def loss(self, batch: ParticleBatch | VectorBatch, phase: str) -> dict[str, Float[Tensor, ""]]:
        """Return the classifier's cross-entropy, or reconstruction + KL and both.

        A batch with labels is one of the classifier's phase.
        """
        del phase  # the labels say it, as `_check_labels` makes sure
        vectors = batch.vectors if isinstance(batch, VectorBatch) else self.embed(batch)
        if batch.label is not None:
            entropy = functional.cross_entropy(self.logits(vectors), batch.label, reduction="none")
            return {"loss": weighted_mean(entropy, batch.weight)}
        if self.training:
            # one draw: two of a step would have the same numbers
            widths = [sum(self.encoder.widths), self.latent_dim]
            drawn = self.noise_like(vectors.new_empty(len(vectors), sum(widths)))
            dropped, shift = drawn.split(widths, 1)
            mean, log_variance = self.encoder(vectors, dropped)
            latent = mean + (0.5 * log_variance).exp() * shift
        else:
            mean, log_variance = self.encoder(vectors)
            latent = mean
        error = weighted_mean(self._error(vectors, latent), batch.weight)
        kl = weighted_mean(self._divergence(mean, log_variance), batch.weight)
        loss = self.reconstruction_weight * error + self.beta * kl
        return {"loss": loss, "reconstruction": error, "kl": kl}

    def outputs(self, batch: ParticleBatch) -> EventOutputs:
        """Return the terms of the loss of each event at z = mean, and the classifier's log odds."""
        vectors = self.embed(batch)
        mean, log_variance = self.encoder(vectors)
        error, kl = self._error(vectors, mean), self._divergence(mean, log_variance)
        total = self.reconstruction_weight * error + self.beta * kl
        scores = {"total": total, "reconstruction": error, "kl": kl}
        if self.classifier is not None:
            logits = self.logits(vectors)
            scores["pfn"] = logits[:, 1] - logits[:, 0]
        return EventOutputs(scores, embeddings={"embedding": vectors, "latent": mean})

    def logits(self, vectors: Float[Tensor, "event component"]) -> Float[Tensor, "event class"]:
        """Return the classifier's logits of background and signal."""
        assert self.classifier is not None
        logits: Tensor = self.classifier(vectors)
        return logits.float()

    def encoder_score(self, batch: ParticleBatch) -> Float[Tensor, " event"]:
        """Return the KL score, which needs only the encoder."""
        return self._divergence(*self.encoder(self.embed(batch)))

    def _error(
        self, vectors: Float[Tensor, "event component"], latent: Float[Tensor, "event latent"]
    ) -> Float[Tensor, " event"]:
        """Return the mean squared error of each event's reconstructed vector."""
        return (self.decoder(latent).float() - vectors).square().mean(1)

    def _divergence(
        self, mean: Float[Tensor, "event latent"], log_variance: Float[Tensor, "event latent"]
    ) -> Float[Tensor, " event"]:
        """Return the KL divergence, summed over latent dimensions."""
        return kl_divergence(mean, log_variance) * mean.shape[1]

    def flops(self, multiplicity: float) -> dict[str, float]:
        """Return twice the multiply-adds of the linear maps."""
        first: Any = self.encoder.embedding
        encoder = first.flops(multiplicity) + _flops(self.encoder.posterior)
        return {"encoder": encoder, "total": encoder + _flops(self.decoder)}


def _initialize(module: nn.Module) -> None:
    """Let linear maps begin with Glorot's uniform distribution and without a shift."""
    for layer in module.children():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


def _flops(module: nn.Module) -> float:
    return 2.0 * sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Linear))
