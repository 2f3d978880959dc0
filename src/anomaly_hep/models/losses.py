"""Loss terms, each with its published equation."""

from __future__ import annotations

from functools import partial

from jaxtyping import Float, Int64
from torch import Tensor

from anomaly_hep.models.layers.segments import Segments
from anomaly_hep.models.outputs import weighted_mean


def kl_divergence(
    mean: Float[Tensor, "jet latent"], log_variance: Float[Tensor, "jet latent"]
) -> Float[Tensor, " jet"]:
    """Return the KL divergence of N(mean, variance) from N(0, 1), averaged over latent dimensions.

    The published code averages instead of the usual sum, and its beta is for the average.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean(1)


def pair_distance(
    truth: Float[Tensor, "... 3"], other: Float[Tensor, "... 3"], angular_scale: float
) -> Float[Tensor, ...]:
    """Return (dpT)^2 + pT^2 (deta^2 + dphi^2) / R0^2 with the pT of `truth`.

    Particles are (10 pT/pT_jet, delta eta, delta phi); `angular_scale` is R0 in radians.
    """
    difference = (truth - other).square()
    angles = difference[..., 1] + difference[..., 2]
    return difference[..., 0] + truth[..., 0].square() * angles / angular_scale**2


def chamfer(
    truth: Float[Tensor, "particle 3"],
    reconstructed: Float[Tensor, "particle 3"],
    segments: Segments,
    angular_scale: float,
    types: Int64[Tensor, " particle"] | None = None,
    n_types: int = 1,
) -> Float[Tensor, " jet"]:
    """Return arXiv:2311.17162 eq. 1 per jet, as the published code evaluates it.

    Partners are in the same jet and, with `types` (0 to `n_types` - 1), of the same type. Both
    directions have weight one half, and each is the mean over the jet's particles (the paper prints
    a sum, for which the loss grows with multiplicity). The search for partners needs no gradient:
    the gradient of a minimum is the gradient at the minimum.
    """
    distance = partial(pair_distance, angular_scale=angular_scale)
    forward, backward = segments.nearest(distance, truth, reconstructed, types, n_types)
    to_reconstructed = distance(truth, reconstructed[forward])
    to_truth = distance(truth[backward], reconstructed)
    return 0.5 * segments.mean((to_reconstructed + to_truth)[:, None])[:, 0]


def clipped_mean(
    values: Float[Tensor, " jet"],
    ranking: Float[Tensor, " jet"],
    fraction: float,
    weight: Float[Tensor, " jet"],
    segments: Segments,
) -> Float[Tensor, ""]:
    """Return the weighted mean of `values` over the `fraction` of jets that rank lowest.

    CLIP-VAE (arXiv:2311.17162 section 3.2) regularises only well reconstructed jets; the others get
    no gradient from `values`.
    """
    if fraction >= 1.0:
        return weighted_mean(values, weight)
    kept, weight = segments.lowest(ranking.detach(), fraction, weight)
    return weighted_mean(values[kept], weight)
