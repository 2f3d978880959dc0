"""The energy mover's distance: transport.cpp on the CPU, a linear programme where it is missing."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Float64
from scipy import optimize, sparse
from torch import Tensor

from anomaly_hep.models.layers import operators

_Array = Float64[np.ndarray, "..."]


def energy_movers_distance(
    weights: Float[Tensor, "event first"],
    points: Float[Tensor, "event first 2"],
    other_weights: Float[Tensor, "event second"],
    other_points: Float[Tensor, "event second 2"],
    radius: float = 1.0,
) -> Float64[Tensor, " event"]:
    """Return the energy mover's distance of each event and its partner.

    It is the least sum of weight times distance / radius that moves the lighter event's weight into
    the heavier one, and the difference of both sums of weights: in the unit of the weights (pT in
    GeV). Distances are Euclidean, in that of (y, phi), so phi must not jump at +-pi. It is computed
    on the CPU, in float64, on all threads of torch, and has no gradient.

    A particle of weight 0 is absent, wherever its point is. An event with a weight or point that is
    not finite has the distance NaN. Raises ValueError if a weight is negative.
    Source: arXiv:1902.02346 eq. (1), with the exponent 1 of arXiv:2004.04159.
    """
    w, p, v, q = (
        value.detach().to("cpu", torch.float64)
        for value in (weights, points, other_weights, other_points)
    )
    negative = (w < 0).any(1) | (v < 0).any(1)
    if negative.any():
        raise ValueError(f"event {int(negative.nonzero()[0])} has a particle of negative weight")
    if operators.ready():
        distances: Tensor = torch.ops.anomaly_hep.energy_movers_distance(w, p, v, q, radius)
    else:
        distances = plain(w, p, v, q, radius)
    return distances.to(weights.device)


def plain(
    weights: Float64[Tensor, "event first"],
    points: Float64[Tensor, "event first 2"],
    other_weights: Float64[Tensor, "event second"],
    other_points: Float64[Tensor, "event second 2"],
    radius: float,
) -> Float64[Tensor, " event"]:
    """Return what transport.cpp does, hundreds of times slower, to a millionth of the weights."""
    w, p, v, q = (value.numpy() for value in (weights, points, other_weights, other_points))
    distances = [_distance(w[e], p[e], v[e], q[e], radius) for e in range(len(w))]
    return torch.tensor(distances, dtype=torch.float64)


def _distance(w: _Array, p: _Array, v: _Array, q: _Array, radius: float) -> float:
    w, p, v, q = w[w != 0], p[w != 0], v[v != 0], q[v != 0]
    if w.sum() > v.sum():
        w, p, v, q = v, q, w, p
    difference = float(v.sum() - w.sum())
    costs = np.hypot(*(p[:, None] - q[None]).transpose(2, 0, 1)) / radius
    if not (math.isfinite(difference) and np.isfinite(costs).all()):
        return math.nan
    largest = costs.max(initial=0.0)
    if largest == 0.0:
        return difference
    # the tolerances of the solver are absolute, for numbers of the order of 1
    total = w.sum()
    found = optimize.linprog(
        costs.ravel() / largest,
        A_eq=sparse.kron(sparse.eye(len(w)), np.ones(len(v)), format="csr"),
        b_eq=w / total,
        A_ub=sparse.kron(np.ones(len(w)), sparse.eye(len(v)), format="csr"),
        b_ub=v / total,
    )
    if found.fun is None:
        raise RuntimeError(f"no cheapest transport: {found.message}")
    return float(found.fun * largest * total) + difference
