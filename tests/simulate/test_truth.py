from __future__ import annotations

import numpy as np

from anomaly_hep.simulate import truth
from anomaly_hep.simulate.vectors import Direction
from tests.simulate.records import Particle, record


def top_event(phi: float = 0.0) -> list[Particle]:
    """A top with two copies, t → b W, a W copy, W → u dbar; the b radiates. Line 0 is the event."""
    return [
        Particle(90, 1.0),
        Particle(6, 600, 0.1, phi, daughters=(2, 3)),  # radiates a gluon
        Particle(6, 590, 0.1, phi, daughters=(4, 4)),
        Particle(21, 10, 0.5, phi),
        Particle(6, 580, 0.1, phi, daughters=(5, 6)),  # recoils once more, then decays
        Particle(24, 350, 0.2, phi + 0.1, daughters=(7, 7)),
        Particle(5, 230, -0.1, phi - 0.2, daughters=(10, 11)),
        Particle(24, 349, 0.2, phi + 0.1, daughters=(8, 9)),
        Particle(2, 200, 0.3, phi + 0.3),
        Particle(-1, 150, 0.1, phi - 0.1),
        Particle(5, 200, -0.1, phi - 0.2),
        Particle(21, 30, -0.1, phi - 0.2),
    ]


def leptonic_event() -> list[Particle]:
    """W → mu nu, where the muon radiates a photon."""
    return [
        Particle(90, 1.0),
        Particle(-24, 600, 0.0, 0.0, daughters=(2, 3)),
        Particle(13, 300, 0.1, 0.0, daughters=(4, 5)),
        Particle(-14, 300, 0.0, 0.1),
        Particle(13, 250, 0.12, 0.0),
        Particle(22, 50, 0.1, 0.0),
    ]


def test_last_copies_and_visible_products_are_found() -> None:
    events = record(top_event(), [Particle(90, 1.0)], top_event(2.0))
    decays = truth.find_decays(events, 6)
    assert decays.row.tolist() == [4, 13 + 4]
    found = {0: set(), 1: set()}
    for owner, row in zip(decays.owner.tolist(), decays.product.tolist(), strict=True):
        found[owner].add(row)
    # b as produced, not after its radiation, and the quarks of the W
    assert found == {0: {6, 8, 9}, 1: {13 + 6, 13 + 8, 13 + 9}}


def test_leptons_are_taken_after_radiation_and_neutrinos_left_out() -> None:
    decays = truth.find_decays(record(leptonic_event()), 24)
    assert decays.row.tolist() == [1]
    assert decays.product.tolist() == [4]
    assert truth.holds(decays, record(leptonic_event()), 13).tolist() == [True]
    assert truth.holds(decays, record(leptonic_event()), 11).tolist() == [False]


def test_no_resonance_no_decay() -> None:
    events = record([Particle(90, 1.0), Particle(21, 500)])
    decays = truth.find_decays(events, 25)
    assert len(decays.row) == len(decays.product) == 0
    axis = Direction(np.array([0.0]), np.array([0.0]))
    assert truth.match(decays, events, np.array([0]), axis, 0.8).tolist() == [-1]


def test_a_jet_must_hold_every_product() -> None:
    events = record(top_event(), top_event(3.0))
    decays = truth.find_decays(events, 6)
    jets = np.array([0, 0, 1, 1])
    # on the top; 0.65 away from it, so that a quark is outside; across the end of azimuth; empty
    axis = Direction(np.array([0.1, 0.1, 0.1, 0.1]), np.array([0.0, 0.65, -3.28, 0.5]))
    assert truth.match(decays, events, jets, axis, 0.8).tolist() == [0, -1, 1, -1]


def test_a_jet_of_another_event_does_not_match() -> None:
    events = record(top_event(), [Particle(90, 1.0), Particle(21, 500)])
    decays = truth.find_decays(events, 6)
    axis = Direction(np.array([0.1]), np.array([0.0]))
    assert truth.match(decays, events, np.array([1]), axis, 0.8).tolist() == [-1]
