"""Deep Set beta-VAE: collision events as sets of objects (Ostdiek, SciPost Phys. 12, 045).

Decisions, with the equations of the paper: the input of an object is its type as a number, log10 of
E and pT in GeV, eta and phi; Phi (section 3.1) has three hidden layers of 256, as the published
code (the text says 264); FSPool (eq. 2) pools the objects alone; the decoder has ELUs and takes the
number of objects, both as in the code alone; eq. 5 is minimised with -w log p, opposite to the sign
in print; eq. 6 is a weighted mean over events where the code has a sum, which Adam does not see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from anomaly_hep.bounds import Count, NonNegative, Seed, Share
from anomaly_hep.data.batch import JaggedBatch, ParticleBatch
from anomaly_hep.data.objects import OBJECT_TYPES
from anomaly_hep.errors import ConfigError
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.layers.fspool import FSPool
from anomaly_hep.models.layers.layouts import segments_of
from anomaly_hep.models.layers.product import product
from anomaly_hep.models.layers.segments import Segments
from anomaly_hep.models.layers.setdistance import ObjectSet, SetDistance, count_mismatch
from anomaly_hep.models.losses import kl_divergence
from anomaly_hep.models.outputs import EventOutputs, ScoreDescription, weighted_mean

FEATURES = ("object_log10_energy", "object_log10_pt", "object_eta", "object_phi")
SLOTS = 20  # objects that the decoder gives, missing momentum included
_CLASSES = len(OBJECT_TYPES) + 1  # the first one says that a slot is empty
_HIDDEN = 256


class ObjectEncoder(nn.Module):
    """Phi on each object, then FSPool to mean and log-variance of the posterior (eq. 2)."""

    def __init__(self, latent_dim: int, slots: int | None) -> None:
        super().__init__()
        sizes = (1 + len(FEATURES), _HIDDEN, _HIDDEN, _HIDDEN, 2 * latent_dim)
        self.phi = nn.Sequential(*map(nn.Linear, sizes, sizes[1:]))
        self.pool = FSPool(2 * latent_dim, slots)

    def forward(
        self, flat: Float[Tensor, "object 5"], segments: Segments
    ) -> tuple[Float[Tensor, "event latent"], Float[Tensor, "event latent"]]:
        """Return mean and log-variance, which alternate among the pooled features."""
        x = segments.lengthened(flat)
        weights = list(self.phi.parameters())
        for number, (weight, bias) in enumerate(zip(weights[::2], weights[1::2], strict=True)):
            x = product(x.relu_() if number else x, weight, bias)
        pooled = self.pool(x.float(), segments)
        return pooled[:, 0::2], pooled[:, 1::2]


class ObjectDecoder(nn.Module):
    """The latent vector and the share of slots that are filled to four-vectors and class logits."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([
            nn.Linear(latent_dim + 1, _HIDDEN), nn.Linear(_HIDDEN, _HIDDEN)
        ])  # fmt: skip
        self.vectors = nn.Linear(_HIDDEN, len(FEATURES) * SLOTS)
        self.classes = nn.Linear(_HIDDEN, _CLASSES * SLOTS)

    def forward(
        self, latent: Float[Tensor, "event latent"], filled: Float[Tensor, " event"]
    ) -> tuple[Float[Tensor, "event slot 4"], Float[Tensor, "event slot class"]]:
        """Return (log10 E, log10 pT, eta, phi) and the logits of the classes of each slot."""
        x = torch.cat([latent, filled[:, None]], 1)
        for layer in self.hidden:
            x = functional.elu(layer(x))
        vectors = self.vectors(x).unflatten(1, (len(FEATURES), SLOTS)).transpose(1, 2)
        return vectors.float(), self.classes(x).unflatten(1, (_CLASSES, SLOTS)).transpose(
            1, 2
        ).float()


class DeepSetBVAE(AnomalyModel):
    """Map an event to a Gaussian latent vector (eq. 3 and 4), and decode it to a set of objects.

    beta: weight of the KL divergence against the reconstruction (eq. 6), 0 to 1; at 1 there is no
    decoder. w: weight of the objects' classes in the reconstruction. count_weight: of the squared
    differences in the numbers of objects, which has no gradient. legacy_fspool: pool zeros in the
    empty slots too. legacy_slots, legacy_angle: see `SetDistance`.
    """

    title: ClassVar[str] = "Deep Set β-VAE"
    embedding_names: ClassVar[tuple[str, ...]] = ("latent",)
    accepts: ClassVar[type[JaggedBatch]] = ParticleBatch
    needs_types = True
    firmware_refusal: ClassVar[str | None] = None
    default_score: str = "kl"
    score_names: tuple[str, ...] = ("total", "kl", "chamfer")

    def __init__(
        self,
        *,
        features: Sequence[str],
        phases: Mapping[str, Any],
        latent_dim: Count,
        beta: Share,
        w: NonNegative,
        count_weight: NonNegative,
        max_particles: Count,
        legacy_fspool: bool,
        legacy_slots: bool,
        legacy_angle: bool,
        seed: Seed,
    ) -> None:
        super().__init__(phases, seed)
        self.save_hyperparameters(logger=False)
        self.take_features(features, FEATURES, "list these, in this order")
        if max_particles >= SLOTS:
            raise ConfigError(
                f"data.max_particles={max_particles}, but the {self.title} has {SLOTS} slots, one "
                f"of them for the missing momentum. Cure: at most {SLOTS - 1}"
            )
        self.beta, self.count_weight = beta, count_weight
        self.distance = SetDistance(w, legacy_slots, legacy_angle)
        self.encoder = ObjectEncoder(latent_dim, SLOTS if legacy_fspool else None)
        self.decoder = ObjectDecoder(latent_dim) if beta < 1 else None
        if self.decoder is None:
            self.score_names = ("kl",)
        else:
            self.default_score = "total"
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    @classmethod
    def score_descriptions(cls) -> Mapping[str, ScoreDescription]:
        """Return titles and units."""
        return {
            "total": ScoreDescription("total loss"),
            "kl": ScoreDescription("KL divergence", "nats"),
            "chamfer": ScoreDescription("Chamfer loss"),
        }

    def encode(
        self, batch: ParticleBatch, segments: Segments
    ) -> tuple[Float[Tensor, "event latent"], Float[Tensor, "event latent"]]:
        """Return mean and log-variance of each event's posterior."""
        kind = (batch.known_types + 1).to(batch.features.dtype)
        return self.encoder(torch.cat([kind[:, None], batch.features], 1), segments)

    def reconstruction_terms(
        self,
        decoder: ObjectDecoder,
        latent: Float[Tensor, "event latent"],
        batch: ParticleBatch,
        segments: Segments,
    ) -> tuple[Float[Tensor, " event"], Float[Tensor, " event"]]:
        """Return each event's Chamfer distance and its mismatch in the numbers of objects."""
        filled = batch.lengths.to(latent.dtype) / SLOTS
        vectors, logits = decoder(latent, filled)
        classes = (batch.known_types + 1).to(batch.features.dtype)[:, None]
        padded = segments.pad(torch.cat([batch.features, classes], 1))
        if not padded.shape[1]:  # there is no event with an object, and a minimum of none
            padded = functional.pad(padded, (0, 0, 0, 1))
        slot = torch.arange(padded.shape[1], device=padded.device)
        truth = ObjectSet(
            padded[..., :-1], padded[..., -1].long(), slot < segments.lengths[:, None]
        )
        return self.distance(truth, vectors, logits), count_mismatch(truth, logits)

    def loss(self, batch: ParticleBatch, phase: str) -> dict[str, Float[Tensor, ""]]:
        """Return (1 - beta) x reconstruction + beta x KL (eq. 6), and both.

        The latent vector is sampled in training, and its mean is decoded in validation.
        """
        del phase  # there is one
        segments = segments_of(batch)
        mean, log_variance = self.encode(batch, segments)
        kl = weighted_mean(self._divergence(mean, log_variance), batch.weight)
        if self.decoder is None:
            return {"loss": kl, "kl": kl}
        latent = mean
        if self.training:
            latent = mean + (0.5 * log_variance).exp() * self.noise_like(mean)
        terms = self.reconstruction_terms(self.decoder, latent, batch, segments)
        chamfer, count = (weighted_mean(term, batch.weight) for term in terms)
        loss = (1 - self.beta) * (chamfer + self.count_weight * count) + self.beta * kl
        return {"loss": loss, "kl": kl, "chamfer": chamfer, "count": count}

    def outputs(self, batch: ParticleBatch) -> EventOutputs:
        """Return the terms of the loss of each event, its latent mean decoded."""
        segments = segments_of(batch)
        mean, log_variance = self.encode(batch, segments)
        kl = self._divergence(mean, log_variance)
        if self.decoder is None:
            return EventOutputs({"kl": kl}, embeddings={"latent": mean})
        chamfer, count = self.reconstruction_terms(self.decoder, mean, batch, segments)
        total = (1 - self.beta) * (chamfer + self.count_weight * count) + self.beta * kl
        scores = {"total": total, "kl": kl, "chamfer": chamfer}
        return EventOutputs(scores, embeddings={"latent": mean})

    def encoder_score(self, batch: ParticleBatch) -> Float[Tensor, " event"]:
        """Return the KL score, which needs only the encoder."""
        return self._divergence(*self.encode(batch, segments_of(batch)))

    def _divergence(
        self, mean: Float[Tensor, "event latent"], log_variance: Float[Tensor, "event latent"]
    ) -> Float[Tensor, " event"]:
        """Return the KL divergence, summed over latent dimensions."""
        return kl_divergence(mean, log_variance) * mean.shape[1]

    def flops(self, multiplicity: float) -> dict[str, float]:
        """Return twice the multiply-adds of the linear maps."""
        maps = {
            name: 2.0 * sum(m.weight.numel() for m in part.modules() if isinstance(m, nn.Linear))
            for name, part in (("encoder", self.encoder), ("decoder", self.decoder))
            if part is not None
        }
        encoder = maps["encoder"] * multiplicity
        return {"encoder": encoder, "total": encoder + maps.get("decoder", 0.0)}
