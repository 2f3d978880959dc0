"""Columns of jets that follow from others, against one formula after the other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.toys import toy_boosted, toy_jets

from anomaly_hep.formats import jetclass, jetkinematics
from anomaly_hep.formats.jetkinematics import LAYOUT, of_momenta, with_derived
from anomaly_hep.formats.judging import findings
from anomaly_hep.types import Events


def test_derived_columns_follow_slowly() -> None:
    jets = toy_boosted(30, seed=3)
    found = with_derived(jets, LAYOUT.names)
    assert found.events["jet_nparticles"].tolist() == jets.lengths.tolist()
    for jet, first in enumerate(jets.offsets[:-1]):
        own = {name: float(values[jet]) for name, values in jets.events.items()}
        momentum = own["jet_pt"] * math.cosh(own["jet_eta"])
        energy = math.sqrt(momentum**2 + own["jet_mass"] ** 2)
        assert found.events["jet_energy"][jet] == pytest.approx(energy, rel=1e-6)
        for row in range(first, first + jets.lengths[jet]):
            pt, eta, phi = (float(jets.particles[f"part_{n}"][row]) for n in ("pt", "eta", "phi"))
            sign = 1 if own["jet_eta"] > 0 else -1
            expected = {
                "part_px": pt * math.cos(phi),
                "part_py": pt * math.sin(phi),
                "part_pz": pt * math.sinh(eta),
                "part_energy": pt * math.cosh(eta),
                "part_deta": sign * (eta - own["jet_eta"]),
                "part_dphi": math.remainder(phi - own["jet_phi"], 2 * math.pi),
            }
            for name, value in expected.items():
                assert found.particles[name][row] == pytest.approx(value, rel=1e-5, abs=1e-6), name


def test_names_types_and_units_are_those_of_jetclass() -> None:
    shared = set(LAYOUT.names) & set(jetclass.LAYOUT.names)
    assert shared == {
        *("part_px", "part_py", "part_pz", "part_energy", "part_deta", "part_dphi"),
        *("jet_pt", "jet_eta", "jet_phi", "jet_energy", "jet_nparticles"),
    }
    for name in shared:
        assert LAYOUT[name].dtype == jetclass.LAYOUT[name].dtype
        assert LAYOUT[name].unit == jetclass.LAYOUT[name].unit


def test_the_signs_of_angles_are_those_of_jetclass() -> None:
    """The toys follow the formula of the published files: + away from the middle."""
    jets = toy_jets(50, seed=2)
    momenta = np.stack([jets.particles[f"part_{n}"] for n in ("energy", "px", "py", "pz")])
    particles, own = of_momenta(jets.lengths, momenta.astype(np.float64))
    found = with_derived(Events(jets.lengths, particles, own), LAYOUT.names)
    for name in ("part_deta", "part_dphi"):
        assert found.particles[name] == pytest.approx(jets.particles[name], abs=2e-6)
    for name in ("jet_pt", "jet_eta", "jet_phi", "jet_energy", "jet_nparticles"):
        assert found.events[name] == pytest.approx(jets.events[name], rel=1e-5, abs=1e-5)
    assert not findings(LAYOUT, found)


def test_only_what_is_asked_for_is_made_and_what_is_stored_stays() -> None:
    jets = toy_boosted(5)
    stored = np.arange(int(jets.lengths.sum()), dtype=np.float32)
    given = Events(jets.lengths, {**jets.particles, "part_energy": stored}, jets.events)
    found = with_derived(given, ["part_energy", "jet_mass"])
    assert found.particles["part_energy"] is stored
    assert list(found.particles) == ["part_energy"]
    assert list(found.events) == ["jet_mass"]


def test_closed_forms_of_momenta() -> None:
    # two massless particles back to back in x, then one along y, then none
    momenta = np.array([[5, 5, 3], [5, -5, 0], [0, 0, 3], [0, 0, 0]], np.float64)
    particles, jets = of_momenta(np.array([2, 1, 0]), momenta)
    assert particles["part_pt"].tolist() == [5, 5, 3]
    assert particles["part_phi"] == pytest.approx([0, math.pi, math.pi / 2])
    assert jets["jet_pt"].tolist() == [0, 3, 0]
    assert jets["jet_mass"].tolist() == [10, 0, 0]
    assert jets["jet_eta"].tolist() == [0, 0, 0]


def test_what_is_along_the_beam_is_out_of_bounds() -> None:
    particles, jets = of_momenta(np.array([1]), np.array([[5.0], [0], [0], [5.0]]))
    assert np.isinf(particles["part_eta"]).all()
    found = Events(np.array([1]), particles, jets)
    assert {finding.branch for finding in findings(LAYOUT, found)} >= {"part_eta", "part_pt"}


def test_angles_that_round_to_more_than_pi_are_within_it() -> None:
    jets = toy_boosted(1)
    angle = {"part_phi": np.full_like(jets.particles["part_phi"], -3.1415925)}
    given = Events(
        jets.lengths,
        {**jets.particles, **angle},
        {**jets.events, "jet_phi": np.zeros(1, np.float32)},
    )
    found = with_derived(given, ["part_dphi"])
    assert LAYOUT["part_dphi"].bad(found.particles["part_dphi"]) is None


def test_given_columns_are_a_part_of_all() -> None:
    assert {**jetkinematics.PARTICLES, **jetkinematics.JETS}.keys() < set(LAYOUT.names)
