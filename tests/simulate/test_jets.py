from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import ArrayLike

from anomaly_hep.simulate.jets import cluster, substructure
from anomaly_hep.simulate.vectors import direction, transverse


def momenta(pt: ArrayLike, eta: ArrayLike, phi: ArrayLike) -> np.ndarray:
    """Massless momenta."""
    p, e, f = np.array(pt, float), np.array(eta, float), np.array(phi, float)
    return np.stack([p * np.cos(f), p * np.sin(f), p * np.sinh(e), p * np.cosh(e)])


def slow_anti_kt(momentum: np.ndarray, radius: float) -> list[tuple[float, frozenset[int]]]:
    """The definition of anti-kT (arXiv:0802.1189 eqs. 1-2), all pairs looked at in every step."""
    pieces = [(momentum[:, i], frozenset([i])) for i in range(momentum.shape[1])]
    jets = []
    while pieces:
        best = (math.inf, 0, -1)
        for i, (p, _) in enumerate(pieces):
            pt = math.hypot(p[0], p[1])
            best = min(best, (pt**-2, i, -1))
            for j in range(i):
                q = pieces[j][0]
                y, z = (0.5 * math.log((k[3] + k[2]) / (k[3] - k[2])) for k in (p, q))
                turn = math.remainder(math.atan2(p[1], p[0]) - math.atan2(q[1], q[0]), 2 * math.pi)
                smaller = min(pt**-2, math.hypot(q[0], q[1]) ** -2)
                best = min(best, (smaller * ((y - z) ** 2 + turn**2) / radius**2, i, j))
        _, i, j = best
        p, members = pieces.pop(i)
        if j < 0:
            jets.append((math.hypot(p[0], p[1]), members))
        else:
            pieces[j] = (pieces[j][0] + p, pieces[j][1] | members)
    return jets


def test_clusters_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(2)
    lengths = [25, 0, 40, 3]
    n = sum(lengths)
    momentum = momenta(
        rng.exponential(20, n) + 0.1,
        rng.normal(0, 1, n),
        rng.uniform(-3.1, 3.1, n),
    )
    found = cluster(momentum, np.array(lengths), radius=0.8, min_pt=30.0)
    first = np.cumsum(lengths) - lengths
    expected = set()
    for event, (start, length) in enumerate(zip(first, lengths, strict=True)):
        for pt, members in slow_anti_kt(momentum[:, start : start + length], 0.8):
            if pt > 30:
                expected.add((event, frozenset(start + i for i in members)))
    edges = np.concatenate([[0], np.cumsum(found.lengths)])
    groups = [frozenset(found.constituents[a:b].tolist()) for a, b in pairwise(edges)]
    assert set(zip(found.event.tolist(), groups, strict=True)) == expected
    for i, group in enumerate(groups):
        np.testing.assert_allclose(found.momentum[:, i], momentum[:, sorted(group)].sum(axis=1))


def test_no_jets() -> None:
    found = cluster(momenta([1.0], [0.0], [0.0]), np.array([1, 0]), radius=0.8, min_pt=500.0)
    assert found.momentum.shape == (4, 0)
    assert len(found.constituents) == 0


@pytest.mark.parametrize(("z", "kept"), [(0.05, False), (0.09, False), (0.11, True), (0.4, True)])
def test_soft_drop_of_two_particles(z: float, kept: bool) -> None:
    apart = 0.3
    momentum = momenta([600 * (1 - z), 600 * z], [0.5, 0.5], [0.0, apart])
    _, mass = substructure(momentum, np.array([2]), radius=0.8)
    # two massless particles at the same eta: m^2 = 2 pT1 pT2 (1 - cos(delta phi))
    both = math.sqrt(2 * 600**2 * z * (1 - z) * (1 - math.cos(apart)))
    assert mass[0] == pytest.approx(both if kept else 0.0, abs=1e-2)


def test_soft_drop_removes_soft_radiation_only() -> None:
    # a decay of two hard particles with a soft particle far away
    momentum = momenta([300, 280, 8], [0.0, 0.3, -0.4], [0.0, 0.2, -0.4])
    _, mass = substructure(momentum, np.array([3]), radius=0.8)
    pair = momentum[:, :2].sum(axis=1)
    assert mass[0] == pytest.approx(math.sqrt(pair[3] ** 2 - (pair[:3] ** 2).sum()), rel=1e-5)


def test_n_subjettiness_of_few_particles() -> None:
    lengths = np.array([1, 2, 3])
    momentum = momenta(
        [600, 400, 100, 300, 200, 90],
        [0.2, 0.0, 0.3, 0.0, 0.4, 0.0],
        [0.1, 0.0, 0.0, 0.0, 0.0, 0.3],
    )
    tau, _ = substructure(momentum, lengths, radius=0.8)
    # N axes catch N particles
    for jet, length in enumerate(lengths):
        np.testing.assert_allclose(tau[jet, length - 1 :], 0, atol=1e-6)
    # one axis and two particles, beta = 1: best on the harder one, arXiv:1011.2268 eq. (2.1)
    assert tau[1, 0] == pytest.approx(100 * 0.3 / (500 * 0.8), rel=0.02)
    # two axes and three particles: the soft one goes to the nearer axis
    assert tau[2, 1] == pytest.approx(90 * 0.3 / (590 * 0.8), rel=0.02)
    assert (np.diff(tau, axis=1) <= 1e-9).all()


def test_substructure_does_not_depend_on_azimuth_or_order() -> None:
    rng = np.random.default_rng(4)
    pt, eta, phi = rng.exponential(20, 40), rng.normal(0.5, 0.2, 40), rng.normal(1.0, 0.2, 40)
    order = rng.permutation(40)
    first, mass = substructure(momenta(pt, eta, phi), np.array([40]), radius=0.8)
    turned, other = substructure(
        momenta(pt[order], eta[order], phi[order] + 2.5),
        np.array([40]),
        radius=0.8,
    )
    np.testing.assert_allclose(turned, first, rtol=2e-2)
    np.testing.assert_allclose(other, mass, rtol=1e-5)


def test_directions_of_jets_are_those_of_their_sum() -> None:
    momentum = momenta([300, 300], [0.1, 0.3], [3.1, -3.1])
    found = cluster(momentum, np.array([2]), radius=0.8, min_pt=100.0)
    eta, phi = direction(found.momentum)
    assert abs(phi[0]) == pytest.approx(math.pi, abs=0.01)
    assert eta[0] == pytest.approx(0.2, abs=0.01)
    assert transverse(found.momentum)[0] == pytest.approx(600, rel=0.01)
