"""Loss terms, each beside the equation that it is."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from anomaly_hep.models.layers.identification import Groups
from anomaly_hep.models.layers.segments import Segments
from anomaly_hep.models.outputs import weighted_mean


def kl_divergence(
    mean: Float[Tensor, "jet latent"], log_variance: Float[Tensor, "jet latent"]
) -> Float[Tensor, " jet"]:
    """Return the divergence of N(mean, variance) from N(0, 1), averaged over latent dimensions.

    The published code averages where the usual VAE sums; beta is quoted for the average.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean(1)


def pair_distance(
    truth: Float[Tensor, "... 3"], other: Float[Tensor, "... 3"], angular_scale: float
) -> Float[Tensor, ...]:
    """Return (dpT)^2 + pT^2 (deta^2 + dphi^2) / R0^2 with the pT of `truth`, for either direction.

    Both are (10 pT/pT_jet, delta eta, delta phi); `angular_scale` is R0 in radians.
    """
    difference = (truth - other).square()
    angles = difference[..., 1] + difference[..., 2]
    return difference[..., 0] + truth[..., 0].square() * angles / angular_scale**2


@torch.no_grad()
def nearest_partners(
    truth: Float[Tensor, "particle 3"],
    reconstructed: Float[Tensor, "particle 3"],
    groups: Groups,
    angular_scale: float,
) -> tuple[Int64[Tensor, " particle"], Int64[Tensor, " particle"]]:
    """Return for each true particle its nearest reconstructed one of the group, and the reverse.

    Groups of like size are compared in one rectangle of at most twice their pairs: on average
    jets a seventeenth of the pairs of a rectangle of 128 x 128.
    """
    to_reconstructed, to_truth = groups.order.clone(), groups.order.clone()
    start = groups.lengths.cumsum(0) - groups.lengths
    longest = int(groups.lengths.max()) if len(groups.lengths) else 0
    # a group of one needs no search: its particle is its own partner
    for power in range(1, math.ceil(math.log2(max(longest, 1))) + 1):
        size = 2**power
        chosen = (groups.lengths > size // 2) & (groups.lengths <= size)
        if not bool(chosen.any()):
            continue
        slot = torch.arange(size, device=start.device)
        real = slot < groups.lengths[chosen][:, None]
        place = (start[chosen][:, None] + slot).clamp(max=len(groups.order) - 1)
        particle = groups.order[place]  # (group, slot)
        distance = pair_distance(
            truth[particle][:, :, None], reconstructed[particle][:, None], angular_scale
        )  # (group, true slot, reconstructed slot)
        forward = distance.masked_fill(~real[:, None, :], math.inf).argmin(2)
        backward = distance.masked_fill(~real[:, :, None], math.inf).argmin(1)
        to_reconstructed[place[real]] = particle.gather(1, forward)[real]
        to_truth[place[real]] = particle.gather(1, backward)[real]
    by_truth, by_reconstructed = torch.empty_like(groups.order), torch.empty_like(groups.order)
    by_truth[groups.order] = to_reconstructed
    by_reconstructed[groups.order] = to_truth
    return by_truth, by_reconstructed


def chamfer(
    truth: Float[Tensor, "particle 3"],
    reconstructed: Float[Tensor, "particle 3"],
    groups: Groups,
    segments: Segments,
    angular_scale: float,
) -> Float[Tensor, " jet"]:
    """Return arXiv:2311.17162 eq. 1 per jet, as the published code evaluates it.

    Partners are sought inside each group only; both directions weigh one half, and each is the mean
    over the jet's particles (the paper prints a sum, under which loss grows with multiplicity).
    The partners are chosen without a gradient: that of a minimum is the gradient at the minimum.
    """
    forward, backward = nearest_partners(truth, reconstructed, groups, angular_scale)
    there = pair_distance(truth, reconstructed[forward], angular_scale)
    back = pair_distance(truth[backward], reconstructed, angular_scale)
    return 0.5 * segments.mean((there + back)[:, None])[:, 0]


def clipped_mean(
    values: Float[Tensor, " jet"],
    ranking: Float[Tensor, " jet"],
    fraction: float,
    weight: Float[Tensor, " jet"],
) -> Float[Tensor, ""]:
    """Return the mean by weight of `values` over the `fraction` of jets that rank lowest.

    CLIP-VAE (arXiv:2311.17162 section 3.2) regularises only jets that are reconstructed well; the
    others receive no gradient from `values`. At least one jet is kept; the fraction is one of jets,
    whatever they weigh.
    """
    if fraction >= 1.0:
        return weighted_mean(values, weight)
    kept = ranking.detach().topk(max(1, int(len(values) * fraction)), largest=False).indices
    return weighted_mean(values[kept], weight[kept])
