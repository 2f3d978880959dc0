"""The JetNet format: jets without phi, masks, and bad files."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from tests.formats.test_rodem import refused
from tests.toys import toy_boosted

from anomaly_hep.data.samples import sample_file
from anomaly_hep.formats import files, jetnet
from anomaly_hep.types import Events, Sample

ALL = list(jetnet.LAYOUT.names)


def put(path: Path, number: int = 20, slots: int = 50, seed: int = 0) -> Path:
    """Write toy jets in the published layout."""
    jets = toy_boosted(number, seed=seed)
    jet = np.repeat(np.arange(number), jets.lengths)
    own, of_jet = jets.particles, {name: values[jet] for name, values in jets.events.items()}
    phi = own["part_phi"] - of_jet["jet_phi"]
    particles = np.zeros((number, slots, 4), np.float32)
    particles[np.arange(slots) < jets.lengths[:, None]] = np.stack(
        [
            own["part_eta"] - of_jet["jet_eta"],
            (phi + np.pi) % (2 * np.pi) - np.pi,
            own["part_pt"] / of_jet["jet_pt"],
            np.ones(len(jet)),
        ],
        1,
    )
    names = ("jet_pt", "jet_eta", "jet_mass")
    with h5py.File(path, "w") as file:
        file["particle_features"] = particles
        file["jet_features"] = np.stack(
            [*(jets.events[name] for name in names), jets.lengths.astype(np.float32)], 1
        )
    return path


def read(path: Path, columns: list[str] | None = None) -> Events:
    described = files.format_of(path).describe(path)
    return files.read(path, 0, described.entries, columns or ALL)


def test_jets_are_read_with_a_phi_of_zero(tmp_path: Path) -> None:
    jets, found = toy_boosted(20), read(put(tmp_path / "g.hdf5"))
    jet = np.repeat(np.arange(20), jets.lengths)
    assert found.lengths.tolist() == jets.lengths.tolist()
    assert found.particles["part_pt"] == pytest.approx(jets.particles["part_pt"], rel=1e-5)
    assert found.particles["part_eta"] == pytest.approx(jets.particles["part_eta"], abs=1e-5)
    turned = jets.particles["part_phi"] - jets.events["jet_phi"][jet]
    turned = (turned + np.pi) % (2 * np.pi) - np.pi
    assert found.particles["part_phi"] == pytest.approx(turned, abs=1e-5)
    assert found.particles["part_dphi"] == pytest.approx(turned, abs=1e-5)
    assert found.events["jet_phi"].tolist() == [0] * 20
    for name in ("jet_pt", "jet_eta", "jet_mass"):
        assert np.array_equal(found.events[name], jets.events[name])
    assert found.particles["part_pt"].dtype == np.float32


def test_the_mask_and_no_pt_are_padding(tmp_path: Path) -> None:
    path = put(tmp_path / "g.hdf5", 3)
    before = read(path)
    with h5py.File(path, "r+") as file:
        file["particle_features"][1, 1, 3] = 0
        file["particle_features"][2, 3, 2] = 0
        file["particle_features"][0, 40, :3] = 0.1  # masked: whatever stands there
    found = read(path)
    assert (before.lengths - found.lengths).tolist() == [0, 1, 1]
    assert found.events["jet_nparticles"].tolist() == found.lengths.tolist()


def test_slices_are_those_of_the_whole(tmp_path: Path) -> None:
    path = put(tmp_path / "g.hdf5", 2500)
    whole = read(path, ["part_px", "jet_energy"])
    for start, stop in ((0, 2500), (1000, 1030), (2499, 2500), (3, 3)):
        part = files.read(path, start, stop, ["part_px", "jet_energy"])
        expected = whole.take(np.arange(start, stop))
        assert np.array_equal(part.lengths, expected.lengths)
        assert np.array_equal(part.particles["part_px"], expected.particles["part_px"])
        assert np.array_equal(part.events["jet_energy"], expected.events["jet_energy"])


def test_a_jet_without_particles_is_refused_or_counted(tmp_path: Path) -> None:
    path = put(tmp_path / "g.hdf5", 4)
    with h5py.File(path, "r+") as file:
        file["particle_features"][2, :, 3] = 0
    refused(lambda: read(path, ["part_pt"]), "branch 'part_pt', entry 2: it has no particle")
    left = sample_file(jetnet.describe(path), Sample("QCD", ("g.hdf5",)), ["part_pt"])
    assert (len(left), left.left_out.events) == (3, 1)


VALUES = {
    "half a mask": (
        ("particle_features", (1, 0, 3), 0.5),
        "branch 'particle_features', entry 1: the mask 0.5 is neither 0 nor 1. Cure: store 1",
    ),
    "no mask": (("particle_features", (2, 0, 3), np.nan), "entry 2: the mask nan is neither"),
    "negative pT": (("particle_features", (1, 0, 2), -0.5), "branch 'part_pt', entry 1: the value"),
    "NaN": (("particle_features", (0, 1, 0), np.nan), "branch 'part_eta', entry 0: the value is"),
    "eta": (("particle_features", (0, 1, 0), 30), "must be -10 to 10"),
    "negative mass": (("jet_features", (1, 2), -7), "'jet_mass', entry 1: the value -7.0 must be"),
    "NaN pT": (("jet_features", (2, 0), np.nan), "entry 2: the value is nan"),
    "MeV": (("jet_features", (0, 0), 9e5), "divide by 1000 if these are MeV"),
    "TeV": (("jet_features", (0, 0), 0.9), "multiply by 1000 if these are TeV"),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_an_impossible_jet_is_named(tmp_path: Path, name: str) -> None:
    (key, place, value), said = VALUES[name]
    path = put(tmp_path / "g.hdf5", 3)
    with h5py.File(path, "r+") as file:
        file[key][place] = value
    refused(lambda: read(path), said)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "g.hdf5", 3)
    with h5py.File(path, "r+") as file:
        jets = file["jet_features"][:]
        del file["jet_features"]
    said = "it has no key 'jet_features'; its keys are particle_features. Cure: give a file that"
    refused(lambda: files.format_of(path).describe(path), said)
    with h5py.File(path, "r+") as file:
        file["jet_features"] = jets[:2]
    refused(lambda: jetnet.describe(path), "it has 3 rows, jet_features has 2")
    with h5py.File(path, "r+") as file:
        del file["jet_features"]
        file["jet_features"] = jets[:, :2]
    refused(lambda: jetnet.describe(path), "the shape is (3, 2), type float32. Cure: store numbers")
    refused(lambda: jetnet.read(path, 0, 1, ["part_charge"]), "the branch is missing")
