"""The readers on real jets: the 100 published JetClass-II jets, as Parquet and as a JetClass tree.

The numbers compared with are those of arXiv:2405.12972's data set as we found them in the excerpt's
own momenta: relative angles to 1e-6, energies that add up to the jet's within a permille.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import jetclass, jetclass2
from anomaly_hep.formats.files import format_of
from anomaly_hep.types import Events

COMMON = [name for name in jetclass.LAYOUT.names if name in jetclass2.WRITTEN.names]


@pytest.fixture(scope="module")
def parquet(shared_data: Path) -> Path:
    return shared_data / "jetclass2" / "JetClassII_example.parquet"


@pytest.fixture(scope="module")
def root(shared_data: Path) -> Path:
    return shared_data / "jetclass2" / "JetClassII_example_as_JetClass.root"


@pytest.fixture(scope="module", params=["parquet", "root"])
def jets(request: pytest.FixtureRequest) -> Events:
    path: Path = request.getfixturevalue(request.param)
    events: Events = format_of(path).read(path, 0, 100, COMMON)
    return events


def test_both_formats_agree_branch_by_branch(parquet: Path, root: Path) -> None:
    left, right = jetclass2.read(parquet, 0, 100, COMMON), jetclass.read(root, 0, 100, COMMON)
    np.testing.assert_array_equal(left.lengths, right.lengths)
    for kind in ("particles", "events"):
        for name, column in getattr(left, kind).items():
            np.testing.assert_array_equal(column, getattr(right, kind)[name], err_msg=name)


def test_both_have_a_hundred_jets_and_no_provenance(parquet: Path, root: Path) -> None:
    for path in (parquet, root):
        description = format_of(path).describe(path)
        assert (description.entries, description.provenance) == (100, None)


def test_relative_angles_follow_from_the_momenta(jets: Events) -> None:
    p = {name: column.astype(np.float64) for name, column in jets.particles.items()}
    jet = np.repeat(np.arange(100), jets.lengths)
    jet_eta, jet_phi = (jets.events[f"jet_{n}"].astype(np.float64)[jet] for n in ("eta", "phi"))
    eta = np.arcsinh(p["part_pz"] / np.hypot(p["part_px"], p["part_py"]))
    deta = (eta - jet_eta) * np.where(jet_eta > 0, 1, -1)
    dphi = np.arctan2(p["part_py"], p["part_px"]) - jet_phi
    dphi = np.arctan2(np.sin(dphi), np.cos(dphi))
    np.testing.assert_allclose(p["part_deta"], deta, rtol=0, atol=1e-6)
    np.testing.assert_allclose(p["part_dphi"], dphi, rtol=0, atol=1e-6)


def test_energies_add_up_to_the_jet(jets: Events) -> None:
    jet = np.repeat(np.arange(100), jets.lengths)
    ratio = np.bincount(jet, jets.particles["part_energy"]) / jets.events["jet_energy"]
    assert ratio.mean() == pytest.approx(0.999, abs=0.001)


def test_particles_come_in_descending_pt(jets: Events) -> None:
    pt = np.hypot(jets.particles["part_px"], jets.particles["part_py"])
    same_jet = np.diff(np.repeat(np.arange(100), jets.lengths)) == 0
    assert (np.diff(pt)[same_jet] <= 1e-3).all()


def test_each_particle_has_one_type_and_a_charge_that_fits(jets: Events) -> None:
    kinds = ("ChargedHadron", "NeutralHadron", "Photon", "Electron", "Muon")
    flags = np.stack([jets.particles[f"part_is{kind}"] != 0 for kind in kinds])
    assert (flags.sum(axis=0) == 1).all()
    charged = flags[[0, 3, 4]].any(axis=0)
    np.testing.assert_array_equal(jets.particles["part_charge"] != 0, charged)


def test_labels_agree_where_both_sets_have_the_class(parquet: Path, root: Path) -> None:
    """JetClass-II names X->bb, X->cc and X->gg differently; its QCD classes are one in JetClass."""
    names = json.loads((parquet.parent / "labels_188.json").read_text())
    fine = [names[i] for i in jetclass2.read(parquet, 0, 100, ["jet_label"]).events["jet_label"]]
    columns = [f"label_{name}" for name in jetclass.LABELS]
    flags = jetclass.read(root, 0, 100, columns).events
    coarse = [
        "".join(name for name in jetclass.LABELS if flags[f"label_{name}"][jet])
        for jet in range(100)
    ]
    assert coarse.count("QCD") == 21
    for name, label in zip(fine, coarse, strict=True):
        assert (label == "QCD") == name.startswith("label_QCD"), name
        same = {"label_X_bb": "Hbb", "label_X_cc": "Hcc", "label_X_gg": "Hgg"}
        assert label == same.get(name, label if label == "QCD" else ""), name


def test_lists_of_the_generator_have_their_own_lengths(parquet: Path) -> None:
    particles = jetclass2.read(parquet, 0, 100, ["part_px"])
    generated = jetclass2.read(parquet, 0, 100, ["genpart_px", "genpart_pid"])
    resonances = jetclass2.read(parquet, 0, 100, ["aux_genpart_mass"])
    assert len({tuple(e.lengths) for e in (particles, generated, resonances)}) == 3


def test_every_published_column_is_known_with_its_type(parquet: Path) -> None:
    for prefix in ("part_", "jet_", "genpart_", "genjet_", "aux_genpart_"):
        names = [name for name in jetclass2.LAYOUT.names if name.startswith(prefix)]
        events = jetclass2.read(parquet, 0, 100, names)
        assert set(events.particles) | set(events.events) == set(names)


def test_a_branch_that_the_derived_tree_lacks_is_named(root: Path) -> None:
    with pytest.raises(BadFileError) as caught:
        jetclass.read(root, 0, 100, ["jet_pt", "aux_truth_match"])
    assert caught.value.branch == "aux_truth_match"
