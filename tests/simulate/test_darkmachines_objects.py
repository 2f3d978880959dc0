"""Objects and selections, from candidates written by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anomaly_hep.simulate.darkmachines_objects import Cuts, hadrons, reconstruct
from anomaly_hep.simulate.darkmachines_selection import Selection
from anomaly_hep.simulate.detector import (
    CHARGED_HADRON,
    ELECTRON,
    MUON,
    PHOTON,
    Candidates,
)
from tests.simulate.records import Particle, record

CUTS = Cuts(
    radius=0.4, jet_pt=20, jet_eta=2.8, lepton_pt=15, lepton_eta=2.7, photon_pt=20,
    photon_eta=2.37, isolation_radius=0.3, electron_isolation=0.12, muon_isolation=0.25,
    photon_isolation=0.12, tag_radius=0.3, hadron_pt=5, b_tag=1.0, c_tag=0.0, light_tag=0.0,
)  # fmt: skip
Row = tuple[int, float, float, float, float]  # type, pT, eta, phi, charge


def candidates(*events: list[Row]) -> Candidates:
    rows = np.array([row for event in events for row in event], np.float64)
    kind, pt, eta, phi, charge = rows.T
    p3 = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])
    return Candidates(
        np.repeat(np.arange(len(events)), [len(event) for event in events]),
        np.concatenate([p3, [pt * np.cosh(eta)]]),
        charge,
        kind.astype(np.int64),
        np.zeros((4, len(rows))),
    )


def objects(*events: list[Row], truth: list[list[Particle]] | None = None, cuts: Cuts = CUTS):
    particles = record(*(truth or [[Particle(211, 1.0)] for _ in events]))
    return reconstruct(candidates(*events), particles, cuts, np.random.default_rng(1))


def test_objects_are_ordered_and_missing_momentum_balances_them() -> None:
    found = objects([
        (PHOTON, 60, 0, 3, 0), (MUON, 30, 1, 2, -1), (ELECTRON, 40, 1, 0, 1),
        (ELECTRON, 50, -1, 0, -1),
        (CHARGED_HADRON, 25, 0, 1, 1), (CHARGED_HADRON, 90, 0, -1, 1),
    ])  # fmt: skip
    assert found.code.tolist() == [1, 1, 3, 4, 5, 7]
    pt = np.hypot(*found.momentum[:2])
    np.testing.assert_allclose(pt, [90, 25, 50, 40, 30, 60])
    np.testing.assert_allclose(found.missing[:, 0], -found.momentum[:2].sum(axis=1))


@pytest.mark.parametrize(
    ("row", "beside", "code"),
    [
        ((ELECTRON, 50, 0, 0, 1), 5.9, 4), ((ELECTRON, 50, 0, 0, 1), 6.1, 1),
        ((MUON, 50, 0, 0, 1), 12.4, 6), ((MUON, 50, 0, 0, 1), 12.6, 1),
        ((PHOTON, 50, 0, 0, 0), 5.9, 7), ((PHOTON, 50, 0, 0, 0), 6.1, 1),
        ((PHOTON, 50, 2.5, 0, 0), 1.0, 1),  # too far forward
    ],
)  # fmt: skip
def test_leptons_and_photons_are_isolated_or_part_of_jets(
    row: Row, beside: float, code: int
) -> None:
    found = objects([row, (CHARGED_HADRON, beside, row[2] + 0.2, 0, 1)])
    assert found.code.tolist() == [code]


def test_jets_with_b_hadrons_are_tagged() -> None:
    event: list[Row] = [(CHARGED_HADRON, 100, 0, phi, 1) for phi in (0, 1, 2)]
    truth = [[Particle(511, 60, 0, 0.1), Particle(411, 60, 0, 1.1), Particle(511, 4, 0, 2)]]
    found = objects(event, truth=truth)
    phi = np.rint(np.arctan2(found.momentum[1], found.momentum[0])).astype(int)
    tagged = dict(zip(phi.tolist(), found.code.tolist(), strict=True))
    assert tagged == {0: 2, 1: 1, 2: 1}
    charm = objects(event, truth=truth, cuts=replace(CUTS, b_tag=0.0, c_tag=1.0))
    assert (charm.code == 2).sum() == 1


def test_hadrons_are_known_by_their_number() -> None:
    pid = np.array([511, -521, 5122, 553, 10511, 5, 5101, 413, 4122, 310, 2212, 1000005])
    assert hadrons(pid, 5).tolist() == [0, 1, 2, 3, 4]
    assert hadrons(pid, 4).tolist() == [7, 8]


def test_no_more_than_nineteen_objects_are_kept_and_the_rest_counted() -> None:
    rows: list[Row] = [
        (CHARGED_HADRON, 30 + i, -2 + i // 7, 0.9 * (i % 7) - 3, 1) for i in range(21)
    ]
    found = objects(rows, rows[:3])
    assert found.lengths.tolist() == [19, 3]
    assert found.cut.tolist() == [2, 0]
    assert np.hypot(*found.momentum[:2]).min() == pytest.approx(30)
    assert np.hypot(*found.momentum[:2, :19]).min() == pytest.approx(32)


@pytest.mark.parametrize(
    ("selection", "passes"),
    [
        (Selection(min_ht=279), True), (Selection(min_ht=281), False),
        (Selection(min_met=99), True), (Selection(min_met=101), False),
        (Selection(min_met_over_ht=0.35), True), (Selection(min_met_over_ht=0.37), False),
        (Selection(min_jets=2, jet_pt=79), True), (Selection(min_jets=2, jet_pt=81), False),
        (Selection(leading_pt=199), True), (Selection(leading_pt=201), False),
        (Selection(min_leptons=1), True), (Selection(min_leptons=2), False),
    ],
)  # fmt: skip
def test_selections(selection: Selection, passes: bool) -> None:
    found = objects([
        (CHARGED_HADRON, 200, 0, 0, 1), (CHARGED_HADRON, 80, 0, np.pi, 1), (MUON, 20, 2, np.pi, 1),
    ])  # fmt: skip
    assert selection.passes(found).tolist() == [passes]
