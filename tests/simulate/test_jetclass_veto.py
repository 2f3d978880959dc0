from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.simulate.jetclass_processes import PROCESSES, Process
from anomaly_hep.simulate.jetclass_veto import KinematicVeto, Margins, moved
from tests.simulate.records import Entry, Record

MARGINS = Margins(scale=10, cone=1.0, min_pt=440, max_pt=1400, max_abs_eta=2.3, spread=1.2)


def w_process(*kinds: int, apart: float = 0.4) -> Record:
    """W → two of `kinds`, at pT 600."""
    return Record([
        Entry(24, 600, mass=80.4, status=-22, daughters=(1, 2)),
        Entry(kinds[0], 300, phi=apart / 2), Entry(kinds[1], 300, phi=-apart / 2),
    ])  # fmt: skip


def showered(pt: float, eta: float = 0.0, *others: Entry) -> Record:
    return Record([Entry(24, pt, eta, mass=80.4, status=62), *others])


HADRONIC_W = Process((), resonance=24)


@pytest.mark.parametrize(
    ("pt", "eta", "hopeless"),
    [(600, 0.0, False), (470, 0.0, False), (400, 0.0, True), (1500, 0.0, True), (600, 2.6, True)],
)
def test_what_counts_is_the_resonance_after_the_shower(
    pt: float, eta: float, hopeless: bool
) -> None:
    veto = KinematicVeto(HADRONIC_W, MARGINS)
    assert veto.hopeless(w_process(1, -2), showered(pt, eta)) is hopeless


def test_radiation_near_the_resonance_counts_too() -> None:
    veto = KinematicVeto(HADRONIC_W, MARGINS)
    near, far = Entry(21, 100, phi=0.5, status=43), Entry(21, 100, phi=2.0, status=43)
    assert not veto.hopeless(w_process(1, -2), showered(400, 0.0, near))
    assert veto.hopeless(w_process(1, -2), showered(400, 0.0, far))


def test_neutrinos_do_not_count() -> None:
    veto = KinematicVeto(HADRONIC_W, MARGINS)
    assert veto.hopeless(w_process(13, -14), showered(600))
    assert not veto.hopeless(w_process(13, -14), showered(1000))


def test_a_wide_decay_is_hopeless() -> None:
    veto = KinematicVeto(HADRONIC_W, MARGINS)
    assert veto.hopeless(w_process(1, -2, apart=3.0), showered(900))


def test_without_a_resonance_the_hardest_cone_counts() -> None:
    veto = KinematicVeto(PROCESSES["QCD"], MARGINS)
    alone, split = Record([Entry(1, 430)]), Record([Entry(1, 300), Entry(21, 180, phi=0.6)])
    boson = Record([Entry(23, 900), Entry(1, 300)])
    assert veto.hopeless(Record(), alone)
    assert not veto.hopeless(Record(), split)
    assert veto.hopeless(Record(), boson)
    assert veto.hopeless(Record(), Record())


def test_without_margins_nothing_is_hopeless() -> None:
    assert not KinematicVeto(HADRONIC_W, None).hopeless(w_process(1, -2), showered(1))


@pytest.mark.parametrize(
    ("first", "second", "wrong"),
    [((1, -2), (11, -12), False), ((1, -2), (3, -4), True), ((11, -12), (-13, 14), True)],
)
def test_one_lepton_means_one(first: tuple, second: tuple, wrong: bool) -> None:
    decay = Record([
        Entry(25, 600, mass=125, status=-22, daughters=(1, 2)),
        Entry(24, 300, mass=80, status=-22, daughters=(3, 4)),
        Entry(-24, 300, mass=40, status=-22, daughters=(5, 6)),
        *(Entry(pid, 150) for pid in (*first, *second)),
    ])  # fmt: skip
    assert KinematicVeto(PROCESSES["Hqql"], None).wrong_process(decay) is wrong
    assert not KinematicVeto(PROCESSES["H4q"], None).wrong_process(decay)


def test_hard_photons_count() -> None:
    veto = KinematicVeto(PROCESSES["QCD"], MARGINS)
    assert not veto.hopeless(Record(), Record([Entry(1, 200), Entry(22, 300, phi=0.3)]))


momentum = st.tuples(st.floats(1, 900), st.floats(-2, 2), st.floats(-3, 3))


@given(momentum, momentum, st.floats(50, 200))
def test_decay_products_move_with_their_resonance(first: tuple, second: tuple, mass: float) -> None:
    """Regression: through the rest frame instead, decays turned by up to a radian."""
    before, after = Entry(24, *first, mass=mass), Entry(24, *second, mass=mass)
    # the resonance itself goes where it went, and two halves of it together too
    scale = before.e() + after.e()
    np.testing.assert_allclose(
        moved(before, before, after)[:3], (after.px(), after.py(), after.pz()), atol=1e-9 * scale
    )
    # nothing turns without a change of direction: a product moves along the change of momentum
    product = Entry(1, 100.0, 0.3, 0.7)
    there = moved(product, before, after)
    change = np.subtract(there[:3], (product.px(), product.py(), product.pz()))
    along = np.subtract(
        (after.px(), after.py(), after.pz()), (before.px(), before.py(), before.pz())
    )
    np.testing.assert_allclose(np.cross(change, along), 0, atol=1e-7 * scale**2)
