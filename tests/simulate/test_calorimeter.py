from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from anomaly_hep.simulate.calorimeter import ECAL, HCAL, Hits, Layer, energy_flow, log_normal
from anomaly_hep.simulate.vectors import Direction


def hits(
    event: list[int],
    eta: list[float],
    phi: list[float],
    pid: list[int],
    energy: list[float],
    *,
    track_energy: list[float] | None = None,
    track_resolution: list[float] | None = None,
) -> Hits:
    zero = [0.0] * len(event)
    return Hits(
        np.array(event, np.int64),
        Direction(np.array(eta, float), np.array(phi, float)),
        np.array(pid, np.int64),
        np.array(energy, float),
        np.array(track_energy or zero, float),
        np.array(track_resolution or zero, float),
    )


def exact(layer: Layer) -> Layer:
    """The layer without smearing: a resolution far below every other number."""
    return replace(layer, resolution=lambda energy, eta: np.full(len(energy), 1e-9) + 0 * eta)


def test_cells_of_the_card() -> None:
    # the lists of delphes_card_CMS.tcl, as they are written there
    ecal = {i * 0.0174 for i in range(-85, 87)}
    ecal |= {-2.958 + i * 0.0174 for i in range(1, 85)} | {
        1.4964 + i * 0.0174 for i in range(1, 85)
    }
    far = [3.125, 3.3, 3.475, 3.65, 3.825, 4, 4.175, 4.35, 4.525, 4.7, 5]
    ecal |= {*far, *(-x for x in far), -2.958}
    near = {0.087 * i for i in range(-18, 20)} | {-1.653}
    wide = [1.74, 1.83, 1.93, 2.043, 2.172, 2.322, 2.5, 2.65, 2.868, 2.95]
    hcal = near | {*wide, *(-x for x in wide), *far, *(-x for x in far)}
    np.testing.assert_allclose(ECAL.eta_edges, sorted(ecal), atol=1e-9)
    np.testing.assert_allclose(HCAL.eta_edges, sorted(hcal), atol=1e-9)


@pytest.mark.parametrize(
    ("layer", "eta", "cells"),
    [
        (ECAL, 0.01, 360), (ECAL, -2.95, 360), (ECAL, 2.95, 360), (ECAL, 3.0, 36), (ECAL, -4.9, 36),
        (HCAL, 0.5, 72), (HCAL, -1.65, 72), (HCAL, 1.7, 36), (HCAL, -4.4, 36), (HCAL, 4.6, 18),
    ],
)  # fmt: skip
def test_cells_in_phi(layer: Layer, eta: float, cells: int) -> None:
    assert layer.phi_cells[np.searchsorted(layer.eta_edges, eta) - 1] == cells


@pytest.mark.parametrize(
    ("layer", "energy", "eta", "sigma"),
    [
        (ECAL, 50.0, 1.0, 1.64 * math.sqrt((50 * 0.008) ** 2 + 50 * 0.11**2 + 0.4**2)),
        (ECAL, 50.0, -2.2, 2.384 * math.sqrt((50 * 0.008) ** 2 + 50 * 0.11**2 + 0.4**2)),
        (ECAL, 50.0, 2.7, math.sqrt((50 * 0.107) ** 2 + 50 * 2.08**2)),
        (HCAL, 50.0, 2.9, math.sqrt((50 * 0.05) ** 2 + 50 * 1.5**2)),
        (HCAL, 50.0, -3.1, math.sqrt((50 * 0.13) ** 2 + 50 * 2.7**2)),
    ],
)
def test_resolutions_of_the_card(layer: Layer, energy: float, eta: float, sigma: float) -> None:
    assert layer.resolution(np.array([energy]), np.array([eta]))[0] == pytest.approx(sigma)


def test_shares_of_the_card() -> None:
    pid = np.array([22, -11, 13, 211, -2212, 130, 310, -3122, 2112])
    np.testing.assert_array_equal(ECAL.fraction(pid), [1, 1, 0, 0, 0, 0, 0.3, 0.3, 0])
    np.testing.assert_array_equal(HCAL.fraction(pid), [0, 0, 0, 1, 1, 1, 0.7, 0.7, 1])


def test_log_normal_has_the_mean_and_the_deviation() -> None:
    rng = np.random.default_rng(5)
    mean, sigma = np.full(200_000, 3.0), np.full(200_000, 1.2)
    values = log_normal(mean, sigma, rng)
    assert values.min() > 0
    assert values.mean() == pytest.approx(3.0, abs=0.02)
    assert values.std() == pytest.approx(1.2, abs=0.02)
    assert log_normal(np.zeros(3), np.ones(3), rng).tolist() == [0, 0, 0]


def slow_energy_flow(layer: Layer, particles: Hits) -> tuple[dict, np.ndarray]:
    """One cell after the other, without smearing, in the words of Delphes' SimpleCalorimeter."""
    cells = defaultdict(list)
    share = layer.fraction(particles.pid)
    for i, (eta, phi) in enumerate(zip(*particles.point, strict=True)):
        if share[i] == 0 or not layer.eta_edges[0] < eta <= layer.eta_edges[-1]:
            continue
        row = next(k for k in range(len(layer.phi_cells)) if eta <= layer.eta_edges[k + 1])
        column = int((phi + math.pi) / (2 * math.pi) * layer.phi_cells[row])
        cells[int(particles.event[i]), row, column].append(i)
    neutral, scale = {}, np.ones(len(particles.pid))
    for cell, inside in cells.items():
        energy = sum(particles.energy[i] * share[i] for i in inside)
        tracks = sum(particles.track_energy[i] * share[i] for i in inside)
        sigma_tracks = math.sqrt(
            sum((particles.track_resolution[i] * particles.track_energy[i] * share[i]) ** 2
                for i in inside)
        )  # fmt: skip
        sigma = 1e-9
        if energy < layer.min_energy or energy < layer.min_significance * sigma:
            energy = 0.0
        excess = max(energy - tracks, 0.0)
        if (
            excess > layer.min_energy
            and excess / math.hypot(sigma_tracks, sigma) > layer.min_significance
        ):
            neutral[cell] = excess
        elif tracks > 0:
            weight = 1 / sigma_tracks**2 if sigma_tracks > 0 else 0.0
            best = (weight * tracks + energy / sigma**2) / (weight + 1 / sigma**2)
            for i in inside:
                scale[i] = best / tracks
    return neutral, scale


@pytest.mark.parametrize("layer", [ECAL, HCAL], ids=["ecal", "hcal"])
def test_energy_flow_is_that_of_a_slow_loop(layer: Layer) -> None:
    rng = np.random.default_rng(11)
    n = 2700
    pid = rng.choice([11, 22, 13, 211, 130, 310], n)
    energy = rng.exponential(3.0, n)
    # a third of the directions shared, so that cells hold several particles
    eta, phi = rng.uniform(-5.2, 5.2, n), rng.uniform(-math.pi, math.pi, n)
    eta[: n // 3], phi[: n // 3] = np.repeat(eta[: n // 9], 3), np.repeat(phi[: n // 9], 3)
    event = np.sort(rng.integers(0, 7, n))
    event[: n // 3] = 0
    charged = np.isin(pid, (11, 13, 211)) & (rng.random(n) < 0.8)
    track_energy = np.where(charged, energy * rng.normal(1, 0.05, n), 0.0)
    particles = Hits(
        event, Direction(eta, phi), pid, energy, track_energy, np.where(charged, 0.05, 0.0)
    )
    flow = energy_flow(exact(layer), particles, np.random.default_rng(1))
    neutral, scale = slow_energy_flow(exact(layer), particles)
    np.testing.assert_allclose(flow.track_scale, scale, rtol=1e-5)
    np.testing.assert_allclose(np.sort(flow.energy), np.sort(list(neutral.values())), rtol=1e-6)
    # each object lies in its cell
    rows = np.searchsorted(layer.eta_edges, flow.direction.eta) - 1
    columns = (flow.direction.phi + math.pi) / (2 * math.pi) * layer.phi_cells[rows]
    cells = zip(flow.event.tolist(), rows.tolist(), columns.astype(int).tolist(), strict=True)
    assert {cell: pytest.approx(e) for cell, e in zip(cells, flow.energy, strict=True)} == neutral


def test_an_excess_over_a_track_becomes_neutral() -> None:
    # a pion of 20 GeV with its track, and a neutral hadron of 30 GeV in the same cell
    particles = hits([0, 0], [0.3, 0.31], [0.1, 0.11], [211, 130], [20.0, 30.0],
                     track_energy=[20.0, 0.0], track_resolution=[0.01, 0.0])  # fmt: skip
    flow = energy_flow(exact(HCAL), particles, np.random.default_rng(0))
    assert flow.energy.tolist() == [pytest.approx(30.0)]
    assert flow.track_scale.tolist() == [1.0, 1.0]


def test_without_an_excess_the_better_measurement_wins() -> None:
    particles = hits([0], [0.3], [0.1], [211], [20.0], track_energy=[21.0], track_resolution=[0.01])
    # a track of 0.2 GeV uncertainty against a cell of 7 GeV: the track stays
    scales = [
        energy_flow(HCAL, particles, np.random.default_rng(i)).track_scale[0] for i in range(50)
    ]
    assert np.median(np.abs(np.array(scales) - 1)) < 0.01
    # a track that claims no uncertainty weighs nothing, as in Delphes
    nothing = replace(particles, track_resolution=np.zeros(1))
    exactly = energy_flow(exact(HCAL), nothing, np.random.default_rng(0))
    assert exactly.track_scale[0] == pytest.approx(20 / 21)


def test_soft_energy_is_below_threshold() -> None:
    particles = hits([0, 0], [0.3, 1.0], [0.1, 0.1], [130, 130], [3.0, 40.0])
    found = [len(energy_flow(HCAL, particles, np.random.default_rng(i)).energy) for i in range(200)]
    # 3 GeV is 1.1 sigma, so rarely seen; 40 GeV is 4 sigma, so nearly always
    assert 0.9 < np.mean(found) < 1.35
    loose = replace(HCAL, min_significance=0.0, min_energy=0.0)
    found = [len(energy_flow(loose, particles, np.random.default_rng(i)).energy) for i in range(20)]
    assert set(found) == {2}


def test_edges_do_not_leak_into_other_events() -> None:
    """Regression: particles at phi = pi and beyond |eta| = 5 once hit cells of the event before."""
    particles = hits(
        [1, 1, 1, 2], [5.0, 5.01, -5.0, 0.0], [math.pi, 0.0, 0.0, -math.pi], [130] * 4, [500.0] * 4
    )
    flow = energy_flow(exact(HCAL), particles, np.random.default_rng(0))
    assert flow.event.tolist() == [1, 2]
    assert flow.direction.eta[0] > 4.7
    assert flow.direction.phi[0] > math.pi - 2 * math.pi / 18
