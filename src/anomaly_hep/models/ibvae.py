"""IB-VAE with an adversary: jets as four-momenta (Golling et al., arXiv:2303.14134).

Decisions, with the sections of the paper; what it leaves open follows VAE-Jet (arXiv:2007.01850),
whose network it takes: the input is the 20 most energetic constituents, (px, py, pz, E) relative to
the jet's pT, each of the 80 numbers minus its median over its interquartile range in the training
background (section 2). D_x|x^ is the squared error, a mean over the 80 numbers; D_z|x is the KL
divergence, a mean over the 10 latent dimensions, of weight 0.25. D_x is a network of the encoder's
sizes that tells input from reconstruction, behind a gradient reversal layer (arXiv:1409.7495); its
cross-entropy and 10 x its gradient penalty (arXiv:1704.00028) have weight 0.1. It takes part from
the first phase that trains it; where it is frozen, without its penalty, on which the rest has no
influence. Scores decode the mean of z. A jet's mass is that of massless constituents, before and
after: the energy that the decoder gives is used by the squared error and the adversary alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from anomaly_hep.bounds import Count, NonNegative, Seed
from anomaly_hep.data.batch import JaggedBatch, ParticleBatch, VectorBatch
from anomaly_hep.models.base import AnomalyModel
from anomaly_hep.models.layers.adversary import Adversary
from anomaly_hep.models.layers.layouts import segments_of
from anomaly_hep.models.layers.reversal import reversed_gradient
from anomaly_hep.models.layers.scaling import Robust
from anomaly_hep.models.layers.transport import energy_movers_distance
from anomaly_hep.models.losses import kl_divergence
from anomaly_hep.models.outputs import (
    EventOutputs,
    JetReconstruction,
    ScoreDescription,
    weighted_mean,
)
from anomaly_hep.models.phase import Phase

FEATURES = ("frame_px", "frame_py", "frame_pz", "frame_energy")
_HIDDEN = (256, 128, 64)
_RADIUS = 1.0  # of the jets, in radians: the unit of distances in the energy mover's distance
# share of the jet's pT below which a reconstructed constituent counts as none: the decoder gives
# numbers near 0, not 0, where the input has no constituent
_FAINTEST = 1e-3


class JetEncoder(nn.Module):
    """Scale a jet's four-momenta, and map them to the mean and log-variance of a posterior."""

    def __init__(self, components: int, latent_dim: int) -> None:
        super().__init__()
        self.scaling = Robust(components)
        self.layers = _layers((components, *_HIDDEN, 2 * latent_dim))

    def forward(
        self, scaled: Float[Tensor, "event component"]
    ) -> tuple[Float[Tensor, "event latent"], Float[Tensor, "event latent"]]:
        """Return mean and log-variance for scaled four-momenta."""
        mean, log_variance = self.layers(scaled).float().chunk(2, dim=1)
        return mean, log_variance


class IBVAE(AnomalyModel):
    """Reconstruct a jet's hardest constituents, judged by an adversary too.

    max_particles: constituents of a jet. beta: weight of the KL divergence. adversary_weight: of
    the adversary's loss, penalty_weight of the gradient penalty within it. energy_movers: whether
    the energy mover's distance is a score; it takes most of the time of scoring.
    """

    title: ClassVar[str] = "IB-VAE"
    accepts: ClassVar[type[JaggedBatch]] = ParticleBatch
    embedding_names: ClassVar[tuple[str, ...]] = ("latent",)
    event_columns: tuple[str, ...] = ("relative_mass", "reconstructed_relative_mass")
    reconstructed_events: ClassVar[int] = 1000
    firmware_refusal: ClassVar[str | None] = None
    default_score: str = "mse"
    score_names: tuple[str, ...] = ("mse", "emd", "kl", "adversary")

    def __init__(
        self,
        *,
        features: Sequence[str],
        phases: Mapping[str, Any],
        max_particles: Count,
        latent_dim: Count,
        beta: NonNegative,
        adversary_weight: NonNegative,
        penalty_weight: NonNegative,
        energy_movers: bool,
        seed: Seed,
    ) -> None:
        super().__init__(phases, seed)
        self.save_hyperparameters(logger=False)
        cure = "data/features=fourmomenta data.max_particles=20"
        self.take_features(features, FEATURES, cure)
        self.max_particles, self.latent_dim = max_particles, latent_dim
        self.beta, self.adversary_weight = beta, adversary_weight
        self.penalty_weight = penalty_weight
        components = len(FEATURES) * max_particles
        self.encoder = JetEncoder(components, latent_dim)
        self.decoder = _layers((latent_dim, *reversed(_HIDDEN), components))
        self.adversary = Adversary(components, _HIDDEN)
        trained = [number for number, phase in enumerate(self.phases) if self._trains(phase)]
        first = min(trained, default=len(self.phases))
        self._adversarial = {phase.name for phase in self.phases[first:]}
        self._training_it = {self.phases[number].name for number in trained}
        left_out = {"emd": energy_movers, "adversary": bool(trained)}
        self.score_names = tuple(name for name in self.score_names if left_out.get(name, True))
        self.waits_for_host = energy_movers

    def _trains(self, phase: Phase) -> bool:
        """Whether a phase trains the adversary."""
        return any(phase.learns(f"adversary.{n}") for n, _ in self.adversary.named_parameters())

    @classmethod
    def score_descriptions(cls) -> Mapping[str, ScoreDescription]:
        """Return titles and units."""
        return {
            "mse": ScoreDescription("mean squared error"),
            "emd": ScoreDescription("energy mover's distance", "share of jet pT"),
            "kl": ScoreDescription("KL divergence", "nats"),
            "adversary": ScoreDescription("adversary, of the input", "log odds"),
        }

    def fit_inputs(self, batches: Iterable[ParticleBatch]) -> None:
        """Fit median and interquartile range of each component."""
        self.encoder.scaling.fit(self._fourmomenta(batch) for batch in batches)

    def embeds(self, phase: Phase) -> bool:
        """All phases: no parameter comes before the scaled four-momenta."""
        del phase
        return True

    def embed(self, batch: ParticleBatch) -> Float[Tensor, "event component"]:
        """Return the scaled four-momenta of each event."""
        vectors: Tensor = self.encoder.scaling(self._fourmomenta(batch))
        return vectors

    def _fourmomenta(self, batch: ParticleBatch) -> Float[Tensor, "event component"]:
        """Return the four-momenta of each jet in one row, highest energy first, padded with 0."""
        padded = segments_of(batch).pad(batch.features)
        missing = max(self.max_particles - padded.shape[1], 0)
        padded = functional.pad(padded, (0, 0, 0, missing))
        slot = torch.arange(padded.shape[1], device=padded.device)
        energy = padded[..., -1].where(slot < batch.lengths[:, None], -torch.inf)
        order = energy.argsort(dim=1, descending=True, stable=True)
        chosen = order[:, : self.max_particles, None].expand(-1, -1, padded.shape[2])
        return padded.gather(1, chosen).flatten(1)

    def loss(self, batch: ParticleBatch | VectorBatch, phase: str) -> dict[str, Float[Tensor, ""]]:
        """Return mse + beta x kl, from the first phase with an adversary on also its weighted loss.

        The adversary minimises its loss and, as gradients are reversed before it, the decoder
        maximises it: `objective`, with the opposite sign, is what encoder and decoder minimise.
        """
        scaled = batch.vectors if isinstance(batch, VectorBatch) else self.embed(batch)
        mean, log_variance = self.encoder(scaled)
        latent, place = mean, torch.full_like(mean[:, :1], 0.5)
        if self.training:
            # one draw: two of a step would have the same numbers
            noise = self.noise_like(mean.new_empty(len(mean), self.latent_dim + 1))
            latent = mean + (0.5 * log_variance).exp() * noise[:, :-1]
            place = torch.special.ndtr(noise[:, -1:])  # uniform between 0 and 1
        reconstructed = self.decoder(latent).float()
        mse = weighted_mean((reconstructed - scaled).square().mean(1), batch.weight)
        kl = weighted_mean(kl_divergence(mean, log_variance), batch.weight)
        objective = mse + self.beta * kl
        terms = {"mse": mse, "kl": kl}
        if phase not in self._adversarial:
            return {"loss": objective, **terms}
        entropy = self._entropy(scaled, reconstructed, batch.weight)
        adversary = entropy
        if phase in self._training_it:
            between = place * scaled + (1 - place) * reconstructed.detach()
            penalty = weighted_mean(self.adversary.penalty(between), batch.weight)
            adversary = entropy + self.penalty_weight * penalty
            terms["penalty"] = penalty
        return {
            "loss": objective + self.adversary_weight * adversary,
            **terms,
            "adversary": adversary,
            "objective": objective - self.adversary_weight * entropy,
        }

    def _entropy(
        self,
        scaled: Float[Tensor, "event component"],
        reconstructed: Float[Tensor, "event component"],
        weight: Float[Tensor, " event"],
    ) -> Float[Tensor, ""]:
        """Return the adversary's cross-entropy, half of it from true and half from decoded jets."""
        true = functional.softplus(-self.adversary(scaled))
        decoded = functional.softplus(self.adversary(reversed_gradient(reconstructed)))
        return weighted_mean(0.5 * (true + decoded), weight)

    def outputs(self, batch: ParticleBatch) -> EventOutputs:
        """Return the scores of each event, its mass before and after, and the mean of z.

        Masses are those of the constituents in units of the jet's pT.
        """
        momenta = self._fourmomenta(batch)
        scaled: Tensor = self.encoder.scaling(momenta)
        mean, log_variance = self.encoder(scaled)
        reconstructed = self.decoder(mean).float()
        decoded = self.encoder.scaling.inverse(reconstructed)
        scores = {"mse": (reconstructed - scaled).square().mean(1)}
        if "emd" in self.score_names:
            scores["emd"] = _movers(_constituents(momenta), _constituents(decoded)).to(mean)
        scores["kl"] = self._divergence(mean, log_variance)
        if "adversary" in self.score_names:
            scores["adversary"] = -self.adversary(scaled)
        columns = {
            "relative_mass": _mass(momenta),
            "reconstructed_relative_mass": _mass(decoded),
        }
        return EventOutputs(scores, columns, {"latent": mean})

    def reconstruction(self, batch: ParticleBatch) -> JetReconstruction:
        """Return the constituents before and after."""
        momenta = self._fourmomenta(batch)
        mean, _ = self.encoder(self.encoder.scaling(momenta))
        decoded = self.encoder.scaling.inverse(self.decoder(mean).float())
        return JetReconstruction(_constituents(momenta), _constituents(decoded))

    def encoder_score(self, batch: ParticleBatch) -> Float[Tensor, " event"]:
        """Return the KL score, which needs only the encoder."""
        return self._divergence(*self.encoder(self.embed(batch)))

    def _divergence(
        self, mean: Float[Tensor, "event latent"], log_variance: Float[Tensor, "event latent"]
    ) -> Float[Tensor, " event"]:
        """Return the KL divergence, summed over latent dimensions."""
        return kl_divergence(mean, log_variance) * mean.shape[1]

    def flops(self, multiplicity: float) -> dict[str, float]:
        """Return twice the multiply-adds of the linear maps, the same for every jet."""
        del multiplicity  # the input has a fixed size
        encoder, decoder = (
            2.0 * sum(m.weight.numel() for m in part.modules() if isinstance(m, nn.Linear))
            for part in (self.encoder, self.decoder)
        )
        return {"encoder": encoder, "total": encoder + decoder}


def _layers(sizes: Sequence[int]) -> nn.Sequential:
    """Return linear maps of these sizes with ReLUs between them."""
    maps = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    return nn.Sequential(*[part for m in maps for part in (m, nn.ReLU())][:-1])


def _constituents(momenta: Float[Tensor, "event component"]) -> Float[Tensor, "event slot 3"]:
    """Return (pT / jet pT, eta, phi) of each constituent; all 0 below `_FAINTEST`."""
    px, py, pz, _ = momenta.unflatten(1, (-1, len(FEATURES))).unbind(2)
    pt = torch.hypot(px, py)
    seen = pt > _FAINTEST
    eta = torch.asinh(pz / torch.where(seen, pt, 1.0))
    parts = torch.stack([pt, eta, torch.atan2(py, px)], dim=2)
    return torch.where(seen[..., None], parts, 0.0)


def _movers(
    true: Float[Tensor, "event slot 3"], decoded: Float[Tensor, "event slot 3"]
) -> Float[Tensor, " event"]:
    """Return the energy mover's distance of each pair of jets, in units of the jet's pT."""
    return energy_movers_distance(
        true[..., 0], true[..., 1:], decoded[..., 0], decoded[..., 1:], _RADIUS
    )


def _mass(momenta: Float[Tensor, "event component"]) -> Float[Tensor, " event"]:
    """Return the invariant mass of massless constituents, in the units of their momenta."""
    vectors = momenta.double().unflatten(1, (-1, len(FEATURES)))[..., :3]
    energy, total = vectors.norm(dim=2).sum(1), vectors.sum(1)
    squared = energy.square() - total.square().sum(1)
    return squared.clamp_min(0).sqrt().to(momenta)  # rounding alone can make it negative
