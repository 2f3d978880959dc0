"""The published N-subjettiness formula, by hand, and which columns the baselines need."""

from __future__ import annotations

import math

import numpy as np
import pytest
from anomaly_hep.evaluate.baselines import baselines, family_of, n_subjettiness


def test_n_subjettiness_by_hand():
    # tau21 = 1/2, tau32 = 1/2, tau42 = 1/4: 9.9 - 3.6 - 1.65 - 0.85 = 3.8
    found = n_subjettiness(*(np.array([tau]) for tau in (0.4, 0.2, 0.1, 0.05)))
    assert found[0] == pytest.approx(1 / (1 + math.exp(-3.8)), rel=1e-6)


def test_a_jet_without_substructure_gives_a_number():
    # two particles: every tau from the second on is zero, and so is every ratio
    found = n_subjettiness(np.array([0.2, 0.0]), *np.zeros((3, 2)))
    np.testing.assert_allclose(found, 1 / (1 + math.exp(-9.9)))


def test_two_prongs_score_above_one_and_four_below():
    one, two, four = np.array(
        [[0.3, 0.27, 0.25, 0.22], [0.3, 0.06, 0.05, 0.04], [0.3, 0.2, 0.1, 0.02]]
    )
    scores = [n_subjettiness(*(np.array([tau]) for tau in jet))[0] for jet in (one, two, four)]
    assert scores[1] > scores[2] > scores[0]


def test_only_baselines_whose_columns_are_there():
    table = {"jet_sdmass": np.array([80.4]), "jet_tau1": np.array([0.1])}
    found = baselines(table)
    assert list(found) == ["soft_drop_mass"]
    assert found["soft_drop_mass"][0] == 80.4


def test_what_is_counted_in_an_image():
    table = {"hits": np.array([81.0]), "energy_ecal": np.array([540.0]), "mass": np.array([125.0])}
    assert baselines(table) == {"hits": [81.0], "energy_ecal": [540.0]}


def test_a_table_belongs_to_one_family():
    assert family_of(["event_id", "hits"]) == "images"
    assert family_of(["event_id", "jet_tau1"]) == "jets"
