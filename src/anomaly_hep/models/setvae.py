"""Set-VAE: a variational auto-encoder of jets as sets of typed particles (arXiv:2311.17162)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anomaly_hep.bounds import Count, Natural, NonNegative, Positive, Seed
from anomaly_hep.data.batch import JaggedBatch, ParticleBatch
from anomaly_hep.data.features import PARTICLE_TYPES
from anomaly_hep.errors import ConfigError
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.layers.identification import identification_numbers, sinusoids
from anomaly_hep.models.layers.layouts import segments_of
from anomaly_hep.models.layers.segments import Segments
from anomaly_hep.models.losses import chamfer, clipped_mean, kl_divergence
from anomaly_hep.models.outputs import (
    EventOutputs,
    ParticleReconstruction,
    ScoreDescription,
    weighted_mean,
)
from anomaly_hep.models.setencoders import settings_class

TARGET = ("pt_rel", "delta_eta", "delta_phi")  # the features that the decoder reconstructs


class SetVAE(AnomalyModel):
    """Encode a jet in one latent vector; decode it to the set of particles, given their types.

    features: names of the batch's continuous features; the first three must be `TARGET`.
    encoder: {kind: deepset | transformer | trigger, d_model, d_ff, layers, decoder_layers, ...}.
    beta: weight of the KL term. clip_fraction: share of jets to which the KL term applies (1: all).
    angular_scale: R0 in radians of the Chamfer distance. noise_ramp_steps: steps until the
    posterior's noise has its full size. legacy_identification: see `identification_numbers`.
    quantization: {weight_bits, activation_bits, input_bits, output_bits} of a trigger encoder;
    None for floating point.
    """

    title: ClassVar[str] = "Set-VAE"
    embedding_names: ClassVar[tuple[str, ...]] = ("latent",)
    accepts: ClassVar[type[JaggedBatch]] = ParticleBatch
    default_score: str = "chamfer"
    firmware_refusal: ClassVar[str | None] = None
    score_names = ("chamfer", "kl", "total", "chamfer_sum")
    reference_multiplicity: ClassVar[float | None] = 51.6

    def __init__(
        self,
        *,
        features: Sequence[str],
        encoder: Mapping[str, Any],
        phases: Mapping[str, Any],
        latent_dim: Count,
        max_particles: Count,
        beta: NonNegative,
        clip_fraction: float,
        angular_scale: Positive,
        use_pid: bool,
        legacy_identification: bool,
        noise_ramp_steps: Natural,
        seed: Seed,
        quantization: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(phases, seed)
        self.save_hyperparameters(logger=False)
        if tuple(features[:3]) != TARGET:
            raise ConfigError(
                f"the first three of data.features are {', '.join(features[:3])}, but Set-VAE "
                f"reconstructs {', '.join(TARGET)}. Cure: list these first, in this order"
            )
        if not 0.0 < clip_fraction <= 1.0:
            raise ConfigError(
                f"model.clip_fraction={clip_fraction} is not a share of jets. Cure: choose a "
                "number above 0 and up to 1 (1 acts on all jets)"
            )
        self.beta, self.clip_fraction, self.angular_scale = beta, clip_fraction, angular_scale
        self.features = tuple(features)
        self.use_pid = self.needs_types = use_pid
        self.legacy = legacy_identification
        self.noise_ramp_steps = noise_ramp_steps
        flags = len(PARTICLE_TYPES) if use_pid else 0
        settings = settings_class(encoder)(**encoder)
        if quantization is not None and not settings.takes_quantization:
            raise ConfigError(
                f"model.quantization needs an encoder whose arithmetic a chip can repeat, which "
                f"{encoder['kind']} is not: it divides. Cure: model/encoder=trigger, or let the "
                "command fpga learn one from this model"
            )
        self.encoder = settings.encoder(features, flags, latent_dim, quantization)
        self.decoder = settings.decoder(len(TARGET), latent_dim)
        d_model = settings.d_model
        self.type_code = nn.Embedding(len(PARTICLE_TYPES), d_model) if use_pid else None
        self.number_code: Tensor
        self.register_buffer("number_code", sinusoids(max_particles, d_model), persistent=False)

    @classmethod
    def sections(cls, arguments: Mapping[str, Any]) -> Mapping[str, Callable[..., Any]]:
        """Return the settings of the chosen encoder."""
        return {"encoder": settings_class(arguments["encoder"])}

    @classmethod
    def score_descriptions(cls) -> Mapping[str, ScoreDescription]:
        """Return titles and units."""
        return {
            "chamfer": ScoreDescription("Chamfer loss"),
            "chamfer_sum": ScoreDescription("Chamfer loss, summed"),
            "kl": ScoreDescription("KL divergence", "nats per latent dimension"),
            "total": ScoreDescription("total loss"),
        }

    @property
    def objective_is_final(self) -> bool:
        """Whether the noise has its full size; while it grows, losses are not comparable."""
        return bool(self.global_step >= self.noise_ramp_steps)

    def encode(
        self, batch: ParticleBatch, segments: Segments
    ) -> tuple[Float[Tensor, "jet latent"], Float[Tensor, "jet latent"]]:
        """Return mean and log-variance of each jet's posterior."""
        inputs = batch.features
        if self.use_pid:
            kinematic = inputs.shape[1]
            inputs = inputs.new_zeros(len(inputs), kinematic + len(PARTICLE_TYPES))
            inputs[:, :kinematic] = batch.features
            inputs.scatter_(1, batch.known_types[:, None] + kinematic, 1.0)
        mean, log_variance = self.encoder(inputs, segments)
        return mean.float(), log_variance.float()

    def decode(
        self, latent: Float[Tensor, "jet latent"], batch: ParticleBatch, segments: Segments
    ) -> Float[Tensor, "particle 3"]:
        """Return the reconstructed (10 pT/pT_jet, delta eta, delta phi) of each particle."""
        if self.type_code is not None:
            numbers = identification_numbers(
                batch.known_types, len(PARTICLE_TYPES), segments, legacy=self.legacy
            )
            codes = self.number_code[numbers] + self.type_code(batch.known_types)
        else:
            codes = self.number_code[segments.position]
        raw = segments.filled(self.decoder(latent, codes, segments).float())
        return torch.cat([raw[:, :1].exp(), raw[:, 1:]], dim=1)

    def reconstruction_loss(
        self, latent: Float[Tensor, "jet latent"], batch: ParticleBatch, segments: Segments
    ) -> Float[Tensor, " jet"]:
        """Return each jet's Chamfer distance to the reconstruction from `latent`."""
        reconstructed = self.decode(latent, batch, segments)
        truth = batch.features[:, : len(TARGET)]
        types = batch.known_types if self.use_pid else None
        return chamfer(
            truth, reconstructed, segments, self.angular_scale, types, len(PARTICLE_TYPES)
        )

    def loss(self, batch: ParticleBatch, phase: str) -> dict[str, Float[Tensor, ""]]:
        """Return reconstruction + beta x KL; the latent vector is only sampled in training."""
        del phase  # there is one
        segments = segments_of(batch)
        mean, log_variance = self.encode(batch, segments)
        latent = mean
        if self.training:
            latent = mean + self.ramp(self.noise_ramp_steps) * (
                0.5 * log_variance
            ).exp() * self.noise_like(mean)
        reconstruction = self.reconstruction_loss(latent, batch, segments)
        divergence = kl_divergence(mean, log_variance)
        kl = clipped_mean(divergence, reconstruction, self.clip_fraction, batch.weight, segments)
        mean_distance = weighted_mean(reconstruction, batch.weight)
        return {
            "loss": mean_distance + self.beta * kl,
            "reconstruction": mean_distance,
            "kl": kl,
        }

    def outputs(self, batch: ParticleBatch) -> EventOutputs:
        """Return the Chamfer distance at z = mean, the KL divergence, and their total.

        `chamfer_sum` has the sums over particles of eq. 1, which the paper's code replaces by
        means; it is larger for jets of many particles.
        """
        segments = segments_of(batch)
        mean, log_variance = self.encode(batch, segments)
        distance = self.reconstruction_loss(mean, batch, segments)
        divergence = kl_divergence(mean, log_variance)
        scores = {
            "chamfer": distance,
            "kl": divergence,
            "total": distance + self.beta * divergence,
            "chamfer_sum": distance * batch.lengths,
        }
        return EventOutputs(scores, embeddings={"latent": mean})

    def reconstruction(self, batch: ParticleBatch) -> ParticleReconstruction:
        """Return the jets and their reconstructions from z = mean."""
        segments = segments_of(batch)
        mean, _ = self.encode(batch, segments)
        return ParticleReconstruction(
            lengths=batch.lengths,
            types=batch.types,
            truth=batch.features[:, : len(TARGET)],
            reconstructed=self.decode(mean, batch, segments),
        )

    def encoder_score(self, batch: ParticleBatch) -> Float[Tensor, " jet"]:
        """Return the KL score, which needs only the encoder."""
        return kl_divergence(*self.encode(batch, segments_of(batch)))

    def flops(self, multiplicity: float) -> dict[str, float]:
        """Return twice the multiply-adds of linear maps and attention, as in the paper's tables."""
        encoder = 2.0 * self.encoder.macs(multiplicity)
        decoder = 2.0 * self.decoder.macs(multiplicity)
        return {"encoder": encoder, "total": encoder + decoder}
