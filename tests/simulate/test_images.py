"""Where tracks and calorimeter cells end up in an image."""

from __future__ import annotations

import numpy as np
import pytest

from anomaly_hep.formats.pixels import BLOCK, ETA_PIXELS, PADDING, PHI_PIXELS, downscale
from anomaly_hep.simulate.calorimeter import (
    ECAL,
    HCAL,
    Hits,
    Towers,
    deposits,
    transverse_energies,
)
from anomaly_hep.simulate.images import (
    IMAGE_HCAL,
    PIXEL,
    as_events,
    ecal_pixels,
    hcal_pixels,
    track_pixels,
)
from anomaly_hep.simulate.vectors import Direction


def hits(*particles: tuple[float, float, int, float], event: int = 0) -> Hits:
    eta, phi, pid, energy = (np.array(column) for column in zip(*particles, strict=True))
    none = np.zeros(len(pid))
    return Hits(
        np.full(len(pid), event), Direction(eta.astype(float), phi.astype(float)),
        pid.astype(np.int64), energy.astype(float), none, none,
    )  # fmt: skip


def towers(*cells: tuple[int, int, int, float]) -> Towers:
    event, row, column, energy = (np.array(c) for c in zip(*cells, strict=True))
    return Towers(event, row, column, energy.astype(float))


@pytest.mark.parametrize(
    ("eta", "phi", "pixel"),
    [
        (0.001, -np.pi, (143, 0)),
        (-0.001, 0.001, (142, 180)),
        (2.488, 3.14159, (285, 359)),
        (-2.488, np.pi, (0, 359)),
        (1.0, -1.0, (143 + 57, 122)),
    ],
)
def test_a_track_is_where_it_leaves_the_tracker(
    eta: float, phi: float, pixel: tuple[int, int]
) -> None:
    event, row, column, pt = track_pixels(hits((eta, phi, 211, 50.0)), np.array([3.0]))
    assert (event[0], row[0], column[0], pt[0]) == (0, *pixel, 3.0)


def test_what_is_no_track_or_outside_is_not_in_the_image() -> None:
    seen = hits((2.489, 0, 211, 9), (-2.489, 0, 211, 9), (0.5, 0, 22, 9), (0.5, 0, 211, 9))
    event, *_ = track_pixels(seen, np.array([1.0, 1.0, 0.0, 2.0]))
    assert len(event) == 1


@pytest.mark.parametrize("eta", [-2.48, -1.0, -0.01, 0.01, 0.7, 2.48])
@pytest.mark.parametrize("phi", [-3.1, 0.02, 3.1])
def test_a_photon_and_a_track_of_one_direction_share_a_pixel(eta: float, phi: float) -> None:
    seen = hits((eta, phi, 22, 20.0))
    track = track_pixels(seen, np.array([20.0]))
    photon = ecal_pixels(deposits(ECAL, seen))
    assert [int(c[0]) for c in track[:3]] == [int(c[0]) for c in photon[:3]]


@pytest.mark.parametrize("eta", [-2.4, -0.9, 0.02, 1.7, 2.3])
def test_a_hadron_fills_25_pixels_and_one_of_the_small_image(eta: float) -> None:
    seen = hits((eta, 1.0, 211, 40.0))
    event, row, column, energy = hcal_pixels(deposits(IMAGE_HCAL, seen))
    assert len(event) == 25
    assert (np.ptp(row), np.ptp(column)) == (4, 4)
    np.testing.assert_allclose(energy, 40 / 25)
    track = track_pixels(seen, np.array([40.0]))
    lengths, small = downscale(event, np.full(25, 2), row, column, energy.astype(np.float32), 1)
    assert lengths.tolist() == [1]
    # the cell is the block of 5 x 5 pixels that the track is in
    assert small["hit_column"][0] == (track[1][0] + PADDING) // BLOCK
    assert small["hit_row"][0] == track[2][0] // BLOCK
    assert small["hit_energy"][0] == pytest.approx(40)


@pytest.mark.parametrize(("eta", "rows"), [(2.46, [283, 284, 285]), (-2.46, [0, 1, 2])])
def test_the_outermost_hcal_cells_are_cut_off(eta: float, rows: list[int]) -> None:
    _, row, _, energy = hcal_pixels(deposits(IMAGE_HCAL, hits((eta, 0.0, 211, 25.0))))
    assert sorted(set(row.tolist())) == rows
    assert energy.sum() == pytest.approx(25 * 15 / 25)


def test_cells_beyond_the_image_are_left_out() -> None:
    seen = hits((2.6, 0.0, 211, 25.0), (-4.0, 0.0, 211, 25.0), (2.6, 0.0, 22, 25.0))
    assert len(hcal_pixels(deposits(IMAGE_HCAL, seen))[0]) == 0
    assert len(ecal_pixels(deposits(ECAL, seen))[0]) == 0


def test_the_fine_hcal_is_that_of_the_card_but_for_its_cells() -> None:
    assert IMAGE_HCAL.resolution is HCAL.resolution
    assert IMAGE_HCAL.fractions == HCAL.fractions
    edges = IMAGE_HCAL.eta_edges
    np.testing.assert_allclose(edges, -edges[::-1])
    inner = np.abs(edges) < 2.96
    np.testing.assert_allclose(np.diff(edges[inner]), 5 * PIXEL, rtol=1e-9)
    assert (IMAGE_HCAL.phi_cells[np.flatnonzero(inner)[:-1]] == 72).all()
    np.testing.assert_allclose(edges[edges > 3], HCAL.eta_edges[HCAL.eta_edges > 3])


# ---- the cuts, which the published images show


def test_cells_are_cut_where_the_published_images_begin() -> None:
    """E > 2 sigma(E): 9.09 GeV in HCAL, 0.825 GeV in ECAL at eta = 0, as energies E / cosh(eta)."""
    rng = np.random.default_rng(1)
    row = int(np.searchsorted(IMAGE_HCAL.eta_edges, 0.01)) - 1
    energy = np.full(20_000, 11.0)
    true = Towers(np.arange(20_000), np.full(20_000, row), np.zeros(20_000, np.int64), energy)
    measured = transverse_energies(IMAGE_HCAL, true, rng).energy
    assert measured.min() == pytest.approx(4 * 1.5**2 / (1 - 4 * 0.05**2), rel=0.01)
    row = int(np.searchsorted(ECAL.eta_edges, 0.001)) - 1
    true = Towers(true.event, np.full(20_000, row), true.column, np.full(20_000, 1.0))
    measured = transverse_energies(ECAL, true, rng).energy
    solved = np.roots([1 - 4 * 0.008**2, -4 * 0.11**2, -4 * 0.40**2]).max()
    assert measured.min() == pytest.approx(solved, rel=0.01)


def test_energies_are_transverse() -> None:
    rng = np.random.default_rng(2)
    for eta in (0.05, -1.2, 2.2):
        true = deposits(IMAGE_HCAL, hits((eta, 0.0, 211, 5000.0)))
        measured = [transverse_energies(IMAGE_HCAL, true, rng).energy[0] for _ in range(400)]
        centre = (np.floor(eta / 0.087) + 0.5) * 0.087
        assert np.mean(measured) == pytest.approx(5000 / np.cosh(centre), rel=0.015)


# ---- events


def test_an_event_is_its_pixels_in_order() -> None:
    seen = hits((0.001, 0.001, 211, 9), (0.002, 0.002, 211, 9), (-1.0, 1.0, 13, 9), event=1)
    ecal, hcal = ECAL.eta_edges, IMAGE_HCAL.eta_edges
    photon = (0, int(np.searchsorted(ecal, 0.01)) - 1, 180, 2.0)
    hadron = (1, int(np.searchsorted(hcal, 0.01)) - 1, 36, 50.0)
    events = as_events(
        seen, np.array([1.0, 2.0, 4.0]), towers(photon), towers(hadron),
        number=3, label=2, mass=2100.0,
    )  # fmt: skip
    assert events.lengths.tolist() == [1, 2 + 25, 0]
    assert events.events["n_tracks"].tolist() == [0, 3, 0]
    assert events.events["label"].tolist() == [2, 2, 2]
    assert events.events["mass"].tolist() == [2100, 2100, 2100]
    hit = events.particles
    assert hit["hit_channel"].tolist() == [1, 0, 0] + [2] * 25
    # two tracks in one pixel add up
    assert hit["hit_energy"][:3].tolist() == [2, 4, 3]
    key = (hit["hit_channel"].astype(int) * ETA_PIXELS + hit["hit_eta"].astype(int)) * PHI_PIXELS
    assert (np.diff((key + hit["hit_phi"])[1:]) > 0).all()
