"""Features of leading jets: the file of its own, and beside the events that it describes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.formats.test_lhco import by_pandas_layout, toys

from anomaly_hep.errors import BadFileError
from anomaly_hep.formats import files, lhco
from anomaly_hep.formats import lhco_features as features
from anomaly_hep.types import Events


def toy_features(number: int, seed: int = 0, *, truth: bool = False) -> Events:
    """Return features of two jets back to back; GeV."""
    rng = np.random.default_rng(seed)
    columns = {name: rng.uniform(1, 100, number).astype(np.float32) for name in features.STORED}
    for axis in ("px", "py"):
        columns[f"{axis}j2"] = -columns[f"{axis}j1"]
    labels = {"truth": toys(number).events["truth"]} if truth else {}
    return Events(np.zeros(number, np.int64), {}, {**columns, **labels})


def put(path: Path, number: int = 20, *, truth: bool = False) -> Path:
    """Write events and their features; return the path of the events."""
    lhco.write(path, [toys(number)])
    features.write(features.features_path(path), [toy_features(number, truth=truth)])
    return path


def _refused(call: Callable[[], object], said: str) -> None:
    with pytest.raises(BadFileError) as refused:
        call()
    message = str(refused.value)
    assert said in message
    assert "Cure: " in message
    assert "\n" not in message


@pytest.mark.parametrize("truth", [False, True])
def test_what_is_written_is_read_back(tmp_path: Path, truth: bool) -> None:
    path, written = tmp_path / "a.features.h5", toy_features(70, truth=truth)
    parts = [written.take(np.arange(30)), written.take(np.arange(30, 70))]
    assert features.write(path, parts, {"origin": "simulated"}) == 70
    assert files.format_of(path) is features
    described = features.describe(path)
    assert (described.entries, described.provenance) == (70, {"origin": "simulated"})
    assert ("truth" in described.columns) == truth
    found = files.read(path, 10, 60, list(described.columns))
    assert found.lengths.tolist() == [0] * 50
    for name, values in written.events.items():
        assert np.array_equal(found.events[name], values[10:60])


def test_a_label_of_another_type_has_a_block_of_its_own(tmp_path: Path) -> None:
    path, written = tmp_path / "a.h5", toy_features(9, truth=True)
    rows = np.stack([values.astype(np.float64) for values in written.events.values()], 1)
    by_pandas_layout(path, rows, [list(range(14)), [14]])
    with h5py.File(path, "r+") as file:
        names = np.array([*features.STORED, features.LABEL], "S")
        for key, part in (
            ("axis0", names),
            ("block0_items", names[:14]),
            ("block1_items", names[14:]),
        ):
            del file[f"df/{key}"]
            file[f"df/{key}"] = part
    found = files.read(path, 0, 9, ["truth", "mj2"])
    assert np.array_equal(found.events["truth"], written.events["truth"])
    assert np.array_equal(found.events["mj2"], written.events["mj2"])


@given(st.floats(1, 5000), st.floats(0, 500), st.floats(0, 500), st.floats(-3, 3))
def test_the_mass_of_two_jets_back_to_back(p: float, m1: float, m2: float, boost: float) -> None:
    """In the rest frame it is the sum of both energies, whatever the boost along the beam."""
    energies = [np.hypot(p, m) for m in (m1, m2)]
    jets = {"pxj1": p, "pxj2": -p, "pyj1": 0, "pyj2": 0, "mj1": m1, "mj2": m2,
            "pzj1": energies[0] * np.sinh(boost), "pzj2": energies[1] * np.sinh(boost)}  # fmt: skip
    mass = features.dijet_mass({name: np.array([float(v)]) for name, v in jets.items()})
    assert mass[0] == pytest.approx(sum(energies), rel=1e-6)


def test_no_second_jet_leaves_the_mass_of_the_first(tmp_path: Path) -> None:
    one = {n: np.full(1, 5.0 if n.endswith("1") else 0.0, np.float32) for n in features.STORED}
    features.write(tmp_path / "a.features.h5", [Events(np.zeros(1, np.int64), {}, one)])
    assert files.read(tmp_path / "a.features.h5", 0, 1, ["mjj"]).events["mjj"] == pytest.approx(5)


def test_a_mass_that_a_rounding_makes_negative_is_zero(tmp_path: Path) -> None:
    path = put(tmp_path / "a.h5")
    with h5py.File(features.features_path(path), "r+") as file:
        file["df/block0_values"][3, 3] = -0.02
    assert files.read(path, 0, 20, ["mj1"]).events["mj1"][3] == 0


# ---- beside events


def test_events_have_the_features_that_lie_beside_them(tmp_path: Path) -> None:
    path, written = put(tmp_path / "a.h5", 30, truth=True), toy_features(30)
    assert {*features.COLUMNS} <= {*lhco.describe(path).columns}
    for columns in (["mjj", "tau2j1"], ["mjj", "tau2j1", "part_pt"], ["tau2j1", "mjj", "truth"]):
        found = files.read(path, 5, 25, columns)
        assert np.array_equal(found.lengths, toys(30).lengths[5:25])
        assert np.array_equal(found.events["tau2j1"], written.events["tau2j1"][5:25])
        assert np.array_equal(found.events["mjj"], features.dijet_mass(written.events)[5:25])
        assert {*found.events, *found.particles} == {*columns}


def test_events_without_features_say_how_to_make_them(tmp_path: Path) -> None:
    lhco.write(tmp_path / "a.h5", [toys(3)])
    assert "mjj" not in lhco.describe(tmp_path / "a.h5").columns
    said = "branch 'mjj': a.features.h5 does not lie beside it. Cure: python -m anomaly_hep cluster"
    _refused(lambda: files.read(tmp_path / "a.h5", 0, 3, ["mjj"]), said)


def test_features_of_another_number_of_events_are_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "a.h5", 20)
    features.write(features.features_path(path), [toy_features(19)])
    _refused(lambda: lhco.describe(path), "a.features.h5 has 19 rows for 20 events")


def test_labels_that_differ_are_refused_with_the_entry(tmp_path: Path) -> None:
    path = put(tmp_path / "a.h5", 20, truth=True)
    with h5py.File(features.features_path(path), "r+") as file:
        file["df/block0_values"][7, 14] = 1 - file["df/block0_values"][7, 14]
    assert len(files.read(path, 8, 20, ["mjj"])) == 12
    _refused(lambda: files.read(path, 0, 20, ["mjj"]), "entry 7: the label is")


BAD = {
    "negative": ((2, 3, -5.0), "branch 'mj1', entry 2: the value -5.0 must be 0 to 50000 GeV"),
    "NaN": ((1, 4, np.nan), "branch 'tau1j1', entry 1: the value is nan"),
    "label": ((1, 14, 0.5), "entry 1: the label 0.5 is no whole number"),
}


@pytest.mark.parametrize("name", BAD)
def test_impossible_features_are_named(tmp_path: Path, name: str) -> None:
    (row, column, value), said = BAD[name]
    path = tmp_path / "a.features.h5"
    features.write(path, [toy_features(5, truth=True)])
    with h5py.File(path, "r+") as file:
        file["df/block0_values"][row, column] = value
    _refused(lambda: files.read(path, 0, 5, list(features.LAYOUT.names)), said)


def test_a_lost_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.features.h5"
    features.write(path, [toy_features(5)])
    with h5py.File(path, "r+") as file:
        for axis in ("axis0", "block0_items"):
            file[f"df/{axis}"][13] = b"tau9j2"
    _refused(lambda: features.describe(path), "branch 'tau3j2': the branch is missing")


def test_what_cannot_be_read_again_is_not_written(tmp_path: Path) -> None:
    path, bad = tmp_path / "a.features.h5", toy_features(3)
    bad.events["tau1j1"][1] = np.inf
    _refused(lambda: features.write(path, [bad]), "branch 'tau1j1', entry 1: the value is inf")
    lacking = Events(bad.lengths, {}, {"mj1": bad.events["mj1"]})
    _refused(lambda: features.write(path, [lacking]), "the column to write is missing")
    assert not path.exists()
