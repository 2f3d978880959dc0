from __future__ import annotations

import numpy as np
import pytest

from anomaly_hep.simulate.calorimeter import ECAL, Towers
from anomaly_hep.simulate.images import IMAGE_HCAL, ecal_pixels, hcal_pixels
from anomaly_hep.simulate.pileup import Overlay, PileUp, Pool, make_pool

LAYERS = (ECAL, IMAGE_HCAL)
NONE = Towers(*(np.zeros(0, np.int64) for _ in range(3)), np.zeros(0))


def cells(layer_index: int, *found: tuple[int, float, int, float]) -> Towers:
    event, eta, column, energy = (np.array(c) for c in zip(*found, strict=True))
    row = np.searchsorted(LAYERS[layer_index].eta_edges, eta) - 1
    return Towers(event, row, column, energy.astype(float))


def overlay(*chosen: tuple[int, int, int, bool]) -> Overlay:
    return Overlay(*(np.array(column) for column in zip(*chosen, strict=True)))


@pytest.fixture(scope="module")
def pool() -> Pool:
    ecal = cells(0, (0, 0.5, 10, 1.0), (0, -0.3, 359, 2.0), (1, 1.0, 0, 4.0))
    hcal = cells(1, (0, 0.5, 2, 3.0), (1, 2.0, 71, 5.0))
    return Pool(LAYERS, [ecal, hcal], 2)


def test_collisions_are_turned_alike_in_both_layers(pool: Pool) -> None:
    chosen = overlay((0, 0, 1, False))
    event, eta, phi, energy = ecal_pixels(pool.add(ECAL, 0, NONE, chosen))
    # 1 step is 5 degrees: 5 cells of ECAL, round the circle
    assert dict(zip(energy.tolist(), phi.tolist(), strict=True)) == {1.0: 15, 2.0: 4}
    _, hcal_eta, hcal_phi, _ = hcal_pixels(pool.add(IMAGE_HCAL, 1, NONE, chosen))
    assert set(hcal_phi.tolist()) == {15, 16, 17, 18, 19}
    assert eta[energy == 1.0][0] in hcal_eta.tolist()
    assert set(event.tolist()) == {0}


def test_mirrors_keep_the_distance_from_the_centre(pool: Pool) -> None:
    plain, mirrored = (
        ecal_pixels(pool.add(ECAL, 0, NONE, overlay((0, 0, 0, flag)))) for flag in (False, True)
    )
    np.testing.assert_array_equal(np.sort(285 - plain[1]), np.sort(mirrored[1]))
    np.testing.assert_array_equal(np.sort(plain[3]), np.sort(mirrored[3]))


def test_energies_of_one_cell_add_up_and_nothing_is_lost(pool: Pool) -> None:
    own = cells(0, (0, 0.5, 10, 8.0), (2, 0.1, 5, 16.0))
    chosen = overlay((0, 0, 0, False), (0, 1, 5, True), (2, 1, 0, False), (2, 1, 0, False))
    added = pool.add(ECAL, 0, own, chosen)
    assert added.energy.sum() == 8 + 16 + 3 + 4 + 4 + 4
    per_event = np.bincount(added.event, added.energy, 3)
    assert per_event.tolist() == [8 + 3 + 4, 0, 16 + 8]
    assert 9.0 in added.energy.tolist()


def test_the_number_of_collisions_is_poisson(pool: Pool) -> None:
    chosen = pool.choose(4000, 40.0, np.random.default_rng(1))
    number = np.bincount(chosen.event, minlength=4000)
    assert number.mean() == pytest.approx(40, abs=0.4)
    assert number.var() == pytest.approx(40, rel=0.1)
    assert chosen.mirrored.mean() == pytest.approx(0.5, abs=0.01)
    np.testing.assert_allclose(np.bincount(chosen.turn, minlength=72) / len(chosen.turn), 1 / 72,
                               rtol=0.1)  # fmt: skip


def test_rows_without_a_place_for_turns_are_left_out() -> None:
    """The forward cells are too coarse, and no image shows them."""
    far = Pool(LAYERS, [cells(0, (0, 4.0, 0, 1.0)), cells(1, (0, 4.0, 0, 1.0))], 1)
    for index, layer in enumerate(LAYERS):
        assert len(far.add(layer, index, NONE, overlay((0, 0, 3, True))).energy) == 0


def test_a_pool_is_made_once_per_process_and_is_the_same_for_one_seed() -> None:
    settings = ("Beams:eCM = 13000.", "HardQCD:all = on", "PhaseSpace:pTHatMin = 50.",
                "PartonLevel:MPI = off")  # fmt: skip
    pile_up = PileUp(mean=5.0, pool=6, settings=settings, seed=3)
    first = make_pool(pile_up, LAYERS, 4)
    assert make_pool(pile_up, LAYERS, 4) is first
    make_pool.cache_clear()
    again = make_pool(pile_up, LAYERS, 4)
    chosen = first.choose(3, 5.0, np.random.default_rng(1))
    assert first.size == again.size == 6
    one, other = (p.add(ECAL, 0, NONE, chosen) for p in (first, again))
    assert one.energy.tobytes() == other.energy.tobytes()
    assert len(one.energy) > 10
