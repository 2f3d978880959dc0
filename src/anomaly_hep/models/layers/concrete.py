"""Relaxed categorical (Concrete, Gumbel-softmax) distributions in log-space, and their mixtures.

Values are logarithms of points on the simplex (ExpConcrete, arXiv:1611.00712 appendix C.3), since
on the simplex itself the density overflows for many categories. Kullback-Leibler divergences are
the same in both spaces.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def sample(
    logits: Float[Tensor, "*#batch category"],
    temperature: Float[Tensor, "*#batch 1"],
    uniform: Float[Tensor, "*#batch category"],
) -> Float[Tensor, "*batch category"]:
    """Return a sample, as the logarithm of a point on the simplex, from uniform noise in (0, 1)."""
    # -log(-log u) is Gumbel noise; the bounds keep both logarithms finite
    tiny = torch.finfo(uniform.dtype).tiny
    gumbel = -(-uniform.clamp(tiny, 1 - 2**-24).log()).log()
    return torch.log_softmax((logits + gumbel) / temperature, dim=-1)


def log_density(
    value: Float[Tensor, "*#batch category"],
    logits: Float[Tensor, "*#batch category"],
    temperature: Float[Tensor, "*#batch 1"],
) -> Float[Tensor, " *batch"]:
    """Return the log-density of a relaxed categorical at `value`, which is in log-space.

    arXiv:1611.00712 eq. (26): (n-1)! t^(n-1) prod(a_k exp(-t y_k)) / (sum a_k exp(-t y_k))^n.
    """
    categories = value.shape[-1]
    terms = logits - temperature * value
    constant = math.lgamma(categories) + (categories - 1) * temperature[..., 0].log()
    return constant + terms.sum(-1) - categories * terms.logsumexp(-1)


def mixture_log_density(
    value: Float[Tensor, "*#batch category"],
    logits: Float[Tensor, "*#batch component category"],
    temperature: Float[Tensor, "component 1"],
) -> Float[Tensor, " *batch"]:
    """Return the log-density of an equal mixture of relaxed categoricals at `value`."""
    by_component = log_density(value[..., None, :], logits, temperature)
    return by_component.logsumexp(-1) - math.log(logits.shape[-2])
